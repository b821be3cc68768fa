"""Analysis and synthesis of voices."""

import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from genai.core.errors import UserError
from genai.speech.voice_frames import FRAME_SECONDS, NUM_BANDS, VoiceFrames, analyze, load_world, synthesize

RATE = 16_000


def vowel(f0: float, seconds: float = 0.5, rate: int = RATE) -> NDArray[np.float32]:
    """Harmonics of ``f0`` below 4 kHz that get weaker."""
    times = np.arange(round(seconds * rate)) / rate
    harmonics = [np.sin(2 * np.pi * f0 * n * times) / n for n in range(1, int(4000 / f0))]
    return (0.1 * np.sum(harmonics, axis=0)).astype(np.float32)


def test_the_pitch_of_a_vowel_and_of_silence() -> None:
    samples = np.concatenate([vowel(180), np.zeros(RATE // 2, np.float32)])
    frames = analyze(samples, RATE)
    assert len(frames) == 1 + int(1 / FRAME_SECONDS) and frames.log_envelope.shape == (len(frames), NUM_BANDS)
    assert {array.dtype for array in vars(frames).values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(frames.f0[4:34], 180, rtol=0.01)
    assert not frames.f0[44:].any() and frames.aperiodicity[44:].min() > -0.01
    assert frames.aperiodicity[4:34].max() < -3
    assert frames.log_envelope[20].mean() > frames.log_envelope[60].mean() + 5


@pytest.mark.parametrize("rate", [8_000, RATE, 22_050])
def test_a_voice_comes_back(rate: int) -> None:
    frames = analyze(vowel(220, 0.4, rate), rate)
    copy = synthesize(frames, rate)
    again = analyze(copy, rate)
    assert copy.dtype == np.float32 and abs(len(copy) / rate - 0.4) < 2 * FRAME_SECONDS and np.abs(copy).max() <= 1
    np.testing.assert_allclose(again.f0[6:24], 220, rtol=0.01)
    assert np.abs(again.log_envelope[6:24, :25] - frames.log_envelope[6:24, :25]).mean() < 1.5


def test_the_same_sound_has_the_same_frames() -> None:
    samples = vowel(120, 0.2) + np.random.default_rng(0).normal(0, 0.01, RATE // 5).astype(np.float32)
    first, second = analyze(samples, RATE), analyze(samples, RATE)
    assert all((getattr(first, name) == getattr(second, name)).all() for name in vars(first))


def test_a_shorter_step_has_more_frames() -> None:
    assert len(analyze(vowel(120, 0.2), RATE, 0.005)) == 41


def test_no_samples() -> None:
    with pytest.raises(UserError, match="no samples"):
        analyze(np.zeros(0, np.float32), RATE)


def test_loud_frames_are_not_clipped() -> None:
    frames = VoiceFrames(
        np.full((20, NUM_BANDS), 3.0, np.float32), np.full(20, -20, np.float32), np.full(20, 200, np.float32)
    )
    assert np.abs(synthesize(frames, RATE)).max() == 1


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyworld", None)
    load_world.cache_clear()
    with pytest.raises(UserError, match=r"pip install 'genai\[voice\]'"):
        analyze(vowel(120, 0.1), RATE)
