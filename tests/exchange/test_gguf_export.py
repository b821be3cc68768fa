"""A GGUF file is the same model when it is read back, and in llama.cpp."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers

import genai
from genai.core.errors import UserError
from genai.exchange import gguf_export
from genai.exchange.gguf_export import export_gguf
from genai.exchange.gguf_file import read_gguf
from genai.exchange.gguf_tokenizer import tokenizer_metadata
from genai.exchange.hf_export import fitting_family, network_arguments
from genai.inference.model import Model
from genai.methods.autoregressive import Autoregressive
from genai.modalities.pretrained_text import PretrainedText
from genai.modalities.text import Text
from genai.modalities.tokenizers import BPE
from genai.networks.gpt import GPT
from tests.exchange.test_gguf_file import smollm2  # noqa: F401
from tests.exchange.test_pretrained import byte_tokenizer

LLAMA = {
    "ngrams": 1, "qk_norm": "none", "embedding_norm": False, "embedding_mix": False, "affine": True,
    "activation": "swiglu", "hidden": 48, "eps": 1e-5,
}  # fmt: skip
NETWORKS: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama, grouped": {"kv_heads": 1, "head_width": 6, "tied": True, "bias": "attention"},
    "qwen2": {"bias": "qkv", "kv_heads": 1},
    "qwen3": {"qk_norm": "before_rotary", "kv_heads": 1, "head_width": 12},
}
PROMPTS = ["the cat", "a dog saw how old men run to see one big"]
NODE_MODULES = os.environ.get("GENAI_NODE_MODULES", "")
"""A folder ``node_modules`` with ``node-llama-cpp``, for the tests in llama.cpp."""


def text_model(tokenizer: str = "bytes", **options: Any) -> Model:
    """A model of random weights whose logits differ clearly."""
    torch.manual_seed(0)
    modality = Text(tokenizer, None, 64, reserved=3)
    if tokenizer == "bpe":
        modality.tokenizer = small_bpe()
    size = modality.interface["vocab_size"]
    network = GPT(size, 64, **{"layers": 2, "heads": 2, "width": 32, **LLAMA, **options})
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2 + ("norm" in name and "weight" in name))
    return Model(modality, Autoregressive(network).eval())


def small_bpe() -> BPE:
    return BPE.train(["the cat and the dog saw one big red sun set 1234"] * 20, 300)


@pytest.fixture
def has_gguf() -> None:
    pytest.importorskip("gguf")


def llama_cpp(file: Path, texts: list[str], prompts: list[str], count: int = 20) -> dict[str, Any]:
    """Return ids and greedy continuations of llama.cpp; see ``llama_cpp.mjs``."""
    if not (Path(NODE_MODULES) / "node-llama-cpp").is_dir() or not NODE_MODULES:
        pytest.skip("GENAI_NODE_MODULES names no folder with node-llama-cpp")
    script = Path(__file__).with_name("llama_cpp.mjs")
    request = {"modules": NODE_MODULES, "file": str(file), "texts": texts, "prompts": prompts, "count": count}
    done = subprocess.run(["node", script], input=json.dumps(request).encode(), capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stdout.decode().splitlines()[-1])
    return answer


def greedy(model: Model, prompt: str, count: int = 20) -> list[int]:
    """Continue a prompt with the most probable tokens, without a cache, beyond ends of texts."""
    x = model.modality.encode_prompt(prompt)[None]
    with torch.inference_mode():
        for _ in range(count):
            x = torch.cat([x, model.method.network(x)[:, -1].argmax(-1, keepdim=True)], 1)
    return x[0, -count:].tolist()


@pytest.mark.usefixtures("has_gguf")
@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_read_back_up_to_rounding(name: str, tmp_path: Path) -> None:
    model = text_model(**NETWORKS[name])
    assert export_gguf(model.modality, model.method, tmp_path, "# Card\n", "mit", "org/base") == name.split(",")[0]
    again = genai.load(tmp_path / "model.gguf", device="cpu")
    assert again.record["base"]["name"] == "org/base"
    assert again.record["license"] == "mit" and (tmp_path / "README.md").read_text() == "# Card\n"
    arguments = network_arguments(model.method.network)
    assert network_arguments(again.method.network) == arguments | {"eps": float(np.float32(arguments["eps"]))}
    for key, weight in model.method.network.state_dict().items():
        expected = weight.half().float() if weight.ndim > 1 else weight
        assert again.method.network.state_dict()[key].equal(expected), key
    for text in ("", "  the cat\r\n\t", "\u65e5\u672c\u8a9e \U0001f600", "\x00\xff"):
        assert again.modality.encode(text).equal(model.modality.encode(text))
    assert again.modality.end_tokens == model.modality.end_tokens
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "model.gguf"]


@pytest.mark.usefixtures("has_gguf")
def test_unused_rows_are_never_sampled(tmp_path: Path) -> None:
    model = text_model("bpe")
    export_gguf(model.modality, model.method, tmp_path)
    again = read_gguf(tmp_path / "model.gguf").modality
    assert again.interface["vocab_size"] == model.modality.interface["vocab_size"] == again.end_token + 4
    request = again.request(["a"], [0], None, again.Options())
    assert request.num_classes == again.end_token + 1


@pytest.mark.peers
@pytest.mark.usefixtures("has_gguf")
def test_what_llama_cpp_cannot_run_says_what_to_train_with(tmp_path: Path, trained: Callable[[str], Path]) -> None:
    layer_norm = {"norm": "layer", "bias": "all", "activation": "gelu_tanh", "positions": "learned"}
    for options, message in (
        (layer_norm, "this network is gpt2. Train with model=llama"),
        ({"softcap": 3.0}, "this network is none of them. Train with model=llama"),
    ):
        model = text_model(**options)
        with pytest.raises(UserError, match=message):
            export_gguf(model.modality, model.method, tmp_path / "out")
    image = genai.load(trained("image"), device="cpu")
    with pytest.raises(UserError, match="format=gguf is for text models"):
        export_gguf(image.modality, image.method, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("has_gguf")
def test_a_weight_that_f16_does_not_have_is_refused(tmp_path: Path) -> None:
    model = text_model()
    with torch.no_grad():
        model.method.network.embedding.weight[0, 0] = 1e5
    with pytest.raises(UserError, match=r"embed_tokens.weight has values above 65,504"):
        export_gguf(model.modality, model.method, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("has_gguf")
def test_half_a_file_never_stands_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = text_model()

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gguf_export, "replace_file", fail)
    with pytest.raises(OSError):
        export_gguf(model.modality, model.method, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    model = text_model()
    with pytest.raises(UserError, match=r"pip install 'genai\[gguf\]'"):
        export_gguf(model.modality, model.method, tmp_path)


def pretrained(change: Callable[[Tokenizer], None], ends: tuple[int, ...] = (1,), pattern: str = "") -> PretrainedText:
    """A modality with the tokenizer of the other tests, changed."""
    tokenizer = byte_tokenizer()
    change(tokenizer)
    modality = PretrainedText(400, 32, ends)
    modality.restore({"kind": "pretrained", "json": tokenizer.to_str()})
    return modality


def test_tokens_have_their_types() -> None:
    modality = pretrained(lambda tokenizer: tokenizer.add_tokens(["<tool>"]))
    values = tokenizer_metadata(modality, 400)
    tool = modality.tokenizer.tokenizer.token_to_id("<tool>")
    assert values["tokenizer.ggml.pre"] == "smollm"
    assert [values["tokenizer.ggml.token_type"][index] for index in (0, 1, 2, tool, 399)] == [3, 3, 1, 4, 5]
    assert values["tokenizer.ggml.tokens"][399] == "[PAD399]" and len(values["tokenizer.ggml.tokens"]) == 400
    assert values["tokenizer.ggml.eos_token_id"] == 1 and not values["tokenizer.ggml.add_bos_token"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: setattr(t, "pre_tokenizer", pre_tokenizers.Whitespace()),
            "no tokenizer like",
        ),
        (lambda t: setattr(t, "normalizer", normalizers.Lowercase()), "no tokenizer like"),
        (lambda t: t.add_special_tokens([AddedToken("<|odd|>", rstrip=True)]), "takes spaces with it"),
    ],
)
def test_a_tokenizer_that_llama_cpp_lacks_is_refused(change: Callable[[Tokenizer], None], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tokenizer_metadata(pretrained(change), 400)
    with pytest.raises(UserError, match="at most 3"):
        tokenizer_metadata(pretrained(lambda tokenizer: None, (1, 2, 3, 4)), 400)


@pytest.mark.peers
@pytest.mark.usefixtures("has_gguf")
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("tokenizer", ["bpe", "bytes"])
def test_llama_cpp_continues_as_here(name: str, tokenizer: str, tmp_path: Path) -> None:
    model = text_model(tokenizer, **NETWORKS[name])
    export_gguf(model.modality, model.method, tmp_path)
    rounded = genai.load(tmp_path / "model.gguf", device="cpu")
    texts = [*PROMPTS, "  two\r\n\t\n\n", "caf\u00e9 \u65e5\u672c \U0001f600\u200d", "it's 12345", "<|endoftext|>", ""]
    answer = llama_cpp(tmp_path / "model.gguf", texts, PROMPTS, count=12)
    assert answer["ids"] == [model.modality.encode(text).tolist() for text in texts]
    assert answer["special"] == [rounded.modality.encode(text).tolist() for text in texts]
    for prompt, tokens in zip(PROMPTS, answer["continued"], strict=True):
        assert tokens == greedy(rounded, prompt, 12)


@pytest.mark.peers
def test_a_trained_model_continues_in_llama_cpp_as_here(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    words = ["modality=text", "model=llama", "data=text_folder", f"data.path={corpus}", "steps=30", "batch=4"]
    sizes = ["modality.vocab_size=300", "modality.block=64", "model.network.width=64", "model.network.layers=2"]
    model = genai.fit(*words, *sizes, "preview_every=100", "trainer.threads=1", f"runs={tmp_path / 'runs'}")
    export_gguf(model.modality, model.method, tmp_path / "out")
    file = tmp_path / "out" / "model.gguf"
    rounded = genai.load(file, device="cpu")
    answer = llama_cpp(file, PROMPTS, PROMPTS)
    assert answer["ids"] == [model.modality.encode(prompt).tolist() for prompt in PROMPTS]
    assert answer["continued"] == [greedy(rounded, prompt) for prompt in PROMPTS]


@pytest.mark.peers
def test_a_real_model_continues_in_llama_cpp_as_here(smollm2: Path, tmp_path: Path) -> None:  # noqa: F811
    model = genai.load(smollm2, device="cpu")
    export_gguf(model.modality, model.method, tmp_path)
    prompts = ["The sea is", "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"]
    answer = llama_cpp(tmp_path / "model.gguf", prompts, prompts)
    assert answer["special"] == [model.modality.encode(prompt).tolist() for prompt in prompts]
    rounded = genai.load(tmp_path / "model.gguf", device="cpu")
    assert fitting_family(network_arguments(rounded.method.network)) == "llama"
    assert answer["continued"] == [greedy(rounded, prompt) for prompt in prompts]
    assert np.isfinite(rounded.method.network.embedding.weight.detach().numpy()).all()
