"""What is exported opens in transformers: the same logits, ids and end; and here again."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import genai
from genai.core.errors import UserError
from genai.exchange.hf_export import export_folder, family_name, network_arguments
from genai.exchange.pretrained import is_pretrained_folder
from genai.inference.model import Model
from genai.networks.gpt import GPT

PRESETS = {"llama": ["model=llama", "model.network.hidden=48"], "gpt2": ["model=gpt2"], "nanochat": [
    "model.network.ngrams=1", "model.network.embedding_mix=false", "model.network.qk_gain=1.0",
]}  # fmt: skip
ODD = [
    "", " ", "the cat", "  two  spaces", "line\nbreak\r\n\ttab", "\u65e5\u672c\u8a9e", "\U0001f600\u200d",
    "caf\u00e9 cafe\u0301", "1234567", "<|endoftext|>", "<b>&amp;</b>", "\x00\x07", "a" * 300,
]  # fmt: skip


@pytest.fixture(scope="module", params=PRESETS)
def trained_model(
    request: pytest.FixtureRequest, corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Model]:
    """A model of each kind, trained for two steps."""
    words = [
        "modality=text", "data=text_folder", f"data.path={corpus}", "steps=2", "batch=2", "val_items=2",
        "preview_every=100",
        "model.network.width=32", "model.network.layers=2", "modality.block=32", "modality.vocab_size=300",
        "trainer.threads=1", f"runs={tmp_path_factory.mktemp('runs')}", *PRESETS[request.param],
    ]  # fmt: skip
    return request.param, genai.fit(*words)


def test_an_exported_folder_opens_here_again(trained_model: tuple[str, Model], tmp_path: Path) -> None:
    family, model = trained_model
    assert export_folder(model.modality, model.method, tmp_path / "out", card="# Card\n") == family
    assert is_pretrained_folder(tmp_path / "out") and (tmp_path / "out" / "README.md").read_text() == "# Card\n"
    again = genai.load(tmp_path / "out", device="cpu")
    x = torch.randint(0, 256, (2, 20))
    with torch.inference_mode():
        assert again.method.network(x).equal(model.method.network(x))
    for text in ODD:
        if "<|" not in text:  # our tokenizer has no special tokens, the exported one has
            assert again.modality.encode(text).equal(model.modality.encode(text))
    assert again.sample("the", length=6) == model.sample("the", length=6)


@pytest.mark.peers
def test_transformers_computes_the_same(trained_model: tuple[str, Model], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    _, model = trained_model
    export_folder(model.modality, model.method, tmp_path)
    peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    x = torch.randint(0, 256, (2, 20), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = peer(x).logits
        assert float((model.method.network(x) - expected).abs().max()) < 5e-6 * float(expected.abs().max())
    for text in ODD:
        if "<|" not in text:
            assert tokenizer(text)["input_ids"] == model.modality.encode(text).tolist(), text
            assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert tokenizer.eos_token_id == model.modality.end_token
    with torch.no_grad():
        peer.lm_head.weight.zero_()
        peer.lm_head.weight[tokenizer.eos_token_id] = 1
        output = peer.generate(torch.tensor([[70, 71]]), max_new_tokens=8, do_sample=False)
    assert output.shape[1] <= 10 and peer.generation_config.eos_token_id == tokenizer.eos_token_id


def test_the_default_block_says_what_to_train_with(trained: Callable[[str], Path], tmp_path: Path) -> None:
    model = genai.load(trained("text"), device="cpu")
    words = "model.network.ngrams=1 model.network.embedding_mix=false model.network.qk_gain=1.0"
    with pytest.raises(UserError, match=f"Train with {words}"):
        export_folder(model.modality, model.method, tmp_path / "out")
    image = genai.load(trained("image"), device="cpu")
    with pytest.raises(UserError, match="format=hf is for text models"):
        export_folder(image.modality, image.method, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_arguments_of_a_network_build_it_again() -> None:
    network = GPT(50, 16, layers=2, heads=2, width=16, head_width=6, activation="swiglu", softcap=3.0, tied=True)
    again = GPT(**network_arguments(network))
    assert network_arguments(again) == network_arguments(network)
    again.load_state_dict(network.state_dict())


def test_a_family_with_heads_of_its_own_width() -> None:
    options = {"ngrams": 1, "embedding_mix": False, "embedding_norm": False, "affine": True, "activation": "swiglu"}
    assert family_name(network_arguments(GPT(50, 16, width=16, head_width=6, qk_norm="none", **options))) == "llama"
    qwen3 = GPT(50, 16, width=16, head_width=6, qk_norm="before_rotary", **options)
    assert family_name(network_arguments(qwen3)) == "qwen3"


def test_large_weights_are_written_in_several_files(
    trained_model: tuple[str, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genai.exchange.hf_export.MAX_SHARD_BYTES", 20_000)
    _, model = trained_model
    export_folder(model.modality, model.method, tmp_path)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 1 and not (tmp_path / "model.safetensors").exists()
    assert genai.load(tmp_path, device="cpu").sample("a", length=4) == model.sample("a", length=4)


def test_grouped_keys_fit_no_class_of_gpt2() -> None:
    plain = GPT(
        300, 32, 1, 4, 32, ngrams=1, norm="layer", affine=True, bias="all", activation="gelu_tanh", qk_norm="none",
        positions="learned", embedding_norm=False, embedding_mix=False,
    )  # fmt: skip
    assert family_name(network_arguments(plain)) == "gpt2"
    with pytest.raises(UserError, match="no class of transformers computes the same"):
        family_name(network_arguments(plain) | {"kv_heads": 2})


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege")
def test_a_linked_tokenizer_config_is_not_copied(trained_model: tuple[str, Model], tmp_path: Path) -> None:
    _, model = trained_model
    export_folder(model.modality, model.method, tmp_path / "a")
    (tmp_path / "secret.json").write_text("{}")
    (tmp_path / "a" / "tokenizer_config.json").unlink()
    (tmp_path / "a" / "tokenizer_config.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(UserError, match="tokenizer_config"):
        genai.load(tmp_path / "a", device="cpu")
    with pytest.raises(UserError, match="tokenizer_config"):
        export_folder(model.modality, model.method, tmp_path / "b", tmp_path / "a")
    assert not (tmp_path / "b").exists()
