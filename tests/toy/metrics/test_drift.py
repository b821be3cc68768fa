from collections.abc import Callable

import numpy as np
import pytest

from genai.metrics.base import EvalContext, Result, select_metrics
from genai.metrics.video.drift import Drift
from genai.toy.data.video import ToyVideo
from genai.toy.metrics.drift import CHECKS, ToyDrift
from genai.toy.world.motion import COLORS, parse_motion
from genai.toy.world.trajectories import render_clips
from tests.stubs import make_clip, make_context

SOURCE = ToyVideo(items=120)


def render(prompts: list[str], frames: int) -> np.ndarray:
    """Clips (prompts, frames, 3, 32, 32) that match the prompts."""
    return render_clips([parse_motion(prompt) for prompt in prompts], np.random.default_rng(5), 32, frames)[0]


def drift_context(answer: Callable[[list[str]], np.ndarray], frames: int, n: int) -> EvalContext:
    """Context with a model that answers prompts with clips (prompts, time, ...)."""
    return make_context(
        SOURCE, lambda prompts: [make_clip(clip) for clip in answer(prompts)], n=n, options={"frames": frames}
    )


def checks(results: dict[str, Result]) -> dict[str, float]:
    return {name: result.value or 0 for name, result in results.items() if name.split("_")[1] in CHECKS}


def test_clips_that_match_their_prompts_keep_shape_color_and_speed_and_move_on() -> None:
    results = ToyDrift().compute(drift_context(lambda prompts: render(prompts, 128), 128, n=12))
    found = checks(results)
    assert list(results)[-16:] == list(found)
    assert list(found) == [f"drift_{name}_{end}" for end in (16, 32, 64, 128) for name in CHECKS]
    for name in found:
        assert found[name] == pytest.approx(results[name].reference, rel=0.15), name
    assert all(found[f"drift_{name}_128"] > 0.9 for name in CHECKS)
    assert "frames 113 to 128 of 12 clips" in results["drift_color_128"].description


def test_another_color_from_the_middle_on() -> None:
    names = list(COLORS)

    def answer(prompts: list[str]) -> np.ndarray:
        colors = [parse_motion(prompt).things[0].color or "" for prompt in prompts]
        others = [
            text.replace(color, names[names.index(color) - 1]) for text, color in zip(prompts, colors, strict=True)
        ]
        return np.concatenate([render(prompts, 64)[:, :40], render(others, 64)[:, 40:]], 1)

    results = ToyDrift().compute(drift_context(answer, 64, n=8))
    found = checks(results)
    assert not any(name.endswith("128") for name in results)
    assert min(found[f"drift_{name}"] for name in ("color_16", "color_32", "shape_64")) > 0.8
    assert found["drift_color_64"] < 0.2


def test_a_thing_that_trembles_in_a_corner_does_not_move_on() -> None:
    def answer(prompts: list[str]) -> np.ndarray:
        clips = render(prompts, 32)
        clips[:, 17::2], clips[:, 18::2] = clips[:, 17:18], clips[:, 16:17]
        return clips

    found = checks(ToyDrift().compute(drift_context(answer, 32, n=8)))
    assert found["drift_path_16"] > 0.8 and found["drift_path_32"] < 0.2 and found["drift_shape_32"] > 0.8


def test_it_is_the_drift_of_the_toy_world() -> None:
    metrics, _ = select_metrics(["drift"], SOURCE, own_data=False)
    assert isinstance(metrics["drift"], ToyDrift)
    assert isinstance(metrics["drift"], Drift)
