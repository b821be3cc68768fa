"""What the script of a folder of ONNX computes as torch and genai do."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genai.core.batch import Request
from genai.exchange import onnx_sample
from genai.exchange.onnx_sample import generator, normal, word_ids
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
