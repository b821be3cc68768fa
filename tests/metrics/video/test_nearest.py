from collections.abc import Callable

import numpy as np
import pytest
import torch

from genai.media.clip import Clip
from genai.metrics.base import Result
from genai.metrics.video import nearest as module
from genai.metrics.video.nearest import NearestClip, nearest_clip_distances
from genai.toy.data.video import ToyVideo
from tests.stubs import ClipSource, make_clip, make_context

SOURCE = ToyVideo(items=100, frames=6)


def results(answer: Callable[[int], Clip]) -> dict[str, Result]:
    return NearestClip().compute(make_context(SOURCE, lambda prompts: [answer(i) for i in range(len(prompts))], n=10))


def test_copies_have_distance_0() -> None:
    found = results(lambda index: SOURCE.train[index].media)
    assert found["nearest_train"].value == found["nearest_train_low"].value == 0
    assert (found["nearest_train"].reference or 0) > (found["nearest_train_low"].reference or 0) > 0.02


def test_held_out_clips_equal_the_reference() -> None:
    found = results(lambda index: SOURCE.val[index].media)
    assert found["nearest_train"].value == pytest.approx(found["nearest_train"].reference)


def test_parts_of_training_clips_have_distance_0() -> None:
    rng = np.random.default_rng(0)
    source = ClipSource([rng.integers(0, 256, (4 + number % 9, 1, 8, 8), np.uint8) for number in range(40)])
    clip = next(clip for number, clip in enumerate(source.clips) if number % 4 and len(clip) == 12)
    answers = [make_clip(clip[start : start + 5]) for start in range(8)]
    found = NearestClip().compute(make_context(source, lambda prompts: answers, n=8))
    assert found["nearest_train"].value == 0 < (found["nearest_train_low"].reference or 0)


def test_distances_equal_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHUNK_VALUES", 2000)
    rng = np.random.default_rng(0)
    source = ClipSource(list(rng.integers(0, 256, (40, 3, 1, 8, 8), np.uint8)))
    clips = rng.integers(0, 256, (5, 3, 1, 8, 8), np.uint8)
    train = np.stack([clip for number, clip in enumerate(source.clips) if number % 4]).astype(float)
    expected = np.sqrt((((clips[:, None] - train[None]) / 255) ** 2).mean((2, 3, 4, 5))).min(1)
    found = nearest_clip_distances(torch.from_numpy(clips), make_context(source).train, torch.device("cpu"))
    assert found == pytest.approx(expected, rel=1e-5)
