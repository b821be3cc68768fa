"""Time-aligned note features of toy melodies: a prompt as frames of features, 100 per second."""

from typing import Annotated, ClassVar
from zlib import crc32

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from genai.core.prompt_features import PromptFeatures
from genai.toy.world.melody import NOTES, TIMBRES, complete_melody, parse_melody
from genai.toy.world.synth import FRAMES_PER_SECOND, note_intervals

RELEASE_FRAMES = 3
"""Frames after the end of a note that still belong to it."""
DECAY_FRAMES = (1.0, 5.0, 20.0)
"""Time constants of the decays since the start of a note, in frames."""

_FEATURE_NAMES = (
    *TIMBRES,
    "loudness",  # 1 loud, -1 soft
    *NOTES,  # 1 for the current note, less for its neighbors
    "gate",  # 1 while a note is held
    *(f"decay {frames:g}" for frames in DECAY_FRAMES),
    "time",  # since the start of the note, in units of 0.5 s
    "onset",  # 1 in the first frame of a note
    "release",  # decays from 1 by 1/e per frame after the end of a note
    "end",  # 1 in all frames of the release
    "score",  # 1 if the prompt is a melody
)
_COLUMNS = {name: column for column, name in enumerate(_FEATURE_NAMES)}
_NOTE_COLUMNS = [_COLUMNS[note] for note in NOTES]
_LOG_PITCH = np.log2(list(NOTES.values()))


class ToyNotes(PromptFeatures):
    """The notes of a prompt such as "a loud flute plays short C4 E4 G4"; zeros for a prompt that is no melody.

    A timbre or loudness that the prompt leaves free is drawn with the parsed melody as seed, so that a model need not
    learn what an unspecified one sounds like.

    Args:
        similarity_octaves: distance in octaves over which notes share features (width of a Gaussian), so that what is
            learned about a note helps with its neighbors; 0: one-hot notes.
    """

    def __init__(self, similarity_octaves: Annotated[float, Ge(0), Le(10)] = 0.0) -> None:
        distance = (_LOG_PITCH[:, None] - _LOG_PITCH) / max(similarity_octaves, 1e-6)
        self.note_similarity = dict(zip(NOTES, np.exp(-(distance**2)), strict=True))

    features: ClassVar[int] = len(_FEATURE_NAMES)

    def warning(self, prompt: str) -> str | None:
        try:
            parse_melody(prompt)
        except ValueError as error:
            return f"no melody of the toy world: {error}"
        return None

    def frames(self, prompt: str, count: int) -> NDArray[np.float32]:
        try:
            parsed = parse_melody(prompt)
        except ValueError:
            return np.zeros((count, self.features), np.float32)
        # The repr is a seed: models learned with these choices.
        melody = complete_melody(parsed, np.random.default_rng(crc32(repr(parsed).encode())))
        features = np.zeros((max(count, FRAMES_PER_SECOND), self.features), np.float32)
        features[:, _COLUMNS["score"]] = 1
        features[:, _COLUMNS["loudness"]] = 1 if melody.loudness == "loud" else -1
        features[:, _COLUMNS[melody.timbre or ""]] = 1
        for note, (start, end) in zip(melody.notes, note_intervals(melody), strict=True):
            time = np.arange(end - start)
            features[start : end + RELEASE_FRAMES, _NOTE_COLUMNS] = self.note_similarity[note]
            features[start:end, _COLUMNS["gate"]] = 1
            for frames in DECAY_FRAMES:
                features[start:end, _COLUMNS[f"decay {frames:g}"]] = np.exp(-time / frames)
            features[start:end, _COLUMNS["time"]] = time / (FRAMES_PER_SECOND / 2)
            features[start, _COLUMNS["onset"]] = 1
            features[end : end + RELEASE_FRAMES, _COLUMNS["release"]] = np.exp(-np.arange(RELEASE_FRAMES))
            features[end : end + RELEASE_FRAMES, _COLUMNS["end"]] = 1
        return features[:count]
