from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from genai.core.cache import cache_dir, cache_key
from genai.core.data import Example, Source, Split
from genai.core.errors import UserError
from genai.media.picture import Picture
from genai.metrics.base import EvalContext, Result
from genai.metrics.image import classification_accuracy as module
from genai.metrics.image.classification_accuracy import ClassificationAccuracy, matching_pictures
from genai.metrics.image.classifier import train_image_classifier
from genai.modalities.image import Image
from genai.toy.data.image import ToyImages
from tests.stubs import StubModel

NAMES = ("rows", "columns", "flat")


def pattern(name: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """8 x 8 gray pixels: stripes that lie, stand, or are not there; of any phase, with noise."""
    phase, stripes = rng.uniform(0, 6), np.arange(8) * 2.0
    wave = 60 * np.sin(stripes + phase)
    of = {"rows": wave[:, None], "columns": wave[None], "flat": np.zeros((8, 8))}[name]
    pixels = 128 + of + rng.normal(0, 32, (8, 8))
    return pixels.clip(0, 255).astype(np.uint8)[..., None]


class Patterns(Source):
    """Six hundred patterns to train_image_classifier from and two hundred held out."""

    media = Picture

    @cached_property
    def train(self) -> Split:
        return self._split("train", 600)

    @cached_property
    def val(self) -> Split:
        return self._split("val", 200)

    def _split(self, name: str, count: int) -> Split:
        prompts = [NAMES[number % 3] for number in range(count)]
        load = lambda i: Example(Picture(pattern(prompts[i], np.random.default_rng([count, i]))), prompts[i])  # noqa: E731
        return Split(name, count, load, cache_key("patterns", name, count), prompts)


SOURCE = Patterns()


def results(answer: Callable[[list[str]], list[Any]], source: Source = SOURCE) -> dict[str, Result]:
    return ClassificationAccuracy().compute(EvalContext(StubModel(Image(8, 1), answer), source, n=150))  # type: ignore[arg-type]


def draw_patterns(prompts: list[str]) -> list[Picture]:
    return [Picture(pattern(prompt, np.random.default_rng([7, number]))) for number, prompt in enumerate(prompts)]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEPS", 40)
    monkeypatch.setattr(module, "NUM_CLASSIFIERS", 2)


def test_real_pictures_equal_the_reference() -> None:
    found = results(draw_patterns)
    accuracy, ratio = found["classification_accuracy"], found["classification_accuracy_ratio"]
    assert (accuracy.reference or 0) > 0.8
    assert ratio.value == pytest.approx((accuracy.value or 0) / (accuracy.reference or 1)) == pytest.approx(1, abs=0.1)
    assert "150 of 3 classes; 2 classifiers, tested on 200 held out" in found["classification_accuracy"].description


def test_wrong_classes_have_chance_accuracy() -> None:
    found = results(lambda prompts: draw_patterns(np.random.default_rng(1).permutation(prompts).tolist()))
    assert 0.1 < (found["classification_accuracy"].value or 0) < 0.6
    assert (found["classification_accuracy"].reference or 0) > 0.8


def test_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "train_image_classifier", lambda pixels, labels, count, steps, seed: seed)
    monkeypatch.setattr(module, "correct_predictions", lambda seed, pixels, labels: torch.arange(10) < (6, 8)[seed])
    accuracy, standard_error = module.classifier_accuracy(*torch.empty(2, 10), 3, *torch.empty(2, 10))
    assert accuracy == pytest.approx(0.7)
    assert standard_error == pytest.approx((0.7 * 0.3 / 10 + 0.02 / 2) ** 0.5)


def test_captions_raise() -> None:
    with pytest.raises(UserError, match="prompts have to be classes: 2 to 100, each of 10 or more"):
        results(lambda prompts: pytest.fail("no samples needed"), ToyImages(size=16, items=200))


def test_matching_pictures() -> None:
    train = Image(8, 1).pack(SOURCE.train, cache_dir())
    found = matching_pictures(train, SOURCE.train.prompts, ["flat"] * 3 + ["rows"] * 250, 0)
    pixels = np.array(train.pixels)
    rows = {picture.tobytes() for number, picture in enumerate(pixels) if number % 3 == 0}
    assert {picture.numpy().tobytes() for picture in found[3:]} == rows
    flat = {picture.tobytes() for number, picture in enumerate(pixels) if number % 3 == 2}
    assert {picture.numpy().tobytes() for picture in found[:3]} < flat
    assert torch.equal(found, matching_pictures(train, None, ["flat"] * 3 + ["rows"] * 250, 0))


def test_training_is_deterministic() -> None:
    pixels = torch.randint(256, (20, 3, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = torch.random.get_rng_state()
    one, again, other = (train_image_classifier(pixels, torch.arange(20) % 2, 2, 2, seed) for seed in (0, 0, 1))
    assert torch.equal(one(pixels), again(pixels)) and not torch.equal(one(pixels), other(pixels))
    assert torch.equal(before, torch.random.get_rng_state())
