"""Audio oracle: detects the melody in a waveform by rules, and tells which attributes of a prompt it fulfills.

Jumps of the energy give the number of notes. The pitch of a note is the highest peak between C4 and C5. The amplitudes
of its partials relative to the fundamental, and the slope of the envelope, give the instrument. The level of the
fundamental late in the slot separates long from short notes. A sound with too little energy in its partials is no
melody.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from genai.toy.world.melody import NOTES, Melody
from genai.toy.world.synth import FRAMES_PER_SECOND, SLOT_FRAMES

Floats = NDArray[np.float64]

IN_TUNE_CENTS = 50.0
"""Largest deviation of a correct note: half a semitone."""
MIN_PARTIAL_ENERGY = 0.5
"""Smallest fraction of the energy of a note that is in its partials; white noise reaches 0.1."""
MIN_RMS = 0.01
"""Smallest RMS of the start of an audible note; soft notes have 0.07."""
MIN_LOUD_RMS = 0.16
"""Smallest RMS of the start of a loud note: halfway in dB between 0.08 of soft and 0.32 of loud notes."""
MIN_SECONDS = 0.5
"""Of a sound that can be analyzed; it is padded with silence to a second."""

_MIN_PITCH, _MAX_PITCH = 235.0, 560.0  # Hz
_PITCH_GRID = np.arange(_MIN_PITCH, _MAX_PITCH)
_PARTIAL_RATIOS = np.array([*range(1, 13), 2.76, 5.4])
_FREQUENCY_OFFSETS = (-0.006, 0.0, 0.006)  # that are tried for a partial, relative to its frequency
_START_FRACTION = {1: 0.28, 2: 0.38, 3: 0.38}
"""Fraction of a slot in which notes of any length sound, by number of notes."""
_SLOPE_FRACTION = {1: 0.22, 2: 0.27, 3: 0.27}
"""Fraction of a slot over which the slope of the envelope is measured."""
_LENGTH_SPAN, _TAIL_SPAN = (0.6, 0.8), (0.52, 0.84)
"""Parts of a slot in which only long notes sound: to detect them, and to measure whether they end in tune."""
_MIN_LONG_LEVEL = 0.05  # relative to the maximum of the envelope
_BATCH_SIZE = 32


@dataclass(frozen=True)
class MelodyDetection:
    """The melody detected in a sound.

    Attributes:
        melody: timbre or length is ``None`` if the notes differ in it. ``None`` if no melody was detected.
        cents: of each note, above the nearest note of the toy world.
        tail_cents: of the end of each long note, above the same note; empty if the notes are not long.
        partial_energy: fraction of the energy that is in partials; the smallest one of all notes.
    """

    melody: Melody | None
    cents: tuple[float, ...] = ()
    tail_cents: tuple[float, ...] = ()
    partial_energy: float = 0.0


def detect_melodies(
    waves: NDArray[np.floating] | Sequence[NDArray[np.floating]], sample_rate: int = 8_000
) -> list[MelodyDetection]:
    """Detect the melody in the first second of each of ``waves``: (batch, time), or a sequence of (time,).

    Raises:
        ValueError: for sounds of more than one dimension.
    """
    if any(np.ndim(wave) != 1 for wave in waves):
        raise ValueError("sounds should be (batch, time)")
    padded = np.zeros((len(waves), sample_rate))
    for row, wave in zip(padded, waves, strict=True):
        samples = np.asarray(wave[:sample_rate], np.float64)
        if len(samples) >= MIN_SECONDS * sample_rate:
            row[: len(samples)] = np.nan_to_num(samples, nan=0, posinf=0, neginf=0).clip(-1, 1)
    counts = _count_notes(padded, sample_rate)
    detections = dict.fromkeys(range(len(waves)), MelodyDetection(None))
    for count in SLOT_FRAMES:
        indices = np.flatnonzero(counts == count)
        for rows in (indices[start : start + _BATCH_SIZE] for start in range(0, len(indices), _BATCH_SIZE)):
            detections |= zip(rows.tolist(), _detect_batch(padded[rows], count, sample_rate), strict=True)
    return [detections[row] for row in range(len(waves))]


def match_melody(target: Melody, detection: MelodyDetection) -> dict[str, bool]:
    """Check the number of notes, the notes, and each attribute that ``target`` sets: name -> whether the sound has it.

    ``notes`` requires each note within ``IN_TUNE_CENTS`` of the target.
    """
    names = [name for name in ("timbre", "loudness", "length") if getattr(target, name) is not None]
    if detection.melody is None:
        return dict.fromkeys(["count", "notes", *names], False)
    attributes = {name: getattr(target, name) == getattr(detection.melody, name) for name in names}
    in_tune = all(abs(cents) < IN_TUNE_CENTS for cents in detection.cents)
    count = len(target.notes) == len(detection.melody.notes)
    return {"count": count, "notes": in_tune and target.notes == detection.melody.notes, **attributes}


def is_melody_match(target: Melody, detection: MelodyDetection) -> bool:
    """Tell whether the notes and all attributes of ``target`` match."""
    return all(match_melody(target, detection).values())


def pitch_errors(target: Melody, detection: MelodyDetection) -> tuple[float, ...]:
    """Return by how many cents each note is above that of ``target``; empty if the number of notes differs."""
    if detection.melody is None or len(detection.melody.notes) != len(target.notes):
        return ()
    triples = zip(target.notes, detection.melody.notes, detection.cents, strict=True)
    return tuple(
        cents + 1200 * float(np.log2(NOTES[note] / NOTES[target_note])) for target_note, note, cents in triples
    )


# Number and times of the notes.


def _count_notes(waves: Floats, sample_rate: int) -> NDArray[np.int64]:
    """Return (batch,) number of notes in sounds of one second; 0 if they are silent."""

    def energy(start: float, end: float) -> Floats:
        """Mean square from ``start`` to ``end``, in seconds."""
        return (waves[:, round(start * sample_rate) : round(end * sample_rate)] ** 2).mean(1)

    max_energy = np.max([energy(start, end) for start, end in pairwise(np.linspace(0, 1, 21))], 0)

    def note_starts_at(frame: int) -> NDArray[np.bool_]:
        time = frame / FRAMES_PER_SECOND
        before, after = energy(time - 0.0225, time - 0.002), energy(time + 0.02, time + 0.08)
        return (after > 3 * before) & (after > 0.01 * max_energy) & (after > 1e-5)

    counts = np.where(note_starts_at(SLOT_FRAMES[2]), 2, 1)
    counts[note_starts_at(SLOT_FRAMES[3]) & note_starts_at(2 * SLOT_FRAMES[3])] = 3
    return np.where(max_energy < MIN_RMS**2, 0, counts)


# Features of each note.


def _detect_batch(waves: Floats, count: int, sample_rate: int) -> list[MelodyDetection]:
    """Detect the melodies in sounds (batch, sample_rate) of ``count`` notes."""
    starts = [slot * SLOT_FRAMES[count] / FRAMES_PER_SECOND for slot in range(count)]
    size = round(SLOT_FRAMES[count] * sample_rate / FRAMES_PER_SECOND)
    slots = np.stack([waves[:, round(start * sample_rate) :][:, :size] for start in starts], 1)
    levels = np.sqrt((slots[:, :, : sample_rate // 8] ** 2).mean(2)).mean(1)
    notes = [_note_features(slots[:, slot], count, sample_rate) for slot in range(count)]
    return [
        _combine_notes(
            [(note.pitch[row], note.end_pitch[row], note.timbre[row], note.partial_energy[row]) for note in notes],
            levels[row],
        )
        for row in range(len(waves))
    ]


def _combine_notes(notes: Sequence[tuple[float, float, str, float]], level: float) -> MelodyDetection:
    """Combine notes to a melody: (pitch, pitch at the end or nan, timbre, partial energy) of each."""
    partial_energy = float(min(energy for *_, energy in notes))
    if partial_energy < MIN_PARTIAL_ENERGY or level < MIN_RMS:
        return MelodyDetection(None, partial_energy=partial_energy)
    names = [min(NOTES, key=lambda name: abs(np.log2(pitch / NOTES[name]))) for pitch, *_ in notes]
    cents = tuple(_cents_above(pitch, name) for name, (pitch, *_) in zip(names, notes, strict=True))
    tail_cents = tuple(_cents_above(end_pitch, name) for name, (_, end_pitch, *_) in zip(names, notes, strict=True))
    is_long = [bool(np.isfinite(end_pitch)) for _, end_pitch, *_ in notes]
    length = "long" if all(is_long) else None if any(is_long) else "short"
    timbre, votes = Counter(timbre for *_, timbre, _ in notes).most_common(1)[0]
    loudness = "loud" if level > MIN_LOUD_RMS else "soft"
    melody = Melody(tuple(names), timbre if 2 * votes > len(notes) else None, loudness, length)
    return MelodyDetection(melody, cents, tail_cents if length == "long" else (), partial_energy)


def _cents_above(pitch: float, note: str) -> float:
    return 1200 * float(np.log2(pitch / NOTES[note]))


@dataclass(frozen=True)
class _NoteFeatures:
    """Features (batch,) of one note of each sound; ``end_pitch`` in Hz is nan for short notes."""

    pitch: Floats
    end_pitch: Floats
    timbre: list[str]
    partial_energy: Floats


def _note_features(slots: Floats, count: int, sample_rate: int) -> _NoteFeatures:
    """Measure the note in slots (batch, time)."""
    size = slots.shape[1]
    start = slots[:, sample_rate // 100 : round(_START_FRACTION[count] * size)]
    pitch = _detect_pitch(start, sample_rate)
    amplitudes = _sinusoid_amplitudes(start, pitch[:, None] * _PARTIAL_RATIOS, sample_rate)
    in_band = pitch[:, None] * _PARTIAL_RATIOS < 0.49 * sample_rate
    window = np.hanning(start.shape[1])
    energy = ((start * window) ** 2).sum(1) / (window**2).sum()
    partial_energy = (amplitudes**2 / 2 * in_band).sum(1) / (energy + 1e-9)
    envelope = _fundamental_envelope(slots, pitch, sample_rate)
    length_span = slice(*(int(fraction * envelope.shape[1]) for fraction in _LENGTH_SPAN))
    is_long = np.median(envelope[:, length_span], 1) > _MIN_LONG_LEVEL * envelope.max(1)
    tail_span = slice(*(int(fraction * size) for fraction in _TAIL_SPAN))
    end_pitch = np.where(is_long, _detect_pitch(slots[:, tail_span], sample_rate), np.nan)
    timbre = _classify_timbre(start, pitch, _envelope_slope(envelope, count), sample_rate)
    return _NoteFeatures(pitch, end_pitch, timbre, partial_energy)


def _classify_timbre(start: Floats, pitch: Floats, slope: Floats, sample_rate: int) -> list[str]:
    """Classify by rules: a bell has its own partial, a flute hardly any, an organ no even ones; guitars decay."""
    frequencies = pitch[:, None] * np.array([1, 2, 3, 2.76])
    amplitudes = [_sinusoid_amplitudes(start, frequencies * (1 + shift), sample_rate) for shift in _FREQUENCY_OFFSETS]
    first, second, third, bell = np.max(amplitudes, 0).T
    second, third, bell = (partial / (first + 1e-9) for partial in (second, third, bell))
    rules = [
        (bell > 0.25) & (bell > 1.3 * third) & (bell > 1.3 * second),
        (second < 0.27) & (third < 0.16),
        (second < 0.5 * third + 0.05) & (second < 0.2),
        (third - 0.4) / 0.1 + (slope + 1.6) / 1.2 > 0,
    ]
    return np.select(rules, ["bell", "flute", "organ", "trumpet"], "guitar").tolist()


def _envelope_slope(envelope: Floats, count: int) -> Floats:
    """Return (batch,) slope of the log amplitude of the fundamental at the start of the note, per second."""
    size = envelope.shape[1]
    start = np.log(envelope[:, 1 : max(4, int(_SLOPE_FRACTION[count] * size))] + 1e-6)
    slope = np.polyfit(np.arange(start.shape[1]) * _HOP_SECONDS, start.T, 1)[0]
    return slope.clip(-4, 4) if count == 3 else slope


_HOP_SECONDS, _WINDOW_SECONDS = 0.008, 0.024
"""Of the envelope."""


def _fundamental_envelope(slots: Floats, pitch: Floats, sample_rate: int) -> Floats:
    """Return (batch, windows): the amplitude of the fundamental over time."""
    start, hop, size = (round(seconds * sample_rate) for seconds in (0.005, _HOP_SECONDS, _WINDOW_SECONDS))
    time = np.arange(slots.shape[1]) / sample_rate
    baseband = slots * np.exp(-2j * np.pi * pitch[:, None] * time)
    window = np.hanning(size)
    windows = sliding_window_view(baseband[:, start:], size, axis=1)[:, ::hop]
    return np.asarray(2 * np.abs(windows @ window) / window.sum())


def _detect_pitch(waves: Floats, sample_rate: int) -> Floats:
    """Return (batch,) frequency in Hz of the highest peak of the spectrum in the range of the notes."""
    time = np.arange(waves.shape[1]) / sample_rate
    spectrum = np.abs((waves * np.hanning(waves.shape[1])) @ np.exp(-2j * np.pi * time[:, None] * _PITCH_GRID))
    peak = spectrum.argmax(1).clip(1, len(_PITCH_GRID) - 2)
    before, center, after = np.log(spectrum[np.arange(len(waves))[:, None], peak[:, None] + [-1, 0, 1]] + 1e-9).T
    curvature = before - 2 * center + after  # parabolic interpolation
    shift = 0.5 * (before - after) / np.where(np.abs(curvature) < 1e-12, np.inf, curvature)
    return np.asarray(_PITCH_GRID[peak] + shift.clip(-1, 1))


def _sinusoid_amplitudes(waves: Floats, frequencies: Floats, sample_rate: int) -> Floats:
    """Return the amplitudes in ``waves`` (batch, time) of sinusoids of ``frequencies`` (batch, frequencies)."""
    window = np.hanning(waves.shape[1])
    sinusoids = np.exp(-2j * np.pi * frequencies[:, :, None] * np.arange(waves.shape[1]) / sample_rate)
    return np.asarray(2 * np.abs((sinusoids @ (waves * window)[:, :, None])[..., 0]) / window.sum())
