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
from genai.metrics.image import classification_accuracy as serves
from genai.metrics.image.classification_accuracy import Serves, alike
from genai.metrics.image.classifier import learn
from genai.modalities.image import Image
from genai.toy.data.image import ToyImages
from tests.metrics.stubs import Model

NAMES = ("rows", "columns", "flat")


def pattern(name: str, draw: np.random.Generator) -> NDArray[np.uint8]:
    """8 x 8 grey pixels: stripes that lie, stand, or are not there; of any phase, with noise."""
    phase, stripes = draw.uniform(0, 6), np.arange(8) * 2.0
    wave = 60 * np.sin(stripes + phase)
    of = {"rows": wave[:, None], "columns": wave[None], "flat": np.zeros((8, 8))}[name]
    pixels = 128 + of + draw.normal(0, 32, (8, 8))
    return pixels.clip(0, 255).astype(np.uint8)[..., None]


class Patterns(Source):
    """Six hundred patterns to learn from and two hundred held out."""

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


def figures(answer: Callable[[list[str]], list[Any]], source: Source = SOURCE) -> dict[str, Result]:
    return Serves().compute(EvalContext(Model(Image(8, 1), answer), source, n=150))  # type: ignore[arg-type]


def drawn(prompts: list[str]) -> list[Picture]:
    return [Picture(pattern(prompt, np.random.default_rng([7, number]))) for number, prompt in enumerate(prompts)]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serves, "STEPS", 40)
    monkeypatch.setattr(serves, "TRIES", 2)


def test_real_pictures_serve_as_real_ones_do() -> None:
    found = figures(drawn)
    serve, ratio = found["serves"], found["serves_ratio"]
    assert (serve.beside or 0) > 0.8
    assert ratio.value == pytest.approx((serve.value or 0) / (serve.beside or 1)) == pytest.approx(1, abs=0.1)
    assert "150 of 3 classes; 2 classifiers, tested on 200 held out" in found["serves"].about


def test_pictures_of_other_classes_teach_nothing() -> None:
    found = figures(lambda prompts: drawn(np.random.default_rng(1).permutation(prompts).tolist()))
    assert 0.1 < (found["serves"].value or 0) < 0.6
    assert (found["serves"].beside or 0) > 0.8


def test_the_error_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serves, "learn", lambda pixels, labels, count, steps, seed: seed)
    monkeypatch.setattr(serves, "hits", lambda net, tested, right: torch.arange(10) < (6, 8)[net])
    share, error = serves.accuracy(*torch.empty(2, 10), 3, *torch.empty(2, 10))
    assert share == pytest.approx(0.7)
    assert error == pytest.approx((0.7 * 0.3 / 10 + 0.02 / 2) ** 0.5)


def test_captions_are_no_classes() -> None:
    with pytest.raises(UserError, match="prompts have to be classes: 2 to 100, each of 10 or more"):
        figures(lambda prompts: pytest.fail("nothing is drawn"), ToyImages(size=16, items=200))


def test_as_many_real_pictures_of_the_same_classes() -> None:
    train = Image(8, 1).pack(SOURCE.train, cache_dir())
    found = alike(train, SOURCE.train.prompts, ["flat"] * 3 + ["rows"] * 250, 0)
    every = np.array(train.pixels)
    rows = {picture.tobytes() for number, picture in enumerate(every) if number % 3 == 0}
    assert {picture.numpy().tobytes() for picture in found[3:]} == rows
    flat = {picture.tobytes() for number, picture in enumerate(every) if number % 3 == 2}
    assert {picture.numpy().tobytes() for picture in found[:3]} < flat
    assert torch.equal(found, alike(train, None, ["flat"] * 3 + ["rows"] * 250, 0))


def test_the_same_is_learnt_every_time() -> None:
    pixels = torch.randint(256, (20, 3, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = torch.random.get_rng_state()
    one, again, other = (learn(pixels, torch.arange(20) % 2, 2, 2, seed) for seed in (0, 0, 1))
    assert torch.equal(one(pixels), again(pixels)) and not torch.equal(one(pixels), other(pixels))
    assert torch.equal(before, torch.random.get_rng_state())
