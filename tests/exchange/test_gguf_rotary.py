"""Rotary scaling in GGUF files: factors, metadata, and the same in llama.cpp."""

from pathlib import Path
from typing import Any

import pytest
import torch

import genai
from genai.core.errors import UserError
from genai.exchange.gguf_export import export_gguf
from genai.exchange.gguf_rotary import llama3_factors, read_rope, rope_metadata
from tests.exchange.test_gguf_export import greedy, llama_cpp, text_model
from tests.exchange.test_gguf_file import write_gguf

LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
SCALINGS = {
    "llama3": LLAMA3,
    "linear": {"rope_type": "linear", "factor": 4.0, "original_max_position_embeddings": 64},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 16.0},
}
BASE = 500_000.0


def metadata(**values: Any) -> Any:
    return lambda name: values.get(name.replace(".", "_"))


@pytest.mark.parametrize("factor", [8.0, 32.0])
@pytest.mark.parametrize("head_width", [64, 128])
def test_the_factors_of_llama3_are_its_parameters(factor: float, head_width: int) -> None:
    scaling = LLAMA3 | {"factor": factor}
    factors = llama3_factors(head_width, BASE, scaling)
    assert float(factors.min()) == 1 and float(factors.max()) == factor and len(factors.unique()) > 4
    assert read_rope(metadata(rope_freq_base=BASE), factors, head_width) == {"rope_theta": BASE, **scaling}


def test_other_factors_are_refused() -> None:
    factors = llama3_factors(64, BASE, LLAMA3)
    for wrong in (factors * 1.01, factors[:-1], factors.flip(0), factors * torch.nan, torch.zeros(32), -factors):
        with pytest.raises(UserError, match="only those of Llama 3 are"):
            read_rope(metadata(rope_freq_base=BASE), wrong, 64)
    assert read_rope(metadata(), torch.ones(32), 64) == {"rope_theta": 10_000.0, "rope_type": "default"}


def test_what_llama_cpp_has_no_key_for_is_refused() -> None:
    arguments = {"rotary_scaling": SCALINGS["yarn"] | {"attention_factor": 1.5}, "head_width": 16, "rotary_base": BASE}
    with pytest.raises(UserError, match=r"no attention_factor=1\.5 of yarn"):
        rope_metadata(arguments)
    with pytest.raises(UserError, match="no truncate=False of yarn"):
        rope_metadata(arguments | {"rotary_scaling": SCALINGS["yarn"] | {"truncate": False}})


@pytest.mark.peers
def test_a_llama_3_file_is_read(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    factors = llama3_factors(8, BASE, LLAMA3).numpy()
    model = genai.load(write_gguf(tmp_path / "a.gguf", rope_freqs=factors, freq_base=BASE), device="cpu")
    assert model.method.network.rotary_scaling == LLAMA3 and model.method.network.rotary_base == BASE
    with pytest.raises(UserError, match=r"b.gguf: rope_freqs.weight: these factors"):
        genai.load(write_gguf(tmp_path / "b.gguf", rope_freqs=factors * 2, freq_base=BASE), device="cpu")


@pytest.mark.peers
@pytest.mark.parametrize("name", SCALINGS)
def test_scaling_is_read_back(name: str, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    model = text_model(rotary_scaling=SCALINGS[name], rotary_base=BASE)
    export_gguf(model.modality, model.method, tmp_path)
    again = genai.load(tmp_path / "model.gguf", device="cpu").method.network
    assert again.rotary_scaling == SCALINGS[name] and again.rotary_base == BASE
    qwen2 = text_model(bias="qkv", rotary_scaling=LLAMA3, rotary_base=BASE)
    with pytest.raises(UserError, match="no rope_type=llama3 for qwen2"):
        export_gguf(qwen2.modality, qwen2.method, tmp_path)


@pytest.mark.peers
@pytest.mark.parametrize("name", SCALINGS)
def test_llama_cpp_scales_as_here(name: str, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    scaling = SCALINGS[name] | {"original_max_position_embeddings": 64 if name == "llama3" else 16}
    model = text_model(rotary_scaling=scaling, rotary_base=100.0)
    export_gguf(model.modality, model.method, tmp_path)
    for weight in model.method.network.state_dict().values():
        weight.copy_(weight.half())
    prompt = "the cat and the dog saw how old men run"
    (tokens,) = llama_cpp(tmp_path / "model.gguf", [], [prompt])["continued"]
    assert tokens == greedy(model, prompt)
    model.method.network.rotary_scaling = None
    assert tokens != greedy(model, prompt)
