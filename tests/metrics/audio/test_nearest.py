from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from genai.media.sound import Sound
from genai.metrics.audio.nearest import NearestClip
from genai.metrics.base import EvalContext, Result
from genai.modalities.audio import Audio
from tests.metrics.stubs import Model, Sounds

Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def warble(draw: np.random.Generator) -> NDArray[np.float64]:
    """Some 0.4 s of tones that change often."""
    pitches = np.repeat(draw.uniform(100, 3000, 8), draw.integers(200, 600, 8))
    return np.sin(2 * np.pi * pitches.cumsum() / 8000) * draw.uniform(0.2, 0.8)


SOURCE = Sounds([(warble(np.random.default_rng(number)), "") for number in range(80)])


def figures(change: Change, split: str = "train") -> dict[str, Result]:
    """Of a model whose samples are 0.35 s of real clips, changed."""

    def answer(prompts: list[str]) -> list[Sound]:
        clips = [getattr(SOURCE, split)[number].media.samples for number in range(len(prompts))]
        cut = [np.pad(change(clip), (0, 2800))[:2800].astype(np.float32) for clip in clips]
        audio = Audio(8000)
        return [audio.decode(audio.encode(Sound(samples, 8000))) for samples in cut]

    return NearestClip().compute(EvalContext(Model(Audio(8000), answer), SOURCE, n=20))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        lambda samples: samples,
        lambda samples: samples * 0.3,
        lambda samples: np.pad(samples, (160, 0)),
        lambda samples: samples[160:] * 0.5,
        lambda samples: np.pad(samples, (115, 0)),
    ],
    ids=["same", "quieter", "late", "early and quieter", "late by no whole frames"],
)
def test_copies_are_found(change: Change) -> None:
    found = figures(change)
    near, real = found["nearest_clip"].value, found["nearest_clip"].beside
    assert near is not None and real is not None
    assert near < 0.4 * real and real > 5
    assert found["nearest_clip_low"].value < found["nearest_clip_low"].beside  # type: ignore[operator]


def test_an_exact_copy_is_at_nothing() -> None:
    assert figures(lambda samples: samples)["nearest_clip"].value == pytest.approx(0, abs=0.05)


def test_held_out_clips_are_as_near_as_themselves() -> None:
    found = figures(lambda samples: samples, "val")
    assert found["nearest_clip"].value == pytest.approx(found["nearest_clip"].beside, rel=1e-3)


def test_noise_is_far_and_silence_is_no_copy() -> None:
    draw = np.random.default_rng(0)
    for change in (lambda x: draw.uniform(-0.5, 0.5, len(x)), np.zeros_like):
        found = figures(change)["nearest_clip"]
        assert found.value is not None and found.beside is not None and found.value > found.beside
