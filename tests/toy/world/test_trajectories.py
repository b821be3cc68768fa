import time

import numpy as np
import pytest

from genai.toy.world.draw import PAIR_SCALE
from genai.toy.world.motion import COMBINATIONS, DIRECTIONS, SPEEDS, Motion, MovingThing
from genai.toy.world.scene import COLORS
from genai.toy.world.trajectories import (
    BOUNCE_FREE_SECONDS,
    MAX_ANGLE_OFFSET_DEGREES,
    RADIUS,
    Bounce,
    Path,
    reflect,
    render_clips,
)

EXAMPLES = [
    *COMBINATIONS[::29],
    *(Motion((a.things[0], b.things[0])) for a, b in zip(COMBINATIONS[::31], COMBINATIONS[7::31], strict=True)),
]


def foreground(clips: np.ndarray) -> np.ndarray:
    """Where a thing is: (n, frames, side, side)."""
    background = np.median(clips, axis=(3, 4), keepdims=True)
    return np.abs(clips - background).max(2) > 40


def centers(clips: np.ndarray) -> np.ndarray:
    """Of all that is drawn, as shares of the side: (n, frames, 2)."""
    mask = foreground(clips).astype(float)
    line = (np.arange(mask.shape[-1]) + 0.5) / mask.shape[-1]
    total = mask.sum((2, 3))
    return np.stack([(mask.sum(2) * line).sum(2), (mask.sum(3) * line).sum(2)], 2) / total[..., None]


@pytest.mark.parametrize(("size", "frames"), [(16, 16), (33, 5), (64, 2)])
def test_clips_depend_only_on_the_seed(size: int, frames: int) -> None:
    clips, bounces = render_clips(EXAMPLES, np.random.default_rng(3), size, frames)
    assert clips.shape == (len(EXAMPLES), frames, 3, size, size) and clips.dtype == np.uint8
    again, same_bounces = render_clips(EXAMPLES, np.random.default_rng(3), size, frames)
    assert np.array_equal(clips, again) and bounces == same_bounces
    first, subset = render_clips(EXAMPLES[:3], np.random.default_rng(3), size, frames)
    assert np.array_equal(clips[:3], first) and bounces[:3] == subset
    assert not np.array_equal(clips, render_clips(EXAMPLES, np.random.default_rng(4), size, frames)[0])
    none, empty = render_clips([], np.random.default_rng(3), size, frames)
    assert none.shape == (0, frames, 3, size, size) and empty == []


def test_direction_and_speed_before_the_first_bounce() -> None:
    circles = [motion for motion in COMBINATIONS if motion.things[0].shape == "circle"] * 2
    clips, bounces = render_clips(circles, np.random.default_rng(0), 32, 9)
    for motion, track, clip_bounces in zip(circles, centers(clips), bounces, strict=True):
        thing = motion.things[0]
        last = round(8 * BOUNCE_FREE_SECONDS[thing.speed or ""])
        assert all(bounce.time > last / 8 for bounce in clip_bounces)
        x, y = (track[last] - track[0]) / last * 8  # sides a second
        expected = np.arctan2(*reversed(DIRECTIONS[thing.direction or ""]))
        error = np.degrees(np.angle(np.exp(1j * (np.arctan2(y, x) - expected))))
        assert abs(error) < MAX_ANGLE_OFFSET_DEGREES + 3
        slowest, fastest = SPEEDS[thing.speed or ""]
        assert 0.95 * slowest < np.hypot(x, y) < 1.05 * fastest


def test_paths_do_not_depend_on_fps_and_size() -> None:
    subset = COMBINATIONS[::40]
    clips, bounces = render_clips(subset, np.random.default_rng(1), 32, 16, 8)
    finer, same_bounces = render_clips(subset, np.random.default_rng(1), 32, 46, 24)
    assert np.array_equal(finer[:, ::3], clips) and same_bounces == bounces
    larger, same_bounces = render_clips(subset, np.random.default_rng(1), 64, 16, 8)
    assert centers(larger) == pytest.approx(centers(clips), abs=0.03) and same_bounces == bounces


