"""Frame features of the notes in a prompt: any instrument, C0 to C9; the text is that of ``genai.media.notes``."""

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Le, Len
from numpy.typing import NDArray

from genai.core.errors import join_names, short_text
from genai.core.instantiate import validate_value
from genai.core.prompt_features import PromptFeatures
from genai.media.notes import MAX_PITCH, MAX_SECONDS, MIN_PITCH, InstrumentPart, ScoreNote, parse_notes, remove_notes

RELEASE_SECONDS = 0.4
"""Time after the end of a note in which it still fades."""
DECAY_FRAMES, REMAINING_FRAMES, RELEASE_FRAMES = (1.0, 5.0, 20.0, 80.0), (1.0, 5.0), (1.0, 5.0, 20.0)
"""Time constants of the decays since the start of a note, until its end, and since its end, in frames. Players let go
of a note before the next one begins, so its end is known ahead."""
OCTAVE, REGISTER_SEMITONES = 12, 6
"""Semitones from a note to the next one of the same name; distance and width of the bumps of the register."""
MAX_TIME = 8.0
"""Latest time in a note that is told apart, in units of 0.5 s."""
LISTED_INSTRUMENTS = 8

_NAMES = (
    *("score", "loudness", "gate", "onset", "time", "end"),
    *(f"decay {frames:g}" for frames in DECAY_FRAMES),
    *(f"remaining {frames:g}" for frames in REMAINING_FRAMES),
    *(f"release {frames:g}" for frames in RELEASE_FRAMES),
)
_COLUMNS = {name: column for column, name in enumerate(_NAMES)}
Seconds = Annotated[float, Gt(0), Le(60)]
InstrumentNames = Annotated[list[Annotated[str, Len(1, 1000)]], Len(0, 1024)]


