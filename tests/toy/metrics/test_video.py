from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from genai.core.errors import UserError
from genai.media.clip import Clip
from genai.metrics.base import Result, select_metrics
from genai.metrics.video.corruptions import freeze, shuffle_frames, switch_clips
from genai.toy.data.video import ToyVideo
from genai.toy.metrics.video import MotionPromptAccuracy
from genai.toy.world.motion import DIRECTIONS, Motion, parse_motion
from genai.toy.world.trajectories import render_clips
from tests.stubs import corrupted, make_clip, make_context

SINGLE = {"shape", "color", "direction", "speed", "direction_45", "identity", "path"}
SHARES = SINGLE | {"fulfilment", "fulfilment_held_out", "strict", "strict_held_out"}


def compute_results(
    change: Callable[[Motion], Motion] = lambda motion: motion,
    corrupt: Callable[[list[Clip]], list[Clip]] = lambda clips: clips,
    things: int = 1,
    **description: Any,
) -> dict[str, Result]:
    """Of a model that shows what it is asked for, after ``change``; ``corrupt`` is done to what it shows."""

    def answer(prompts: list[str]) -> list[Clip]:
        clips, _ = render_clips([change(parse_motion(prompt)) for prompt in prompts], np.random.default_rng(5))
        return corrupt([make_clip(pixels) for pixels in clips])

    return MotionPromptAccuracy().compute(
        make_context(ToyVideo(items=10, things=things), answer, **{"n": 32, **description})
    )


@pytest.mark.parametrize("things", [1, 2])
def test_perfect_model(things: int) -> None:
    results = compute_results(things=things)
    assert results.keys() == SHARES
    assert all((result.value or 0) >= (0.96 if things == 1 else 0.8) for result in results.values()), results
    assert all((result.reference or 0) >= (0.96 if things == 1 else 0.8) for result in results.values()), results
    assert "of 32 prompts of trained combinations" in results["fulfilment"].description


@pytest.mark.parametrize(("turn", "is_neighbor"), [(1, True), (7, True), (2, False), (4, False)])
@pytest.mark.parametrize("things", [1, 2])
def test_wrong_direction_changes_only_direction(turn: int, is_neighbor: bool, things: int) -> None:
    names = list(DIRECTIONS)

    def rolled(motion: Motion) -> Motion:
        directions = [names[(names.index(thing.direction or "") + turn) % 8] for thing in motion.things]
        return Motion(
            tuple(
                replace(thing, direction=direction) for thing, direction in zip(motion.things, directions, strict=True)
            )
        )

    results = {name: result.value or 0 for name, result in compute_results(rolled, things=things, n=16).items()}
    assert results["direction"] <= 0.1 and results["fulfilment"] <= 0.1 and results["fulfilment_held_out"] <= 0.1
    assert (results["direction_45"] > 0.8) if is_neighbor else (results["direction_45"] <= 0.2)
    assert min(results[name] for name in ("shape", "color", "speed", "identity", "path")) > 0.8


def test_corruptions() -> None:
    frozen_results = compute_results(corrupt=lambda clips: corrupted(freeze, clips))
    assert all((frozen_results[name].value or 0) > 0.9 for name in ("shape", "color", "identity"))
    assert frozen_results["path"].value == frozen_results["strict"].value == 0
    shuffled_results = compute_results(corrupt=lambda clips: corrupted(shuffle_frames, clips))
    assert (shuffled_results["shape"].value or 0) > 0.9 and (shuffled_results["strict"].value or 0) < 0.05 < 0.5 > (
        shuffled_results["path"].value or 0
    )
    other = compute_results(corrupt=lambda clips: corrupted(switch_clips, clips))
    assert (other["identity"].value or 0) < 0.2 and (other["strict"].value or 0) < 0.05


def test_other_data_have_no_held_out_results() -> None:
    results = compute_results(own_data=False, n=8)
    assert "fulfilment_held_out" not in results and "16 prompts of all combinations" in results["strict"].description


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (lambda frames: frames[..., :1], "gray ones"),
        (lambda frames: frames[:, :8, :8], "not 16 frames of 8 x 8"),
        (lambda frames: frames[:1], "not 1 frames of 32 x 32"),
    ],
)
def test_unsuitable_clips_raise(cut: Callable[[np.ndarray], np.ndarray], message: str) -> None:
    with pytest.raises(UserError, match=message):
        compute_results(corrupt=lambda clips: [Clip(cut(clip.frames), 8.0) for clip in clips], n=4)


def test_selected_by_default_for_toy_video() -> None:
    metrics, _ = select_metrics(None, ToyVideo(items=10), own_data=True)
    assert list(metrics) == ["val_loss", "motion", "toy_video", "nearest"]
    with pytest.raises(UserError, match=r"'enhancement' does not fit ToyVideo.*motion.*nearest.*toy_video"):
        select_metrics(["enhancement"], ToyVideo(items=10), own_data=True)
