"""Sounds of melodies: five instruments made of sinusoids, one second on a grid of hundredths."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genai.toy.world.melody import NOTES, Melody

Floats = NDArray[np.float64]

FRAMES = 100
"""Of 10 ms, in the second that a sound lasts."""
SLOTS = {1: 100, 2: 50, 3: 33}
"""Frames from one beginning of a note to the next, by the count of notes."""
DURATIONS: dict[int, dict[str, int]] = {
    1: {"short": 30, "long": 85},
    2: {"short": 20, "long": 44},
    3: {"short": 13, "long": 29},
}
"""Frames that a note is held, by the count of notes and their length."""
RELEASE = 0.015
"""Seconds in which a note then fades."""
LEVELS = {"soft": 0.22, "loud": 0.8}
"""Amplitudes."""
LEAST_RATE = 4_000
BAND = 0.45
"""Highest partial as a share of the rate."""

DETUNED, LOUDER, NOISE = 8.0, 1.0, 0.001
"""How much sounds vary: in cents, in dB, and noise at -60 dB of full scale."""
_PEAK = 0.62
_ATTACKS = {"flute": 0.04, "organ": 0.008, "bell": 0.002, "guitar": 0.002, "trumpet": 0.03}  # seconds
_STEADY = float("inf")
_PARTIALS: dict[str, list[tuple[float, float, float]]] = {
    "flute": [(1, 1, _STEADY), (2, 0.12, _STEADY), (3, 0.03, _STEADY)],
    "organ": [(k, 1 / k, _STEADY) for k in (1, 3, 5, 7, 9, 11)],
    "bell": [(1, 1, 0.6), (2.76, 0.6, 0.4), (5.4, 0.25, 0.2)],
    "guitar": [(k, 1 / k, 0.33 / (1 + 0.35 * (k - 1))) for k in range(1, 13)],
    "trumpet": [(k, k**-0.6, _STEADY) for k in range(1, 13)],
}
"""Frequency as a multiple of the fundamental, amplitude, seconds in which it decays to 1/e."""


def timing(melody: Melody) -> list[tuple[int, int]]:
    """Frames in which each note begins and begins to fade. Raises ``ValueError`` where its length is not known."""
    if melody.length is None:
        raise ValueError(f"how long the notes are is not said: {melody}")
    count = len(melody.notes)
    held = DURATIONS[count][melody.length]
    return [(start, start + held) for start in range(0, count * SLOTS[count], SLOTS[count])]


def play(melodies: Sequence[Melody], rng: np.random.Generator, rate: int = 8_000) -> NDArray[np.float32]:
    """Sounds of complete melodies, each a little out of tune, louder or softer, and noisy.

    Args:
        melodies: one a sound.
        rng: each sound takes the same count of numbers from it, so the first ones do not depend on later ones.
        rate: samples a second, at least ``LEAST_RATE``. Partials above ``BAND`` of it are left out.

    Returns:
        (melodies, rate) in [-1, 1]: a second each.

    Raises:
        ValueError: a melody with a free attribute; a lower rate.
    """
    if rate < LEAST_RATE:
        raise ValueError(f"rate={rate}: at least {LEAST_RATE} samples a second")
    if incomplete := next((melody for melody in melodies if not melody.is_complete), None):
        raise ValueError(f"only complete melodies can be played; this one leaves attributes free: {incomplete}")
    sounds = np.empty((len(melodies), rate), np.float32)
    for sound, melody in zip(sounds, melodies, strict=True):
        louder, *detuned = rng.uniform(-1, 1, 4)
        wave = NOISE * rng.standard_normal(rate)
        level = LEVELS[melody.loudness or ""] * 10 ** (LOUDER * louder / 20)
        for note, cents, frames in zip(melody.notes, detuned, timing(melody), strict=False):
            start, end = (round(frame * rate / FRAMES) for frame in frames)
            frequency = NOTES[note] * 2 ** (DETUNED * cents / 1200)
            played = level * tone(melody.timbre or "", frequency, end - start, rate)
            wave[start : start + len(played)] += played
        sound[:] = wave.clip(-1, 1)
    return sounds


def tone(timbre: str, frequency: float, held: int, rate: int) -> Floats:
    """(held + release,): one note of the same power in every timbre; ``held`` in samples, ``frequency`` in Hz."""
    release = round(RELEASE * rate)
    time = np.arange(held + release) / rate
    inside = [partial for partial in _PARTIALS[timbre] if partial[0] * frequency < BAND * rate]
    wave = np.zeros(len(time))
    for multiple, amplitude, decay in inside:
        partial = amplitude * np.sin(2 * np.pi * multiple * frequency * time)
        wave += partial if decay == _STEADY else partial * np.exp(-time / decay)
    envelope = np.minimum(1, time / _ATTACKS[timbre])
    envelope[held:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(release) / release)
    return wave * envelope * _PEAK / float(np.sqrt(sum(amplitude**2 for _, amplitude, _ in inside)))
