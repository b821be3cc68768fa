"""Synthesizer of melodies: five instruments made of sinusoids; a sound lasts one second on a grid of 10 ms frames."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genai.toy.world.melody import NOTES, Melody

Floats = NDArray[np.float64]

FRAMES_PER_SECOND = 100
"""Frames of the grid per second; a sound lasts one second."""
SLOT_FRAMES = {1: 100, 2: 50, 3: 33}
"""Frames from the start of a note to that of the next, by number of notes."""
NOTE_FRAMES: dict[int, dict[str, int]] = {
    1: {"short": 30, "long": 85},
    2: {"short": 20, "long": 44},
    3: {"short": 13, "long": 29},
}
"""Frames that a note is held, by number of notes and length."""
RELEASE_SECONDS = 0.015
"""Fade-out after a note."""
AMPLITUDES = {"soft": 0.22, "loud": 0.8}
MIN_SAMPLE_RATE = 4_000
"""In Hz."""
MAX_FREQUENCY_RATIO = 0.45
"""Highest frequency of a partial, as a fraction of the sample rate."""

DETUNE_CENTS, GAIN_JITTER_DB, NOISE_STD = 8.0, 1.0, 0.001
"""Random variation of sounds: pitch, loudness, and noise at -60 dB of full scale."""
_AMPLITUDE_SCALE = 0.62
_ATTACK_SECONDS = {"flute": 0.04, "organ": 0.008, "bell": 0.002, "guitar": 0.002, "trumpet": 0.03}
_NO_DECAY = float("inf")
_PARTIALS: dict[str, list[tuple[float, float, float]]] = {
    "flute": [(1, 1, _NO_DECAY), (2, 0.12, _NO_DECAY), (3, 0.03, _NO_DECAY)],
    "organ": [(k, 1 / k, _NO_DECAY) for k in (1, 3, 5, 7, 9, 11)],
    "bell": [(1, 1, 0.6), (2.76, 0.6, 0.4), (5.4, 0.25, 0.2)],
    "guitar": [(k, 1 / k, 0.33 / (1 + 0.35 * (k - 1))) for k in range(1, 13)],
    "trumpet": [(k, k**-0.6, _NO_DECAY) for k in range(1, 13)],
}
"""Frequency as a multiple of the fundamental, amplitude, and time constant of the decay in seconds."""


def note_intervals(melody: Melody) -> list[tuple[int, int]]:
    """Return the first frame of each note and of its release. Raises ``ValueError`` if the length is unknown."""
    if melody.length is None:
        raise ValueError(f"the length of the notes is unknown: {melody}")
    count = len(melody.notes)
    note_frames = NOTE_FRAMES[count][melody.length]
    return [(start, start + note_frames) for start in range(0, count * SLOT_FRAMES[count], SLOT_FRAMES[count])]


def render_melodies(
    melodies: Sequence[Melody], rng: np.random.Generator, sample_rate: int = 8_000
) -> NDArray[np.float32]:
    """Render complete melodies with small random variations of pitch and loudness, and noise.

    Args:
        melodies: one per sound.
        rng: each sound takes the same number of random numbers, so the first ones do not depend on later ones.
        sample_rate: in Hz, at least ``MIN_SAMPLE_RATE``. Partials above ``MAX_FREQUENCY_RATIO`` of it are left out.

    Returns:
        (melodies, sample_rate) in [-1, 1]: one second each.

    Raises:
        ValueError: for a melody with a free attribute, or a lower sample rate.
    """
    if sample_rate < MIN_SAMPLE_RATE:
        raise ValueError(f"sample_rate={sample_rate}: at least {MIN_SAMPLE_RATE} Hz")
    if incomplete := next((melody for melody in melodies if not melody.is_complete), None):
        raise ValueError(f"only complete melodies can be rendered; this one has free attributes: {incomplete}")
    sounds = np.empty((len(melodies), sample_rate), np.float32)
    for sound, melody in zip(sounds, melodies, strict=True):
        gain, *detunes = rng.uniform(-1, 1, 4)
        wave = NOISE_STD * rng.standard_normal(sample_rate)
        amplitude = AMPLITUDES[melody.loudness or ""] * 10 ** (GAIN_JITTER_DB * gain / 20)
        for note, detune, interval in zip(melody.notes, detunes, note_intervals(melody), strict=False):
            start, end = (round(frame * sample_rate / FRAMES_PER_SECOND) for frame in interval)
            frequency = NOTES[note] * 2 ** (DETUNE_CENTS * detune / 1200)
            samples = amplitude * render_note(melody.timbre or "", frequency, end - start, sample_rate)
            wave[start : start + len(samples)] += samples
        sound[:] = wave.clip(-1, 1)
    return sounds


def render_note(timbre: str, frequency: float, num_samples: int, sample_rate: int) -> Floats:
    """Render one note, with the same power in every timbre.

    Args:
        timbre: name of the instrument.
        frequency: of the fundamental, in Hz.
        num_samples: length of the note without its release.
        sample_rate: in Hz.

    Returns:
        (num_samples + release,).
    """
    release = round(RELEASE_SECONDS * sample_rate)
    time = np.arange(num_samples + release) / sample_rate
    max_frequency = MAX_FREQUENCY_RATIO * sample_rate
    partials = [partial for partial in _PARTIALS[timbre] if partial[0] * frequency < max_frequency]
    wave = np.zeros(len(time))
    for multiple, amplitude, decay in partials:
        sinusoid = amplitude * np.sin(2 * np.pi * multiple * frequency * time)
        wave += sinusoid if decay == _NO_DECAY else sinusoid * np.exp(-time / decay)
    envelope = np.minimum(1, time / _ATTACK_SECONDS[timbre])
    envelope[num_samples:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(release) / release)
    return wave * envelope * _AMPLITUDE_SCALE / float(np.sqrt(sum(amplitude**2 for _, amplitude, _ in partials)))
