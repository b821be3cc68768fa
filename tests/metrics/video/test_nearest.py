from collections.abc import Callable

import numpy as np
import pytest
import torch

from genai.media.clip import Clip
from genai.metrics.base import Result
from genai.metrics.video import nearest as module
from genai.metrics.video.nearest import NearestFilm, nearest_films
from genai.toy.data.video import ToyVideo
from tests.metrics.video.damaged_clips import Reel, film, study

SOURCE = ToyVideo(items=100, frames=6)


def figures(answer: Callable[[int], Clip]) -> dict[str, Result]:
    return NearestFilm().compute(study(SOURCE, lambda prompts: [answer(i) for i in range(len(prompts))], n=10))


def test_copies_are_at_nothing() -> None:
    found = figures(lambda index: SOURCE.train[index].media)
    assert found["nearest_film"].value == found["nearest_film_low"].value == 0
    assert (found["nearest_film"].beside or 0) > (found["nearest_film_low"].beside or 0) > 0.02


def test_held_out_clips_are_as_near_as_themselves() -> None:
    found = figures(lambda index: SOURCE.val[index].media)
    assert found["nearest_film"].value == pytest.approx(found["nearest_film"].beside)


def test_copies_of_the_middle_of_a_longer_clip_are_at_nothing() -> None:
    rng = np.random.default_rng(0)
    reel = Reel([rng.integers(0, 256, (4 + number % 9, 1, 8, 8), np.uint8) for number in range(40)])
    clip = next(clip for number, clip in enumerate(reel.clips) if number % 4 and len(clip) == 12)
    answers = [film(clip[start : start + 5]) for start in range(8)]
    found = NearestFilm().compute(study(reel, lambda prompts: answers, n=8))
    assert found["nearest_film"].value == 0 < (found["nearest_film_low"].beside or 0)


def test_distances_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NUMBERS", 2000)
    rng = np.random.default_rng(0)
    reel = Reel(list(rng.integers(0, 256, (40, 3, 1, 8, 8), np.uint8)))
    clips = rng.integers(0, 256, (5, 3, 1, 8, 8), np.uint8)
    train = np.stack([clip for number, clip in enumerate(reel.clips) if number % 4]).astype(float)
    by_hand = np.sqrt((((clips[:, None] - train[None]) / 255) ** 2).mean((2, 3, 4, 5))).min(1)
    found = nearest_films(torch.from_numpy(clips), study(reel).train, torch.device("cpu"))
    assert found == pytest.approx(by_hand, rel=1e-5)
