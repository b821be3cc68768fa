from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from genai.core.errors import UserError
from genai.media.clip import Clip
from genai.media.sound import Sound
from genai.metrics.base import EvalContext, chosen
from genai.toy.data.video import ToyVideo
from genai.toy.metrics.bounces import Bounces
from genai.toy.world.motion import parse
from genai.toy.world.soundtrack import Note, play, score
from genai.toy.world.trajectories import draw
from genai.toy.world.video_oracle import watch
from tests.metrics.stubs import Model

FRAMES = 32
Spoil = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


class Player:
    """A model of soundtracks that sees the bounces as the oracle does, and plays ``changed(score)``."""

    def __init__(self, changed: Callable[[list[Note]], list[Note]]) -> None:
        self.changed = changed

    def stream(self, prompt: str, seed: int, clip: Clip) -> "Player":
        seen = watch(clip.frames.transpose(0, 3, 1, 2)[None], clip.fps)[0]
        notes = score(seen.motion, seen.bounces) if seen.motion else []
        self.sound = Sound(play([self.changed(notes)], clip.seconds, np.random.default_rng(seed))[0], 8_000)
        return self

    def __iter__(self) -> Any:
        return iter(())

    def results(self) -> list[Sound]:
        return [self.sound]


def figures(
    changed: Callable[[list[Note]], list[Note]] = lambda notes: notes, spoil: Spoil = lambda clips: clips, n: int = 24
) -> Any:
    def answer(prompts: list[str]) -> list[Clip]:
        clips, _ = draw([parse(prompt) for prompt in prompts], np.random.default_rng(5), frames=FRAMES)
        return [Clip(clip.transpose(0, 2, 3, 1), 8) for clip in spoil(clips)]

    study = EvalContext(Model(None, answer), ToyVideo(), n=n, sound=Player(changed))  # type: ignore[arg-type]
    return Bounces().compute(study)


def test_a_model_that_hears_every_bounce() -> None:
    made = figures()
    assert made["onset_f1"].value > 0.95 and made["onset_f1"].beside > 0.95
    assert made["onset_f1_shuffled"].value < 0.3 and made["onset_note"].value > 0.95
    assert made["clips_counted"].value == made["clips_counted"].beside == 1
    assert made["bounces_counted"].value > 24 and "62 ms of the bounces of 24 samples" in made["onset_f1"].about


def test_late_and_silent() -> None:
    late = figures(lambda notes: [note._replace(time=note.time + 0.25) for note in notes])
    assert late["onset_f1"].value < 0.3 > late["onset_f1"].beside
    silent = figures(lambda notes: [])
    assert silent["onset_f1"].value == 0 and silent["onset_note"].value is None


def test_clips_without_a_path_do_not_count() -> None:
    def half(clips: NDArray[np.uint8]) -> NDArray[np.uint8]:
        order = np.random.default_rng(0).permutation(FRAMES)
        return np.concatenate([clips[:12], clips[12:, order]])

    made = figures(spoil=half)
    assert made["clips_counted"].value == 0.5 and made["onset_f1"].value > 0.9
    assert "of 12 samples" in made["onset_f1"].about and made["bounces_counted"].beside > made["bounces_counted"].value
    none = figures(spoil=lambda clips: clips[:, :1].repeat(FRAMES, 1), n=4)
    assert none["onset_f1"].value is None is none["onset_note"].value and none["clips_counted"].value == 0


def test_it_fits_clips_of_the_world_and_wants_a_model_of_sounds() -> None:
    metrics, _ = chosen(["bounces"], ToyVideo(items=10), own=True)
    assert isinstance(metrics["bounces"], Bounces)
    with pytest.raises(UserError, match="say which with sound=RUN"):
        Bounces().compute(EvalContext(Model(None), ToyVideo()))  # type: ignore[arg-type]
