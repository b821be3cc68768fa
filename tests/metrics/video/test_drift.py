from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from genai.core.data import Source
from genai.core.errors import UserError
from genai.metrics.base import EvalContext, Result, select_metrics
from genai.metrics.video.drift import MAX_CLIPS, Drift
from genai.toy.data.video import ToyVideo
from genai.toy.world.motion import parse_motion
from genai.toy.world.trajectories import render_clips
from tests.stubs import ClipSource, make_clip, make_context

SOURCE = ToyVideo(items=120)
NAMES = ("contrast", "motion", "warp")


def render(prompts: list[str], frames: int = 128) -> np.ndarray:
    """Clips (prompts, frames, 3, 32, 32) that match the prompts."""
    return render_clips([parse_motion(prompt) for prompt in prompts], np.random.default_rng(5), 32, frames)[0]


def drift_context(answer: Callable[[list[str]], np.ndarray], source: Source = SOURCE, **fields: Any) -> EvalContext:
    """Context with a model that answers prompts with clips (prompts, time, ...)."""
    return make_context(source, lambda prompts: [make_clip(clip) for clip in answer(prompts)], **fields)


def results(change: Callable[[np.ndarray], np.ndarray] = np.copy, n: int = 6) -> dict[str, Result]:
    """Results of a model whose clips match their prompts, after ``change``."""
    return Drift().compute(drift_context(lambda prompts: change(render(prompts)), n=n))


def test_steady_clips_do_not_drift() -> None:
    found = results(n=12)
    assert list(found) == [f"drift_{name}_{end}" for name in NAMES for end in (16, 32, 64, 128)]
    for name, result in found.items():
        tolerance = 0.4 if "motion" in name or "warp" in name else 0.15
        assert result.value == pytest.approx(result.reference, rel=tolerance), (name, result)
    assert "frames 113 to 128 of 12 clips" in found["drift_warp_128"].description


def fade(pixels: np.ndarray) -> np.ndarray:
    """Reduce the contrast to a third from frame 40 on."""
    mean = pixels.mean((3, 4), keepdims=True)
    return np.where(np.arange(128)[:, None, None, None] < 40, pixels, mean + (pixels - mean) / 3).astype(np.uint8)


def freeze(pixels: np.ndarray) -> np.ndarray:
    return pixels[:, np.minimum(np.arange(128), 40)]


def add_noise(pixels: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 40, pixels.shape) * (np.arange(128)[:, None, None, None] >= 40)
    return (pixels + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("change", "name", "minimum", "maximum"),
    [(fade, "contrast", 0.3, 0.4), (freeze, "motion", 0, 0), (add_noise, "warp", 2, 20)],
)
def test_changes_of_later_frames(
    change: Callable[[np.ndarray], np.ndarray], name: str, minimum: float, maximum: float
) -> None:
    unchanged, found = results(), results(change)
    for end in (16, 32, 64, 128):
        key = f"drift_{name}_{end}"
        value, before = found[key].value or 0, unchanged[key].value or 0
        low, high = (minimum, maximum) if end > 32 else (1, 1)
        assert low * before * 0.999 <= value <= high * before * 1.001, key


def test_long_samples_do_not_replace_the_cached_ones() -> None:
    counts: list[int] = []
    context = drift_context(lambda prompts: counts.append(len(prompts)) or render(prompts), n=MAX_CLIPS + 1, batch=64)
    context.samples(["a red circle moving left fast"] * 3)
    Drift().compute(context)
    assert counts == [3, MAX_CLIPS] and len(context._sample_cache) == 1


def test_other_data_have_no_attributes() -> None:
    source = ClipSource(list(np.random.default_rng(0).integers(0, 256, (16, 64, 1, 8, 8), np.uint8)))
    context = drift_context(lambda prompts: np.stack(source.clips[:4]), source, n=4, options={"frames": 64})
    assert {name.split("_")[1] for name in Drift().compute(context)} == {"contrast", "motion", "warp"}
    assert type(select_metrics(["drift"], source, own_data=False)[0]["drift"]) is Drift


def test_short_clips_raise() -> None:
    with pytest.raises(UserError, match="32 frames or more, not 16"):
        Drift().compute(drift_context(render, options={"frames": 16}))


def test_it_is_no_default_metric() -> None:
    metrics, _ = select_metrics(["drift"], SOURCE, own_data=False)
    assert isinstance(metrics["drift"], Drift) and "drift" not in select_metrics(None, SOURCE, own_data=True)[0]
