"""Soundtracks of clips: a short note at each bounce, and rules that hear when something begins to sound.

The shape of the thing that bounces is the instrument, its colour the note, as in the world's pictures and melodies.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genai.toy.world.melody import NOTES, TIMBRES
from genai.toy.world.motion import Motion
from genai.toy.world.scene import COLOURS, SHAPES
from genai.toy.world.synth import DETUNED, FRAMES, LEAST_RATE, LOUDER, NOISE, tone
from genai.toy.world.trajectories import Bounce

Floats = NDArray[np.float64]

HELD, DECAY = 0.1, 0.05
"""Seconds that a note is held, and in which it dies away to 1/e."""
LEVEL = 0.7
"""Amplitude of a note."""
FLOOR = NOISE / 8
"""Of the noise, lower than in melodies: a soundtrack is mostly silence, and it would be most of what is learnt."""
TOLERANCE = 0.062
"""Seconds that a note may be off: half a frame at 8 fps."""

_WINDOW, _HOP = 0.012, 0.004  # seconds over which a level is measured, and from one to the next
_AUDIBLE = 0.02  # root mean square of what counts as sound, and below which nothing rises
_RISE = 5.0  # dB over the quietest since the last onset that make a new one
_LEAST_APART = 0.04  # seconds
_INSTRUMENT, _NAME = dict(zip(SHAPES, TIMBRES, strict=True)), dict(zip(COLOURS, NOTES, strict=True))


class Note(NamedTuple):
    """When in seconds, on which instrument, which of ``melody.NOTES``, and which of ``Motion.things`` sounds."""

    time: float
    timbre: str
    name: str
    thing: int


def score(motion: Motion, bounces: Sequence[Bounce]) -> list[Note]:
    """The notes of a clip, one a bounce."""
    things = [(_INSTRUMENT[thing.shape or ""], _NAME[thing.colour or ""]) for thing in motion.things]
    return [Note(bounce.time, *things[bounce.thing], bounce.thing) for bounce in bounces]


def play(
    scores: Sequence[Sequence[Note]],
    seconds: float,
    rng: np.random.Generator,
    rate: int = 8_000,
) -> NDArray[np.float32]:
    """Soundtracks of the clips whose notes are ``scores``, on the grid of hundredths that melodies have.

    Args:
        scores: one a clip.
        seconds: of each.
        rng: each soundtrack takes the same count of numbers from it.
        rate: samples a second, at least ``LEAST_RATE``.

    Returns:
        (clips, samples) in [-1, 1].

    Raises:
        ValueError: a lower rate.
    """
    if rate < LEAST_RATE:
        raise ValueError(f"rate={rate}: at least {LEAST_RATE} samples a second")
    count = round(seconds * rate)
    sounds = np.empty((len(scores), count), np.float32)
    for sound, notes in zip(sounds, scores, strict=True):
        louder, *detuned = rng.uniform(-1, 1, 3)
        wave = FLOOR * rng.standard_normal(count)
        level = LEVEL * 10 ** (LOUDER * louder / 20)
        for note in notes:
            start = round(round(note.time * FRAMES) * rate / FRAMES)
            frequency = NOTES[note.name] * 2 ** (DETUNED * detuned[note.thing] / 1200)
            struck = level * tone(note.timbre, frequency, round(HELD * rate), rate)
            struck *= np.exp(-np.arange(len(struck)) / (DECAY * rate))
            part = wave[start : start + len(struck)]
            part += struck[: len(part)]
        sound[:] = wave.clip(-1, 1)
    return sounds


def onsets(samples: NDArray[np.floating], rate: int) -> list[float]:
    """When something begins to sound, in seconds: where the level rises above the quietest since the last time.

    Args:
        samples: (time,) in [-1, 1].
        rate: samples a second.
    """
    window, hop = round(_WINDOW * rate), round(_HOP * rate)
    energy = np.cumsum(np.pad(np.square(samples, dtype=np.float64), (window, 0)))
    power = (energy[window::hop] - energy[:-window:hop]) / window  # of the window that ends here
    level = 10 * np.log10(np.maximum(power, _AUDIBLE**2))
    found, lowest, last = [], level[0] if len(level) else 0.0, -np.inf
    for number, (value, before) in enumerate(zip(level, [lowest, *level], strict=False)):
        time = number * hop / rate
        if value - lowest >= _RISE and time - last >= _LEAST_APART:
            found.append(time)
            lowest, last = value, time
        lowest = value if found and time - last < _LEAST_APART and value >= before else min(lowest, value)
    return found


def named(samples: NDArray[np.floating], rate: int, times: Sequence[float]) -> list[str]:
    """Which note of the world begins at each of ``times``: the one whose fundamental is strongest."""
    size = round(HELD * rate)
    padded, seconds = np.pad(samples.astype(np.float64), (0, size)), np.arange(size)[:, None] / rate
    waves = np.exp(-2j * np.pi * np.array(list(NOTES.values())) * seconds) * np.hanning(size)[:, None]
    starts = [min(round(time * rate), len(samples)) for time in times]
    return [list(NOTES)[int(np.abs(padded[start : start + size] @ waves).argmax())] for start in starts]


def f1(found: Sequence[Sequence[float]], true: Sequence[Sequence[float]], tolerance: float = TOLERANCE) -> float:
    """F1 of onsets, counted over all sounds; 0 where there are none.

    Args:
        found, true: of each sound the times in s, in their order.
        tolerance: in s, within which one that was found is a true one; each is the other of one alone.
    """
    hits = sum(len(matched(*pair, tolerance)) for pair in zip(found, true, strict=True))
    return 2 * hits / max(1, sum(map(len, found)) + sum(map(len, true)))


def matched(found: Sequence[float], true: Sequence[float], tolerance: float = TOLERANCE) -> list[tuple[int, int]]:
    """The most pairs, by number, of a time that was found and a true one that are at most ``tolerance`` s apart."""
    pairs, at = [], 0
    for number, time in enumerate(true):
        while at < len(found) and found[at] < time - tolerance:
            at += 1
        if at < len(found) and found[at] <= time + tolerance:
            pairs.append((at, number))
            at += 1
    return pairs
