from collections.abc import Callable

import numpy as np
import pytest

from genai.media.clip import Clip
from genai.modalities.visual_onsets import VisualOnsets, direction_changes
from genai.toy.world.motion import COMBINATIONS, Motion, MovingThing
from genai.toy.world.soundtrack import onset_f1
from genai.toy.world.trajectories import Bounce, render_clips

SHARP = 0.25


def clips(
    motions: list[Motion], size: int = 32, frames: int = 32, fps: float = 8
) -> tuple[list[Clip], list[list[Bounce]]]:
    pixels, bounces = render_clips(motions, np.random.default_rng(0), size, frames, fps)
    return [Clip(np.moveaxis(each, 1, 3), fps) for each in pixels], bounces


def fraction_in_sync(seen: list[Clip], bounces: list[list[Bounce]]) -> float:
    found = [[item.time for item in direction_changes(clip) if item.sharpness > SHARP] for clip in seen]
    return onset_f1(found, [[bounce.time for bounce in each] for each in bounces])


@pytest.mark.parametrize(("size", "frames", "fps"), [(32, 32, 8), (64, 32, 8), (32, 96, 24)])
def test_bounces_are_found_to_half_a_frame(size: int, frames: int, fps: float) -> None:
    assert fraction_in_sync(*clips(list(COMBINATIONS[::21]), size, frames, fps)) > 0.93


def fraction_after(change: Callable[[np.ndarray], np.ndarray]) -> float:
    seen, bounces = clips(list(COMBINATIONS[::33]))
    return fraction_in_sync(
        [Clip(change(clip.frames.astype(float)).clip(0, 255).astype(np.uint8), 8) for clip in seen], bounces
    )


def test_bounces_are_found_in_degraded_clips() -> None:
    noise = np.random.default_rng(0)
    ground = 60 * noise.random((32, 32, 3))
    assert fraction_after(lambda frames: frames + noise.normal(0, 2, frames.shape)) > 0.8
    assert fraction_after(lambda frames: np.where(frames.max(3, keepdims=True) < 60, ground, frames)) > 0.8
    assert fraction_after(lambda frames: frames.mean(3, keepdims=True)) > 0.9
    assert fraction_after(lambda frames: np.pad(frames, ((0, 0), (0, 0), (8, 8), (0, 0)), "edge")) > 0.9


def test_looks_contain_the_color() -> None:
    red, blue = (
        MovingThing(shape, color, way, "fast")
        for shape, color, way in (("circle", "red", "right"), ("ring", "blue", "left"))
    )
    seen, bounces = clips([Motion((red,)), Motion((blue,))])
    for clip, met, channel in zip(seen, bounces, (0, 2), strict=True):
        for bounce in met:
            item = min(direction_changes(clip), key=lambda item: abs(item.time - bounce.time))
            assert item.looks[:3].argmax() == channel and item.looks[channel] > 0.8


def test_features_mark_direction_changes_and_end_with_the_clip() -> None:
    (clip, still), (bounces, _) = clips([COMBINATIONS[1], COMBINATIONS[1]])
    sight = VisualOnsets()
    features = sight.frames(clip, 500)
    assert features.shape == (500, sight.features) and features.dtype == np.float32
    assert np.isfinite(features).all() and np.abs(features).max() < 6 and not features[400:].any()
    assert np.array_equal(features[:90], sight.frames(clip, 90))
    assert min(abs(features[:, 0].argmax() / 100 - bounce.time) for bounce in bounces) < 0.03
    frozen = sight.frames(Clip(still.frames[:1].repeat(32, 0), 8), 400)
    assert not frozen[:, :-3].any()


@pytest.mark.parametrize(("count", "shape"), [(1, (32, 32, 3)), (2, (20, 30, 1)), (3, (7, 90, 3)), (40, (2, 2, 1))])
def test_any_clip_has_features(count: int, shape: tuple[int, ...]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)
    features = VisualOnsets().frames(Clip(frames, 30), 20)
    assert features.shape == (20, VisualOnsets.features) and np.isfinite(features).all()
