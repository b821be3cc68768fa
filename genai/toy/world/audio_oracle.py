"""The oracle for sounds: hears a melody in a waveform, by rules, and says which attributes of a prompt it fulfils.

Where the energy jumps says how many notes there are. The pitch of each is the highest peak between C4 and C5; the
strength of its partials beside the fundamental, and how that swells and dies away, name the instrument; what is left
of the fundamental late in the slot tells long from short. A sound whose energy is not in the partials is no melody.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from genai.toy.world.melody import NOTES, Melody
from genai.toy.world.synth import FRAMES, SLOTS

Floats = NDArray[np.float64]

IN_TUNE = 50.0
"""Cents from a note that still are that note: half a semitone."""
LEAST_TONAL = 0.5
"""Least share of a note's energy that is in its partials; white noise reaches 0.1."""
LEAST_LEVEL = 0.01
"""Root mean square of a beginning that can be heard; soft notes have 0.07."""
LOUD = 0.16
"""Root mean square of the beginning of a loud note: halfway, in dB, between 0.08 of soft and 0.32 of loud ones."""
LEAST_SECONDS = 0.5
"""Of a sound that can be read; what it lacks of a second is silence."""

_LOWEST, _HIGHEST = 235.0, 560.0
_GRID = np.arange(_LOWEST, _HIGHEST)  # Hz
_PARTIALS = np.array([*range(1, 13), 2.76, 5.4])
_WAVERING = (-0.006, 0.0, 0.006)  # a partial is looked for that much beside its place, as a share of its frequency
_BEGINNING = {1: 0.28, 2: 0.38, 3: 0.38}
"""The share of a slot in which a note of any length sounds."""
_SWELL = {1: 0.22, 2: 0.27, 3: 0.27}
"""The share over which the swelling of the fundamental is measured."""
_LATE, _END = (0.6, 0.8), (0.52, 0.84)
"""Shares of a slot in which only long notes sound: to tell them, and to hear whether they end in tune."""
_STILL_SOUNDS = 0.05
_CHUNK = 32


@dataclass(frozen=True)
class Heard:
    """What is to be heard in a sound.

    Attributes:
        melody: what notes do not have in common (a timbre, a length) is ``None``. None: nothing that the world has.
        cents: of each note, how far above the nearest note of the world it is.
        tail: of each long note, how far its end is above that same note, in cents; empty where notes are not long.
        tonal: share of the energy that is in partials, of the note that has the least.
    """

    melody: Melody | None
    cents: tuple[float, ...] = ()
    tail: tuple[float, ...] = ()
    tonal: float = 0.0


def hear(waves: NDArray[np.floating] | Sequence[NDArray[np.floating]], rate: int = 8_000) -> list[Heard]:
    """What is heard in the first second of each of ``waves`` (batch, time), or in sounds of several lengths.

    Raises:
        ValueError: sounds of more than one dimension.
    """
    if any(np.ndim(wave) != 1 for wave in waves):
        raise ValueError("sounds should be (batch, time)")
    seconds = np.zeros((len(waves), rate))
    for second, wave in zip(seconds, waves, strict=True):
        known = np.asarray(wave[:rate], np.float64)
        if len(known) >= LEAST_SECONDS * rate:
            second[: len(known)] = np.nan_to_num(known, nan=0, posinf=0, neginf=0).clip(-1, 1)
    counts = _count(seconds, rate)
    heard = dict.fromkeys(range(len(waves)), Heard(None))
    for count in SLOTS:
        rows = np.flatnonzero(counts == count)
        for part in (rows[at : at + _CHUNK] for at in range(0, len(rows), _CHUNK)):
            heard |= zip(part.tolist(), _read(seconds[part], count, rate), strict=True)
    return [heard[row] for row in range(len(waves))]


def fulfilled(asked: Melody, heard: Heard) -> dict[str, bool]:
    """Whether a sound has what was asked for: the count of notes, the notes, and each attribute that ``asked`` sets.

    ``notes`` are right when each is within ``IN_TUNE`` of the one asked for.
    """
    names = [name for name in ("timbre", "loudness", "length") if getattr(asked, name) is not None]
    if heard.melody is None:
        return dict.fromkeys(["count", "notes", *names], False)
    same = {name: getattr(asked, name) == getattr(heard.melody, name) for name in names}
    in_tune = all(abs(cents) < IN_TUNE for cents in heard.cents)
    count = len(asked.notes) == len(heard.melody.notes)
    return {"count": count, "notes": in_tune and asked.notes == heard.melody.notes, **same}