def test_things_stay_inside_and_change_direction_at_bounces() -> None:
    fast = [
        motion
        for motion in COMBINATIONS
        if motion.things[0] == MovingThing("circle", motion.things[0].color, "right", "fast")
    ]
    clips, bounces = render_clips(fast, np.random.default_rng(0), 64, 64, 24)
    mask = foreground(clips)
    assert not mask[..., 0].any() and not mask[..., -1].any() and not mask[:, :, 0].any() and not mask[:, :, -1].any()
    for track, clip_bounces in zip(centers(clips), bounces, strict=True):
        side_bounces = [bounce for bounce in clip_bounces if bounce.wall in ("left", "right")]
        assert side_bounces[0].wall == "right" and side_bounces == sorted(side_bounces)
        assert abs(np.argmax(track[: round(24 * 1.9), 0]) - 24 * side_bounces[0].time) < 1.5
        assert all(bounce.thing == 0 and 0 < bounce.time <= 63 / 24 for bounce in clip_bounces)


def test_path_is_reflected() -> None:
    path = Path((0.5, 0.8), (-0.4, 0.2), 0.2)
    assert path.bounces(3) == [
        Bounce(pytest.approx(0.75), 0, "left"),
        Bounce(pytest.approx(2.25), 0, "right"),
        Bounce(pytest.approx(3), 0, "top"),
    ]
    assert path.positions(np.array([0, 0.75, 1, 2.25])) == pytest.approx(
        np.array([[0.5, 0.8], [0.2, 0.65], [0.3, 0.6], [0.8, 0.35]])
    )
    assert Path((0.5, 0.5), (0, 0), 0.2).bounces(100) == []
    assert reflect(np.array([-0.1, 0.5, 1.3, 2.0]), 0.0) == pytest.approx([0.1, 0.5, 0.7, 0.0])


def test_two_things_start_separated_and_the_first_is_in_front() -> None:
    rng = np.random.default_rng(0)
    kinds = [
        (MovingThing("square", "red", direction, speed), MovingThing("square", "blue", other, "fast"))
        for direction in DIRECTIONS
        for other in DIRECTIONS
        for speed in SPEEDS
    ]
    clips, bounces = render_clips([Motion(pair) for pair in kinds * 3], rng)
    values = clips.astype(int)
    red, blue = ((values[:, :, i] - values[:, :, j] > 60) for i, j in ((0, 2), (2, 0)))
    separated = []
    for axis in (1, 2):
        spans = [[np.flatnonzero(row) for row in mask[:, 0].any(axis)] for mask in (red, blue)]
        separated.append([a[0] > b[-1] + 1 or b[0] > a[-1] + 1 for a, b in zip(*spans, strict=True)])
    assert np.any(separated, 0).mean() > 0.99
    area = red.sum((2, 3))
    assert area.min() > 0.45 * area.max()  # edges fall between pixels, but it is never covered
    assert blue.sum((2, 3)).min() < 0.2 * area.max()
    assert np.sqrt(np.median(area)) == pytest.approx(2 * 0.88 * RADIUS * PAIR_SCALE * 32, abs=1)
    assert {bounce.thing for clip_bounces in bounces for bounce in clip_bounces} == {0, 1}


def test_colors_are_near_the_palette_and_backgrounds_dark() -> None:
    motions = [Motion((MovingThing("square", color, "up", "slow"),)) for color in COLORS] * 5
    clips, _ = render_clips(motions, np.random.default_rng(0))
    for motion, clip in zip(motions, clips, strict=True):
        x, y = (centers(clip[None])[0, 0] * 32).astype(int)
        assert clip[0, :, y, x].astype(int) == pytest.approx(COLORS[motion.things[0].color or ""], abs=9)
        assert clip[:, :, 0, 0].max() <= 52 and np.array_equal(clip[0, :, 0, 0], clip[-1, :, 31, 31])


def test_invalid_arguments_raise() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="complete"):
        render_clips([Motion((MovingThing("ring", "red", "up"),))], rng)
    for wrong in ({"size": 15}, {"frames": 0}, {"fps": 0}):
        with pytest.raises(ValueError, match="at least 16 pixels"):
            render_clips(EXAMPLES, rng, **wrong)


def test_speed() -> None:
    start = time.process_time()
    render_clips(COMBINATIONS[::4], np.random.default_rng(0))
    assert time.process_time() - start < 160 * 0.004  # twice what is meant, for a busy machine
