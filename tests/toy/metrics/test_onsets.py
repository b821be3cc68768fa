from typing import Any

import numpy as np
import pytest

from genai.core.errors import UserError
from genai.media.sound import Sound
from genai.metrics.base import EvalContext, chosen
from genai.toy.data.audio import ToyAudio
from genai.toy.data.soundtrack import ToySoundtracks
from genai.toy.metrics.onsets import InSync
from genai.toy.world.melody import NOTES
from genai.toy.world.soundtrack import play

SOURCE = ToySoundtracks(items=400)


class Player:
    """A model that knows the score of each clip, and plays ``changed(score)``."""

    def __init__(self, changed: Any = lambda score: score, rate: int = 8_000) -> None:
        scores = [SOURCE.score(SOURCE.val, index) for index in range(40)]
        self.changed, self.rate = changed, rate
        self.known = {SOURCE.val[index].beside.frames.tobytes(): score for index, score in enumerate(scores)}

    def sample(self, prompt: str, seed: int, clip: Any) -> list[Sound]:
        score = self.changed(self.known[clip.frames.tobytes()])
        sound = play([score], clip.seconds, np.random.default_rng(seed), max(4_000, self.rate))[0]
        return [Sound(sound, self.rate)]


def figures(*player: Any) -> Any:
    return InSync().compute(EvalContext(Player(*player), SOURCE, n=64))  # type: ignore[arg-type]


def test_a_model_that_knows_the_bounces() -> None:
    made = figures()
    assert made.keys() == {"onset_f1", "onset_f1_shuffled", "onset_note"}
    assert made["onset_f1"].value > 0.95 and made["onset_f1"].beside > 0.95 and 0 < made["onset_f1"].error < 0.03
    assert made["onset_f1_shuffled"].value < 0.25
    assert made["onset_note"].value > 0.9 and made["onset_note"].beside > 0.9
    assert "62 ms" in made["onset_f1"].about and "40 held-out clips" in made["onset_f1"].about


def test_late_silent_and_out_of_tune() -> None:
    late = figures(lambda score: [note._replace(time=note.time + 0.25) for note in score])
    assert late["onset_f1"].value < 0.15
    silent = figures(lambda score: [])
    assert silent["onset_f1"].value == 0 and silent["onset_note"].value is None
    other = figures(lambda score: [note._replace(name=list(NOTES)[list(NOTES).index(note.name) - 3]) for note in score])
    assert other["onset_f1"].value > 0.95 and other["onset_note"].value < 0.2


def test_it_is_what_soundtracks_are_measured_by() -> None:
    metrics, _ = chosen(None, SOURCE, own=True)
    assert isinstance(metrics["onsets"], InSync)
    with pytest.raises(UserError, match="'onsets' does not fit ToyAudio"):
        chosen(["onsets"], ToyAudio(items=10), own=True)
    with pytest.raises(UserError, match="4000 samples a second or more, not 2000"):
        figures(lambda score: score, 2_000)
