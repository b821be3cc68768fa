"""What the script of a folder of ONNX computes as torch and genai do."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from genai.core.batch import Request
from genai.exchange import onnx_sample
from genai.exchange.onnx_sample import generator, normal, save, word_ids
from genai.methods.interpolation import initial_noise, noise_sampler
from genai.networks.text_encoder import PromptEncoder

ODD_PROMPTS = [
    "",
    "A red circle.",
    "  Cafe\u0301 İstanbul ΣΑΣ",
    "猫とnoodles 3½",
    "ไทย นะ",
    "a\x1fb\x85c\u200bd",
    "x " * 99,
]


@pytest.mark.parametrize("shape", [(16,), (64,), (3, 5, 7), (32, 4, 4)])
def test_noise_is_that_of_torch(shape: tuple[int, ...]) -> None:
    seeds = [0, 1, 2**32 + 5, 2**62 - 1]
    request = Request([""] * len(seeds), seeds, shape)
    first = np.stack([normal(generator(seed), shape) for seed in seeds])
    np.testing.assert_allclose(first, initial_noise(request, shape).numpy(), atol=2e-6)
    draw, torch_draw = onnx_sample.noise_sampler(seeds), noise_sampler(request)
    for _ in range(3):
        np.testing.assert_allclose(draw(first), torch_draw(torch.from_numpy(first)).numpy(), atol=2e-6)


@pytest.mark.parametrize("segmentation", ["spaces", "unicode"])
def test_odd_words_have_the_ids_of_the_encoder(segmentation: str) -> None:
    encoder = PromptEncoder(8, 8, 1, 50, segmentation=segmentation)  # type: ignore[arg-type]
    ids = word_ids(ODD_PROMPTS, encoder.rows, encoder.max_words, segmentation)
    assert (encoder.tokenize(ODD_PROMPTS).numpy() == ids).all() and ids.shape == (len(ODD_PROMPTS), 65, 2)


@given(st.text(max_size=40))
def test_any_words_have_the_ids_of_the_encoder(prompt: str) -> None:
    for encoder in ENCODERS:
        prompts = [prompt.encode("utf-8", "ignore").decode(), "b"]
        ids = word_ids(prompts, encoder.rows, encoder.max_words, encoder.segmentation)
        assert (encoder.tokenize(prompts).numpy() == ids).all()


ENCODERS = [PromptEncoder(8, 8, 1, 50, 7, "spaces"), PromptEncoder(8, 8, 1, 50, 7, "unicode")]


PICTURE, XMP = np.zeros((2, 2, 1), np.uint8), "<x/></rdf:RDF>"


def test_pictures_that_are_there_stay(tmp_path: Path) -> None:
    first = save(PICTURE, tmp_path, XMP, {"seed": 1})
    before = first.read_bytes()
    (tmp_path / "007.png").write_text("another picture")
    (tmp_path / "²x.png").write_text("no number")
    paths = [save(PICTURE, tmp_path, XMP, {"seed": seed}) for seed in (2, 3)]
    assert [path.name for path in (first, *paths)] == ["000.png", "008.png", "009.png"]
    assert first.read_bytes() == before and (tmp_path / "007.png").read_text() == "another picture"


def test_a_picture_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_disk(image: Image.Image, path: Path, **_: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(Image.Image, "save", fill_disk)
    with pytest.raises(OSError, match="no space"):
        save(PICTURE, tmp_path, XMP, {})
    assert not list(tmp_path.iterdir())


def test_a_missing_pillow_shows_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match="PIL"):
        runpy.run_path(onnx_sample.__file__)