def all_right(asked: Melody, heard: Heard) -> bool:
    """Whether a melody was heard that has everything that was asked for."""
    return all(fulfilled(asked, heard).values())


def off(asked: Melody, heard: Heard) -> tuple[float, ...]:
    """Cents of each note heard above the one asked for; empty where not as many notes were heard."""
    if heard.melody is None or len(heard.melody.notes) != len(asked.notes):
        return ()
    trios = zip(asked.notes, heard.melody.notes, heard.cents, strict=True)
    return tuple(cents + 1200 * float(np.log2(NOTES[note] / NOTES[wanted])) for wanted, note, cents in trios)


# How many notes, and when.


def _count(waves: Floats, rate: int) -> NDArray[np.int64]:
    """(batch,) notes in seconds of sound; 0 where nothing can be heard."""

    def energy(start: float, end: float) -> Floats:
        """Mean square from ``start`` to ``end``, in seconds."""
        return (waves[:, round(start * rate) : round(end * rate)] ** 2).mean(1)

    loudest = np.max([energy(start, end) for start, end in pairwise(np.linspace(0, 1, 21))], 0)

    def begins(frame: int) -> NDArray[np.bool_]:
        at = frame / FRAMES
        before, after = energy(at - 0.0225, at - 0.002), energy(at + 0.02, at + 0.08)
        return (after > 3 * before) & (after > 0.01 * loudest) & (after > 1e-5)

    counts = np.where(begins(SLOTS[2]), 2, 1)
    counts[begins(SLOTS[3]) & begins(2 * SLOTS[3])] = 3
    return np.where(loudest < LEAST_LEVEL**2, 0, counts)


# What each note is.


