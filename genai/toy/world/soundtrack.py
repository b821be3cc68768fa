"""Soundtracks of clips: a short note at each bounce, and a rule-based detector of onsets and notes.

The shape of the bouncing thing selects the instrument, its color the note.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genai.toy.world.melody import NOTES, TIMBRES
from genai.toy.world.motion import Motion
from genai.toy.world.scene import COLORS, SHAPES
from genai.toy.world.synth import (
    DETUNE_CENTS,
    FRAMES_PER_SECOND,
    GAIN_JITTER_DB,
    MIN_SAMPLE_RATE,
    NOISE_STD,
    render_note,
)
from genai.toy.world.trajectories import Bounce

Floats = NDArray[np.float64]

NOTE_SECONDS, DECAY_SECONDS = 0.1, 0.05
"""Length of a note, and time constant of its decay."""
NOTE_AMPLITUDE = 0.7
BACKGROUND_NOISE_STD = NOISE_STD / 8
"""Lower than in melodies: soundtracks are mostly silence, so most of the likelihood would be spent on noise."""
ONSET_TOLERANCE_SECONDS = 0.062
"""Largest error of a correct onset: half a frame at 8 fps."""

_WINDOW_SECONDS, _HOP_SECONDS = 0.012, 0.004  # of the level measurement
_MIN_RMS = 0.02  # quieter windows count as silence
_MIN_LEVEL_STEP_DB = 5.0  # of an onset, over the quietest window since the last onset
_MIN_ONSET_INTERVAL = 0.04  # seconds
_SHAPE_TIMBRES = dict(zip(SHAPES, TIMBRES, strict=True))
_COLOR_NOTES = dict(zip(COLORS, NOTES, strict=True))


class Note(NamedTuple):
    """A note at ``time`` in seconds: its timbre, its name in ``melody.NOTES``, and the number of the thing it is of."""

    time: float
    timbre: str
    name: str
    thing: int


def bounce_notes(motion: Motion, bounces: Sequence[Bounce]) -> list[Note]:
    """Return the notes of a clip, one per bounce."""
    things = [(_SHAPE_TIMBRES[thing.shape or ""], _COLOR_NOTES[thing.color or ""]) for thing in motion.things]
    return [Note(bounce.time, *things[bounce.thing], bounce.thing) for bounce in bounces]


def render_soundtracks(
    soundtracks: Sequence[Sequence[Note]],
    seconds: float,
    rng: np.random.Generator,
    sample_rate: int = 8_000,
) -> NDArray[np.float32]:
    """Render soundtracks, on the same grid of 10 ms frames as melodies.

    Args:
        soundtracks: the notes of each clip.
        seconds: length of each soundtrack.
        rng: each soundtrack takes the same number of random numbers.
        sample_rate: in Hz, at least ``MIN_SAMPLE_RATE``.

    Returns:
        (clips, samples) in [-1, 1].

    Raises:
        ValueError: for a lower sample rate.
    """
    if sample_rate < MIN_SAMPLE_RATE:
        raise ValueError(f"sample_rate={sample_rate}: at least {MIN_SAMPLE_RATE} Hz")
    num_samples = round(seconds * sample_rate)
    sounds = np.empty((len(soundtracks), num_samples), np.float32)
    for sound, notes in zip(sounds, soundtracks, strict=True):
        gain, *detunes = rng.uniform(-1, 1, 3)
        wave = BACKGROUND_NOISE_STD * rng.standard_normal(num_samples)
        amplitude = NOTE_AMPLITUDE * 10 ** (GAIN_JITTER_DB * gain / 20)
        for note in notes:
            start = round(round(note.time * FRAMES_PER_SECOND) * sample_rate / FRAMES_PER_SECOND)
            frequency = NOTES[note.name] * 2 ** (DETUNE_CENTS * detunes[note.thing] / 1200)
            samples = amplitude * render_note(note.timbre, frequency, round(NOTE_SECONDS * sample_rate), sample_rate)
            samples *= np.exp(-np.arange(len(samples)) / (DECAY_SECONDS * sample_rate))
            target = wave[start : start + len(samples)]
            target += samples[: len(target)]
        sound[:] = wave.clip(-1, 1)
    return sounds


def detect_onsets(samples: NDArray[np.floating], sample_rate: int) -> list[float]:
    """Detect onsets: times in seconds at which the level rises above its minimum since the last onset.

    Args:
        samples: (time,) in [-1, 1].
        sample_rate: in Hz.
    """
    window, hop = round(_WINDOW_SECONDS * sample_rate), round(_HOP_SECONDS * sample_rate)
    energy = np.cumsum(np.pad(np.square(samples, dtype=np.float64), (window, 0)))
    power = (energy[window::hop] - energy[:-window:hop]) / window  # of the window that ends here
    levels = 10 * np.log10(np.maximum(power, _MIN_RMS**2))
    onsets, min_level, last_onset = [], levels[0] if len(levels) else 0.0, -np.inf
    for number, (level, previous) in enumerate(zip(levels, [min_level, *levels], strict=False)):
        time = number * hop / sample_rate
        if level - min_level >= _MIN_LEVEL_STEP_DB and time - last_onset >= _MIN_ONSET_INTERVAL:
            onsets.append(time)
            min_level, last_onset = level, time
        is_rising = onsets and time - last_onset < _MIN_ONSET_INTERVAL and level >= previous
        min_level = level if is_rising else min(min_level, level)
    return onsets


def classify_notes(samples: NDArray[np.floating], sample_rate: int, times: Sequence[float]) -> list[str]:
    """Return the note that starts at each of ``times``: the one with the strongest fundamental."""
    size = round(NOTE_SECONDS * sample_rate)
    padded, seconds = np.pad(samples.astype(np.float64), (0, size)), np.arange(size)[:, None] / sample_rate
    waves = np.exp(-2j * np.pi * np.array(list(NOTES.values())) * seconds) * np.hanning(size)[:, None]
    starts = [min(round(time * sample_rate), len(samples)) for time in times]
    return [list(NOTES)[int(np.abs(padded[start : start + size] @ waves).argmax())] for start in starts]


def onset_f1(
    predicted: Sequence[Sequence[float]],
    targets: Sequence[Sequence[float]],
    tolerance: float = ONSET_TOLERANCE_SECONDS,
) -> float:
    """Compute the F1 score of onsets over all sounds; 0 if there are none.

    Args:
        predicted: sorted times of each sound, in seconds.
        targets: the true times.
        tolerance: largest error of a match in seconds; each time is matched at most once.
    """
    hits = sum(len(match_onsets(*pair, tolerance)) for pair in zip(predicted, targets, strict=True))
    return 2 * hits / max(1, sum(map(len, predicted)) + sum(map(len, targets)))


def match_onsets(
    predicted: Sequence[float], targets: Sequence[float], tolerance: float = ONSET_TOLERANCE_SECONDS
) -> list[tuple[int, int]]:
    """Match as many pairs of times as possible that differ by at most ``tolerance`` seconds; return their indices."""
    pairs, index = [], 0
    for target_index, time in enumerate(targets):
        while index < len(predicted) and predicted[index] < time - tolerance:
            index += 1
        if index < len(predicted) and predicted[index] <= time + tolerance:
            pairs.append((index, target_index))
            index += 1
    return pairs
