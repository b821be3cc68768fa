"""Notes as text: ``a flute plays C4:0.5 E4:0.5``, parsed and written. Times are in seconds.

A note is a pitch and its length; without a length, the words "short" and "long" decide. ``R:0.5`` is a rest,
``C4+E4+G4:0.5`` a chord. A note begins where the one before it ends, or at ``@``: ``C4:2 E4:1@0.5``. Parts of several
instruments are separated by semicolons: ``piano: C4:1; flute: R:0.5 G5:0.5``. All other words name the instrument.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from genai.core.errors import short_text

MIN_PITCH, MAX_PITCH = 12, 120
"""C0 and C9, as MIDI numbers."""
MAX_NOTES, MAX_SECONDS = 5_000, 600.0
"""Most notes of a text, and latest end of a note."""
LENGTHS: Mapping[str, float] = {"short": 0.5, "long": 1.0, "": 0.5}
"""Seconds of a note whose length is said in a word, or not at all."""
PITCH_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_SEMITONES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_ACCIDENTALS = {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1}
_PITCH = r"[a-g][#♯b♭]?\d+"
_NUMBER = r"\d{0,4}\.?\d{1,6}"
_NOTE = re.compile(rf"({_PITCH}(?:\+{_PITCH})*|r(?=:))(?::({_NUMBER}))?(?:@({_NUMBER}))?")
_NOTE_START = re.compile(r"[a-g][#♯b♭]?\d|r:")
_VALUES = {
    **dict.fromkeys("soft softly quiet quietly gentle gently".split(), "soft"),
    **dict.fromkeys("loud loudly strong strongly".split(), "loud"),
    **dict.fromkeys("short briefly brief staccato".split(), "short"),
    **dict.fromkeys("long sustained held".split(), "long"),
}
_FILLERS = frozenset(
    "a an the one there is there's play plays playing played by on with and then of in it note notes melody melodies"
    " chord chords sound tone tones instrument something".split()
)


@dataclass(frozen=True)
class ScoreNote:
    """A pitch as a MIDI number (60 is C4, middle C), and when it is held, in seconds."""

    pitch: int
    start: float
    end: float


@dataclass(frozen=True)
class InstrumentPart:
    """The notes of an instrument.

    Attributes:
        notes: in the order of the text.
        instrument: in lower case; "" if none is named.
        loudness: -1 soft, 1 loud, 0 unsaid.
    """

    notes: tuple[ScoreNote, ...]
    instrument: str = ""
    loudness: float = 0.0


def parse_notes(text: str, lengths: Mapping[str, float] = LENGTHS) -> list[InstrumentPart]:
    """Parse a text with notes; parts without notes are left out.

    Args:
        text: see the module.
        lengths: seconds of a "short" note, a "long" one, and one without such a word ("").

    Raises:
        ValueError: there are no notes, too many, or one that cannot be read.
    """
    parts = [part for line in re.split(r"[;\n]", text.lower()) if (part := _parse_part(line, lengths)).notes]
    if not parts:
        raise ValueError("there are no notes such as C4:0.5")
    if (count := sum(len(part.notes) for part in parts)) > MAX_NOTES:
        raise ValueError(f"there are {count:,} notes, more than {MAX_NOTES:,}")
    return parts


def format_notes(parts: Iterable[InstrumentPart]) -> str:
    """Write parts as a text that ``parse_notes`` reads back; times are rounded to milliseconds."""
    return "; ".join(_format_part(part) for part in parts)


def remove_notes(text: str) -> str:
    """Return the text without its notes: "a flute plays" for "a flute plays C4:0.5 E4:0.5"."""
    lines = [" ".join(word for word in _split(line) if not _NOTE_START.match(word.lower())) for line in text.split(";")]
    return "; ".join(dict.fromkeys(filter(None, lines)))


def pitch_name(pitch: int) -> str:
    """Return the name of a MIDI number: "C4" for 60."""
    return f"{PITCH_NAMES[pitch % 12]}{pitch // 12 - 1}"


def _split(line: str) -> list[str]:
    """Split at spaces and commas, and between ``piano:`` and ``C4``."""
    return re.sub(r":(?=[^\d\s.])", ": ", line).replace(",", " ").split()


def _parse_part(line: str, lengths: Mapping[str, float]) -> InstrumentPart:
    names, values, tokens = list[str](), list[str](), list[str]()
    for word in _split(line):
        if _NOTE_START.match(word):
            tokens.append(word)
            continue
        word = word.strip(":.!?\"'()")
        if word in _VALUES:
            values.append(_VALUES[word])
        elif word and word not in _FILLERS:
            names.append(word)
    length = next((lengths[value] for value in values if value in ("short", "long")), lengths[""])
    loudness = next((1.0 if value == "loud" else -1.0 for value in values if value in ("soft", "loud")), 0.0)
    return InstrumentPart(tuple(_place_notes(tokens, length)), " ".join(names), loudness)


def _place_notes(tokens: Sequence[str], length: float) -> list[ScoreNote]:
    notes, time = list[ScoreNote](), 0.0
    for token in tokens:
        match = _NOTE.fullmatch(token.rstrip(".!?"))
        if match is None:
            raise ValueError(f"cannot read the note '{short_text(token)}': write C4:0.5, C4+E4:0.5 or R:0.5")
        pitches, seconds, start = match.groups()
        begin = float(start) if start else time
        time = begin + (float(seconds) if seconds else length)
        if not begin < time <= MAX_SECONDS:
            raise ValueError(f"'{short_text(token)}' ends after {time:g} s: notes end within {MAX_SECONDS:g} s")
        if pitches != "r":
            notes += [ScoreNote(_parse_pitch(name), begin, time) for name in pitches.split("+")]
    return notes


def _parse_pitch(name: str) -> int:
    accidental = name[1] if name[1] in _ACCIDENTALS else ""
    octave = int(name[1 + len(accidental) :][:3])
    pitch = 12 * (octave + 1) + _SEMITONES[name[0]] + _ACCIDENTALS[accidental]
    if not MIN_PITCH <= pitch <= MAX_PITCH:
        raise ValueError(f"'{short_text(name.upper())}' is no note from C0 to C9")
    return pitch


def _format_part(part: InstrumentPart) -> str:
    words = [{-1.0: "soft", 1.0: "loud"}.get(part.loudness, ""), part.instrument]
    chords: dict[tuple[int, int], list[int]] = {}  # pitches by start and end in milliseconds
    for note in part.notes:
        start = round(1000 * note.start)
        chords.setdefault((start, max(start + 1, round(1000 * note.end))), []).append(note.pitch)
    tokens, time = list[str](), 0
    for (start, end), pitches in sorted(chords.items()):
        if start > time:
            tokens.append(f"R:{_format_ms(start - time)}")
        place = f"@{_format_ms(start)}" if start < time else ""
        names = "+".join(map(pitch_name, sorted(set(pitches))))
        tokens.append(f"{names}:{_format_ms(end - start)}{place}")
        time = end
    name = " ".join(filter(None, words))
    return " ".join([f"{name}:" if name else "", *tokens]).strip()


def _format_ms(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f}".rstrip("0").rstrip(".")