def _read(waves: Floats, count: int, rate: int) -> list[Heard]:
    """What is heard in sounds (batch, rate) of ``count`` notes."""
    starts = [slot * SLOTS[count] / FRAMES for slot in range(count)]
    size = round(SLOTS[count] * rate / FRAMES)
    slots = np.stack([waves[:, round(start * rate) :][:, :size] for start in starts], 1)
    levels = np.sqrt((slots[:, :, : rate // 8] ** 2).mean(2)).mean(1)
    notes = [_note(slots[:, at], count, rate) for at in range(count)]
    return [
        _together([(note.pitch[row], note.end[row], note.timbre[row], note.tonal[row]) for note in notes], levels[row])
        for row in range(len(waves))
    ]


def _together(notes: Sequence[tuple[float, float, str, float]], level: float) -> Heard:
    """One melody of notes: (pitch, pitch at the end or nan, timbre, tonal share) of each."""
    tonal = float(min(tonal for *_, tonal in notes))
    if tonal < LEAST_TONAL or level < LEAST_LEVEL:
        return Heard(None, tonal=tonal)
    names = [min(NOTES, key=lambda name: abs(np.log2(pitch / NOTES[name]))) for pitch, *_ in notes]
    cents = tuple(_cents(pitch, name) for name, (pitch, *_) in zip(names, notes, strict=True))
    tails = tuple(_cents(end, name) for name, (_, end, *_) in zip(names, notes, strict=True))
    long = [bool(np.isfinite(end)) for _, end, *_ in notes]
    length = "long" if all(long) else None if any(long) else "short"
    timbre, votes = Counter(timbre for *_, timbre, _ in notes).most_common(1)[0]
    melody = Melody(
        tuple(names), timbre if 2 * votes > len(notes) else None, "loud" if level > LOUD else "soft", length
    )
    return Heard(melody, cents, tails if length == "long" else (), tonal)


def _cents(pitch: float, note: str) -> float:
    return 1200 * float(np.log2(pitch / NOTES[note]))


@dataclass(frozen=True)
class _Notes:
    """A note of each of several sounds; ``end`` is the pitch at its end in Hz, nan where it is short."""

    pitch: Floats
    end: Floats
    timbre: list[str]
    tonal: Floats


def _note(slots: Floats, count: int, rate: int) -> _Notes:
    """What is heard in slots (batch, time), each of one note."""
    size = slots.shape[1]
    beginning = slots[:, rate // 100 : round(_BEGINNING[count] * size)]
    pitch = _pitch(beginning, rate)
    exact = _amplitudes(beginning, pitch[:, None] * _PARTIALS, rate)
    inside = pitch[:, None] * _PARTIALS < 0.49 * rate
    window = np.hanning(beginning.shape[1])
    energy = ((beginning * window) ** 2).sum(1) / (window**2).sum()
    tonal = (exact**2 / 2 * inside).sum(1) / (energy + 1e-9)
    envelope = _envelope(slots, pitch, rate)
    late = slice(*(int(share * envelope.shape[1]) for share in _LATE))
    is_long = np.median(envelope[:, late], 1) > _STILL_SOUNDS * envelope.max(1)
    end = np.where(is_long, _pitch(slots[:, slice(*(int(share * size) for share in _END))], rate), np.nan)
    return _Notes(pitch, end, _timbres(beginning, pitch, _swelling(envelope, count), rate), tonal)


def _timbres(beginning: Floats, pitch: Floats, swelling: Floats, rate: int) -> list[str]:
    """A bell has its own partial, a flute hardly any, an organ no even ones; a guitar fades, a trumpet does not."""
    looked_for = pitch[:, None] * np.array([1, 2, 3, 2.76])
    wavering = [_amplitudes(beginning, looked_for * (1 + share), rate) for share in _WAVERING]
    first, second, third, bell = np.max(wavering, 0).T
    second, third, bell = (partial / (first + 1e-9) for partial in (second, third, bell))
    rules = [
        (bell > 0.25) & (bell > 1.3 * third) & (bell > 1.3 * second),
        (second < 0.27) & (third < 0.16),
        (second < 0.5 * third + 0.05) & (second < 0.2),
        (third - 0.4) / 0.1 + (swelling + 1.6) / 1.2 > 0,
    ]
    return np.select(rules, ["bell", "flute", "organ", "trumpet"], "guitar").tolist()


def _swelling(envelope: Floats, count: int) -> Floats:
    """(batch,) how fast the fundamental grows (falls, below 0) as the note begins, in powers of e a second."""
    size = envelope.shape[1]
    start = np.log(envelope[:, 1 : max(4, int(_SWELL[count] * size))] + 1e-6)
    slope = np.polyfit(np.arange(start.shape[1]) * _HOP, start.T, 1)[0]
    return slope.clip(-4, 4) if count == 3 else slope


_HOP, _SPAN = 0.008, 0.024
"""Seconds from one value of the envelope to the next, and that each looks at."""


def _envelope(slots: Floats, pitch: Floats, rate: int) -> Floats:
    """(batch, moments): the amplitude of the fundamental over time."""
    start, hop, span = (round(seconds * rate) for seconds in (0.005, _HOP, _SPAN))
    time = np.arange(slots.shape[1]) / rate
    turned = slots * np.exp(-2j * np.pi * pitch[:, None] * time)
    window = np.hanning(span)
    moments = sliding_window_view(turned[:, start:], span, axis=1)[:, ::hop]
    return np.asarray(2 * np.abs(moments @ window) / window.sum())


def _pitch(parts: Floats, rate: int) -> Floats:
    """(batch,) frequency in Hz of the highest peak of the spectrum that a note of the world can have."""
    time = np.arange(parts.shape[1]) / rate
    spectrum = np.abs((parts * np.hanning(parts.shape[1])) @ np.exp(-2j * np.pi * time[:, None] * _GRID))
    peak = spectrum.argmax(1).clip(1, len(_GRID) - 2)
    before, at, after = np.log(spectrum[np.arange(len(parts))[:, None], peak[:, None] + [-1, 0, 1]] + 1e-9).T
    bend = before - 2 * at + after
    shift = 0.5 * (before - after) / np.where(np.abs(bend) < 1e-12, np.inf, bend)
    return np.asarray(_GRID[peak] + shift.clip(-1, 1))


def _amplitudes(parts: Floats, frequencies: Floats, rate: int) -> Floats:
    """Amplitudes in ``parts`` (batch, time) of sinusoids of ``frequencies`` (batch, frequencies), in that shape."""
    window = np.hanning(parts.shape[1])
    turns = np.exp(-2j * np.pi * frequencies[:, :, None] * np.arange(parts.shape[1]) / rate)
    return np.asarray(2 * np.abs((turns @ (parts * window)[:, :, None])[..., 0]) / window.sum())
