"""The metric of personal models, with stand-ins for the model and its base."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from genai.core.errors import UserError
from genai.media.picture import Picture
from genai.metrics.base import EvalContext
from genai.metrics.image.subject import Subject
from genai.modalities.image import Image
from genai.toy.data.image import ToyImages
from tests.stubs import StubModel

SOURCE = ToyImages(size=16, items=60)
OTHER = [f"other {number}" for number in range(6)]


def blocks(prompts: list[str], shift: int = 0) -> list[Any]:
    """Pictures of a dark block whose place depends on the prompt."""
    pictures = []
    for prompt in prompts:
        pixels = np.full((16, 16, 3), 255, np.uint8)
        row = (len(prompt) + ord(prompt[-1]) + shift) % 12
        pixels[row : row + 4, row : row + 4] = 0
        pictures.append(Picture(pixels))
    return pictures


def results(own: Callable[[list[str]], list[Any]], other: Callable[[list[str]], list[Any]]) -> dict[str, Any]:
    def answer(prompts: list[str]) -> list[Any]:
        return other(prompts) if prompts[0].startswith("other") else own(prompts)

    metric = Subject()
    metric.base, metric.other_prompts = StubModel(Image(16), blocks), OTHER  # type: ignore[assignment]
    return metric.compute(EvalContext(StubModel(Image(16), answer), SOURCE, n=12))  # type: ignore[arg-type]


def test_pictures_of_the_subject_are_similar_and_those_of_the_base_are_not() -> None:
    real = results(lambda prompts: [SOURCE.train[i].media for i in range(len(prompts))], blocks)
    base = results(blocks, blocks)
    assert real["subject_similarity"].value == pytest.approx(1, abs=1e-4)
    assert base["subject_similarity"].value < real["subject_similarity"].reference < 1
    assert f"itself has {base['subject_similarity'].value:.2f}" in base["subject_similarity"].description


def test_other_prompts_that_give_other_pictures_have_moved() -> None:
    same, moved = (results(blocks, lambda prompts, by=by: blocks(prompts, by)) for by in (0, 3))  # type: ignore[misc]
    assert same["subject_drift"].value == 0 < moved["subject_drift"].value
    before, after = (np.stack([picture.pixels for picture in blocks(OTHER, by)]).astype(float) for by in (0, 3))
    expected = np.sqrt((((after - before) / 255) ** 2).mean((1, 2, 3))).mean()
    assert moved["subject_drift"].value == pytest.approx(expected)


def test_a_model_without_a_base_is_not_measured() -> None:
    model = StubModel(Image(16))
    assert "with its base" in Subject().unsupported_reason(model)  # type: ignore[arg-type]
    with pytest.raises(UserError):
        Subject().check(EvalContext(model, SOURCE))  # type: ignore[arg-type]
