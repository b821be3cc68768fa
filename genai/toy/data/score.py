"""What happens when in a melody of the toy world: a prompt as frames of features, a hundred a second."""

from typing import Annotated, ClassVar
from zlib import crc32

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from genai.core.data import PromptFeatures
from genai.toy.world.melody import NOTES, TIMBRES, complete, parse
from genai.toy.world.synth import FRAMES, timing

FADING = 3
"""Frames after the end of a note in which it still is the note that sounds."""
DECAYS = (1.0, 5.0, 20.0)
"""Frames in which the time since the beginning of a note has decayed to 1/e."""

_NAMES = (
    *TIMBRES,
    "loudness",  # 1 loud, -1 soft
    *NOTES,  # 1 for what sounds or fades, and less for its neighbours
    "gate",  # 1 while a note is held
    *(f"decay {frames:g}" for frames in DECAYS),
    "time",  # since the beginning of the note, in halves of a second
    "beginning",  # 1 in a note's first frame
    "fading",  # decays from 1, by 1/e a frame, after its end
    "end",  # 1 in all frames of that
    "score",  # 1: there is one
)
_AT = {name: column for column, name in enumerate(_NAMES)}
_KEYS = [_AT[note] for note in NOTES]
_PITCH = np.log2(list(NOTES.values()))


class ToyNotes(PromptFeatures):
    """The notes of a prompt such as "a loud flute plays short C4 E4 G4"; zeros for one that is no melody.

    Timbre and loudness that a prompt leaves free are chosen by its notes: a model need not learn what free sounds like.

    Args:
        near: octaves between notes that are much alike, so that what is learnt of a note is of use to its neighbours;
            0: a note is like no other.
    """

    def __init__(self, near: Annotated[float, Ge(0), Le(10)] = 0.0) -> None:
        apart = (_PITCH[:, None] - _PITCH) / max(near, 1e-6)
        self.likeness = dict(zip(NOTES, np.exp(-(apart**2)), strict=True))

    features: ClassVar[int] = len(_NAMES)

    def complaint(self, prompt: str) -> str | None:
        try:
            parse(prompt)
        except ValueError as error:
            return f"no melody of the toy world: {error}"
        return None

    def frames(self, prompt: str, count: int) -> NDArray[np.float32]:
        try:
            asked = parse(prompt)
        except ValueError:
            return np.zeros((count, self.features), np.float32)
        melody = complete(asked, np.random.default_rng(crc32(repr(asked).encode())))
        score = np.zeros((max(count, FRAMES), self.features), np.float32)
        score[:, _AT["score"]] = 1
        score[:, _AT["loudness"]] = 1 if melody.loudness == "loud" else -1
        score[:, _AT[melody.timbre or ""]] = 1
        for note, (start, end) in zip(melody.notes, timing(melody), strict=True):
            time = np.arange(end - start)
            score[start : end + FADING, _KEYS] = self.likeness[note]
            score[start:end, _AT["gate"]] = 1
            for frames in DECAYS:
                score[start:end, _AT[f"decay {frames:g}"]] = np.exp(-time / frames)
            score[start:end, _AT["time"]] = time / (FRAMES / 2)
            score[start, _AT["beginning"]] = 1
            score[end : end + FADING, _AT["fading"]] = np.exp(-np.arange(FADING))
            score[end : end + FADING, _AT["end"]] = 1
        return score[:count]