class Notes(PromptFeatures):
    """The notes of a prompt such as ``a soft flute plays C4:0.5 E4:0.5``; zeros for a prompt without notes.

    A pitch is a bump on the scale of semitones, one on the circle of the twelve names, and one of its register. So what
    is learned about a note helps with its neighbors and its octaves. The names of instruments are those of the training
    prompts; any other name gives the most similar one.

    Args:
        max_instruments: the most frequent names of instruments that have a feature of their own.
        similarity_semitones: width of the bumps (of a Gaussian).
        short_seconds, long_seconds: length of a note that is called short or long, where no seconds are given; without
            a word it is short.
    """

    def __init__(
        self,
        max_instruments: Annotated[int, Ge(1), Le(1024)] = 32,
        similarity_semitones: Annotated[float, Gt(0), Le(24)] = 1.0,
        short_seconds: Seconds = 0.5,
        long_seconds: Seconds = 1.0,
    ) -> None:
        self.max_instruments = max_instruments
        self.lengths = {"short": short_seconds, "long": long_seconds, "": short_seconds}
        self.pitch_features = pitch_features(similarity_semitones)
        self.instruments: list[str] = []

    @property
    def features(self) -> int:
        return len(_NAMES) + self.max_instruments + self.pitch_features.shape[1]

    def fit(self, prompts: Sequence[str]) -> None:
        counts = Counter(part.instrument for prompt in prompts for part in self._parse(prompt) if part.instrument)
        names = sorted(counts, key=lambda name: (-counts[name], name))
        self.instruments = names[: self.max_instruments]

    def state(self) -> dict[str, Any]:
        return {"instruments": list(self.instruments)}

    def restore(self, state: Mapping[str, Any]) -> None:
        names: list[str] = validate_value(state.get("instruments", []), InstrumentNames, "instruments")
        self.instruments = names[: self.max_instruments]

    def seconds(self, prompt: str) -> float | None:
        ends = [note.end for part in self._parse(prompt) for note in part.notes]
        return max(ends) + RELEASE_SECONDS if ends else None

    def words(self, prompt: str) -> str:
        return remove_notes(prompt)

    def warning(self, prompt: str) -> str | None:
        try:
            parts = parse_notes(prompt, self.lengths)
        except ValueError as error:
            return f"no score, so it has no notes: {error}"
        unknown = [part.instrument for part in parts if part.instrument and part.instrument not in self.instruments]
        if not unknown or not self.instruments:
            return None
        names = join_names(map(short_text, self.instruments[:LISTED_INSTRUMENTS]))
        nearest = short_text(self.instruments[self._instrument(unknown[0])])
        return f"played by the most similar name, {nearest}: '{short_text(unknown[0])}' is new; there are: {names}"

    def frames(self, prompt: str, count: int) -> NDArray[np.float32]:
        features = np.zeros((count, self.features), np.float32)
        if not (parts := self._parse(prompt)):
            return features
        features[:, _COLUMNS["score"]] = 1
        notes = sorted(((note, part) for part in parts for note in part.notes), key=lambda pair: pair[0].start)
        gate = np.zeros(count + 1, bool)  # one more: the end of the last note
        for note, _ in notes:
            gate[slice(*_interval(note))] = True
        for note, part in notes:
            self._add_note(features, note, part, gate)
        if len(parts) == 1 and parts[0].instrument and self.instruments:
            features[:, len(_NAMES) + self._instrument(parts[0].instrument)] = 1  # also in rests
        return features

    def _add_note(
        self, features: NDArray[np.float32], note: ScoreNote, part: InstrumentPart, gate: NDArray[np.bool_]
    ) -> None:
        """Write a note to ``features``: of notes that sound together each feature is the largest, a fading note has
        them only until another one begins."""
        start, end = _interval(note)
        fade = round(RELEASE_SECONDS * PromptFeatures.FRAME_RATE)
        fade = next(map(int, np.flatnonzero(gate[end : end + fade])), fade)
        sounds, release, whole = features[start:end], features[end : end + fade], features[start : end + fade]
        time = np.arange(len(sounds), dtype=np.float32)
        sounds[:, _COLUMNS["gate"]] = 1
        sounds[:1, _COLUMNS["onset"]] = 1
        sounds[:, _COLUMNS["time"]] = np.minimum(MAX_TIME, time / (PromptFeatures.FRAME_RATE / 2))
        remaining = end - start - time
        for name, distance, scales in (("decay", time, DECAY_FRAMES), ("remaining", remaining, REMAINING_FRAMES)):
            for frames in scales:
                column = sounds[:, _COLUMNS[f"{name} {frames:g}"]]
                np.maximum(column, np.exp(-distance / frames), out=column)
        release[:, _COLUMNS["end"]] = 1
        for frames in RELEASE_FRAMES:
            release[:, _COLUMNS[f"release {frames:g}"]] = np.exp(-np.arange(len(release)) / frames)
        whole[:, _COLUMNS["loudness"]] = part.loudness
        if part.instrument and self.instruments:
            whole[:, len(_NAMES) + self._instrument(part.instrument)] = 1
        pitch = whole[:, len(_NAMES) + self.max_instruments :]
        np.maximum(pitch, self.pitch_features[note.pitch - MIN_PITCH], out=pitch)

    def _instrument(self, name: str) -> int:
        """Return the index of an instrument, or of that with the most similar name: most shared words, then letters."""
        if name in self.instruments:
            return self.instruments.index(name)
        words = {*name.split()}
        similarity = [
            (len(words & {*each.split()}), SequenceMatcher(None, name, each).ratio()) for each in self.instruments
        ]
        return similarity.index(max(similarity))

    def _parse(self, prompt: str) -> list[InstrumentPart]:
        """Return the parts of a prompt; none if it cannot be read."""
        try:
            return parse_notes(prompt, self.lengths)
        except ValueError:
            return []


def pitch_features(similarity_semitones: float) -> NDArray[np.float32]:
    """Return the features of each pitch from C0 to C9: (pitches, features) in [0, 1].

    They are Gaussian bumps around each semitone, around each of the twelve names of notes, whatever the octave, and
    wide ones around every ``REGISTER_SEMITONES``-th pitch.
    """
    pitch = np.arange(MIN_PITCH, MAX_PITCH + 1)
    distance = pitch[:, None] - pitch  # (pitches, pitches)
    chroma = (distance[:, :OCTAVE] + OCTAVE // 2) % OCTAVE - OCTAVE // 2  # (pitches, 12)
    register = distance[:, ::REGISTER_SEMITONES] / REGISTER_SEMITONES
    scaled = [distance / similarity_semitones, chroma / similarity_semitones, register]
    return np.exp(-0.5 * np.square(np.concatenate(scaled, 1))).astype(np.float32)


def _interval(note: ScoreNote) -> tuple[int, int]:
    """Return the first frame of a note, and that after its last one."""
    rate = PromptFeatures.FRAME_RATE
    start = round(note.start * rate)
    return start, min(max(start + 1, round(note.end * rate)), round(MAX_SECONDS * rate))
