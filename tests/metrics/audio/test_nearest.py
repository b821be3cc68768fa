from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from genai.media.sound import Sound
from genai.metrics.audio.nearest import NearestSound
from genai.metrics.base import EvalContext, Result
from genai.modalities.audio import Audio
from tests.stubs import SoundSource, StubModel

Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def random_tones(rng: np.random.Generator) -> NDArray[np.float64]:
    """About 0.4 s of short tones."""
    frequencies = np.repeat(rng.uniform(100, 3000, 8), rng.integers(200, 600, 8))
    return np.sin(2 * np.pi * frequencies.cumsum() / 8000) * rng.uniform(0.2, 0.8)


SOURCE = SoundSource([(random_tones(np.random.default_rng(number)), "") for number in range(80)])


def results(change: Change, split: str = "train") -> dict[str, Result]:
    """Results of a model whose samples are 0.35 s of real clips after ``change``."""

    def answer(prompts: list[str]) -> list[Sound]:
        clips = [getattr(SOURCE, split)[number].media.samples for number in range(len(prompts))]
        cut = [np.pad(change(clip), (0, 2800))[:2800].astype(np.float32) for clip in clips]
        audio = Audio(8000)
        return [audio.decode(audio.encode(Sound(samples, 8000))) for samples in cut]

    return NearestSound().compute(EvalContext(StubModel(Audio(8000), answer), SOURCE, n=20))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        lambda samples: samples,
        lambda samples: samples * 0.3,
        lambda samples: np.pad(samples, (160, 0)),
        lambda samples: samples[160:] * 0.5,
        lambda samples: np.pad(samples, (115, 0)),
    ],
    ids=["same", "quieter", "late", "early and quieter", "late by a fraction of a frame"],
)
def test_copies_are_found(change: Change) -> None:
    found = results(change)
    near, real = found["nearest_train"].value, found["nearest_train"].reference
    assert near is not None and real is not None
    assert near < 0.4 * real and real > 5
    assert found["nearest_train_low"].value < found["nearest_train_low"].reference  # type: ignore[operator]


def test_exact_copies_have_distance_0() -> None:
    assert results(lambda samples: samples)["nearest_train"].value == pytest.approx(0, abs=0.05)


def test_held_out_clips_equal_the_reference() -> None:
    found = results(lambda samples: samples, "val")
    assert found["nearest_train"].value == pytest.approx(found["nearest_train"].reference, rel=1e-3)


def test_noise_and_silence_are_far() -> None:
    rng = np.random.default_rng(0)
    for change in (lambda x: rng.uniform(-0.5, 0.5, len(x)), np.zeros_like):
        found = results(change)["nearest_train"]
        assert found.value is not None and found.reference is not None and found.value > found.reference
