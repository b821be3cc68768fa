from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from genai.core.errors import UserError
from genai.media.clip import Clip
from genai.metrics.base import EvalContext, select_metrics
from genai.toy.data.video import ToyVideo
from genai.toy.metrics.bounces import SoundtrackOnsets
from genai.toy.world.motion import parse_motion
from genai.toy.world.soundtrack import Note
from genai.toy.world.trajectories import render_clips
from tests.stubs import SoundtrackStub, StubModel

FRAMES = 32
Corruption = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


def compute_results(
    change: Callable[[list[Note]], list[Note]] = lambda notes: notes,
    corrupt: Corruption = lambda clips: clips,
    n: int = 24,
) -> Any:
    def answer(prompts: list[str]) -> list[Clip]:
        clips, _ = render_clips([parse_motion(prompt) for prompt in prompts], np.random.default_rng(5), frames=FRAMES)
        return [Clip(clip.transpose(0, 2, 3, 1), 8) for clip in corrupt(clips)]

    model: Any = StubModel(None, answer)
    model.parts["soundtrack"] = SoundtrackStub(change)
    context = EvalContext(model, ToyVideo(), n=n)
    return SoundtrackOnsets().compute(context)


def test_perfect_model() -> None:
    results = compute_results()
    assert results["onset_f1"].value > 0.95 and results["onset_f1"].reference > 0.95
    assert results["onset_f1_shuffled"].value < 0.3 and results["onset_note"].value > 0.95
    assert results["clips_counted"].value == results["clips_counted"].reference == 1
    assert (
        results["bounces_counted"].value > 24
        and "62 ms of the bounces of 24 samples" in results["onset_f1"].description
    )


def test_delayed_and_silent_soundtracks() -> None:
    late = compute_results(lambda notes: [note._replace(time=note.time + 0.25) for note in notes])
    assert late["onset_f1"].value < 0.3 > late["onset_f1"].reference
    silent = compute_results(lambda notes: [])
    assert silent["onset_f1"].value == 0 and silent["onset_note"].value is None


def test_clips_without_a_path_do_not_count() -> None:
    def half(clips: NDArray[np.uint8]) -> NDArray[np.uint8]:
        order = np.random.default_rng(0).permutation(FRAMES)
        return np.concatenate([clips[:12], clips[12:, order]])

    results = compute_results(corrupt=half)
    assert results["clips_counted"].value == 0.5 and results["onset_f1"].value > 0.9
    assert (
        "of 12 samples" in results["onset_f1"].description
        and results["bounces_counted"].reference > results["bounces_counted"].value
    )
    none = compute_results(corrupt=lambda clips: clips[:, :1].repeat(FRAMES, 1), n=4)
    assert none["onset_f1"].value is None is none["onset_note"].value and none["clips_counted"].value == 0


def test_selected_by_name_and_needs_a_soundtrack_model() -> None:
    metrics, _ = select_metrics(["soundtrack_onsets"], ToyVideo(items=10), own_data=True)
    assert isinstance(metrics["soundtrack_onsets"], SoundtrackOnsets)
    with pytest.raises(UserError, match="needs a soundtrack model: soundtrack=RUN"):
        SoundtrackOnsets().compute(EvalContext(StubModel(None), ToyVideo()))  # type: ignore[arg-type]
