import time

import numpy as np
import pytest

from genai.toy.world.draw import PAIR
from genai.toy.world.motion import COMBINATIONS, DIRECTIONS, SPEEDS, Motion, Mover
from genai.toy.world.scene import COLOURS
from genai.toy.world.trajectories import CALM, RADIUS, TILT, Bounce, Path, draw, fold

SOME = [
    *COMBINATIONS[::29],
    *(Motion((a.things[0], b.things[0])) for a, b in zip(COMBINATIONS[::31], COMBINATIONS[7::31], strict=True)),
]


def inked(clips: np.ndarray) -> np.ndarray:
    """Where a thing is: (n, frames, side, side)."""
    ground = np.median(clips, axis=(3, 4), keepdims=True)
    return np.abs(clips - ground).max(2) > 40


def centres(clips: np.ndarray) -> np.ndarray:
    """Of all that is drawn, as shares of the side: (n, frames, 2)."""
    ink = inked(clips).astype(float)
    line = (np.arange(ink.shape[-1]) + 0.5) / ink.shape[-1]
    total = ink.sum((2, 3))
    return np.stack([(ink.sum(2) * line).sum(2), (ink.sum(3) * line).sum(2)], 2) / total[..., None]


@pytest.mark.parametrize(("size", "frames"), [(16, 16), (33, 5), (64, 2)])
def test_clips_follow_from_the_generator(size: int, frames: int) -> None:
    clips, bounces = draw(SOME, np.random.default_rng(3), size, frames)
    assert clips.shape == (len(SOME), frames, 3, size, size) and clips.dtype == np.uint8
    again, same = draw(SOME, np.random.default_rng(3), size, frames)
    assert np.array_equal(clips, again) and bounces == same
    first, few = draw(SOME[:3], np.random.default_rng(3), size, frames)
    assert np.array_equal(clips[:3], first) and bounces[:3] == few
    assert not np.array_equal(clips, draw(SOME, np.random.default_rng(4), size, frames)[0])
    none, empty = draw([], np.random.default_rng(3), size, frames)
    assert none.shape == (0, frames, 3, size, size) and empty == []


def test_things_go_the_way_and_as_fast_as_said_before_the_first_bounce() -> None:
    circles = [motion for motion in COMBINATIONS if motion.things[0].shape == "circle"] * 2
    clips, bounces = draw(circles, np.random.default_rng(0), 32, 9)
    for motion, track, turns in zip(circles, centres(clips), bounces, strict=True):
        thing = motion.things[0]
        last = round(8 * CALM[thing.speed or ""])
        assert all(bounce.time > last / 8 for bounce in turns)
        x, y = (track[last] - track[0]) / last * 8  # sides a second
        expected = np.arctan2(*reversed(DIRECTIONS[thing.direction or ""]))
        off = np.degrees(np.angle(np.exp(1j * (np.arctan2(y, x) - expected))))
        assert abs(off) < TILT + 3
        slowest, fastest = SPEEDS[thing.speed or ""]
        assert 0.95 * slowest < np.hypot(x, y) < 1.05 * fastest


def test_the_same_seconds_are_shown_at_every_rate_and_size() -> None:
    few = COMBINATIONS[::40]
    clips, bounces = draw(few, np.random.default_rng(1), 32, 16, 8)
    finer, same = draw(few, np.random.default_rng(1), 32, 46, 24)
    assert np.array_equal(finer[:, ::3], clips) and same == bounces
    larger, same = draw(few, np.random.default_rng(1), 64, 16, 8)
    assert centres(larger) == pytest.approx(centres(clips), abs=0.03) and same == bounces


def test_things_stay_inside_and_turn_round_where_and_when_it_is_said() -> None:
    fast = [
        motion
        for motion in COMBINATIONS
        if motion.things[0] == Mover("circle", motion.things[0].colour, "right", "fast")
    ]
    clips, bounces = draw(fast, np.random.default_rng(0), 64, 64, 24)
    ink = inked(clips)
    assert not ink[..., 0].any() and not ink[..., -1].any() and not ink[:, :, 0].any() and not ink[:, :, -1].any()
    for track, turns in zip(centres(clips), bounces, strict=True):
        sideways = [bounce for bounce in turns if bounce.wall in ("left", "right")]
        assert sideways[0].wall == "right" and sideways == sorted(sideways)
        assert abs(np.argmax(track[: round(24 * 1.9), 0]) - 24 * sideways[0].time) < 1.5
        assert all(bounce.thing == 0 and 0 < bounce.time <= 63 / 24 for bounce in turns)


def test_a_path_is_thrown_back_between_walls() -> None:
    path = Path((0.5, 0.8), (-0.4, 0.2), 0.2)
    assert path.bounces(3) == [
        Bounce(pytest.approx(0.75), 0, "left"),
        Bounce(pytest.approx(2.25), 0, "right"),
        Bounce(pytest.approx(3), 0, "top"),
    ]
    assert path.at(np.array([0, 0.75, 1, 2.25])) == pytest.approx(
        np.array([[0.5, 0.8], [0.2, 0.65], [0.3, 0.6], [0.8, 0.35]])
    )
    assert Path((0.5, 0.5), (0, 0), 0.2).bounces(100) == []
    assert fold(np.array([-0.1, 0.5, 1.3, 2.0]), 0.0) == pytest.approx([0.1, 0.5, 0.7, 0.0])


def test_two_things_begin_apart_are_smaller_and_the_first_is_in_front() -> None:
    rng = np.random.default_rng(0)
    kinds = [
        (Mover("square", "red", way, pace), Mover("square", "blue", other, "fast"))
        for way in DIRECTIONS
        for other in DIRECTIONS
        for pace in SPEEDS
    ]
    clips, bounces = draw([Motion(pair) for pair in kinds * 3], rng)
    values = clips.astype(int)
    red, blue = ((values[:, :, i] - values[:, :, j] > 60) for i, j in ((0, 2), (2, 0)))
    apart = []
    for axis in (1, 2):
        spans = [[np.flatnonzero(row) for row in ink[:, 0].any(axis)] for ink in (red, blue)]
        apart.append([a[0] > b[-1] + 1 or b[0] > a[-1] + 1 for a, b in zip(*spans, strict=True)])
    assert np.any(apart, 0).mean() > 0.99
    area = red.sum((2, 3))
    assert area.min() > 0.45 * area.max()  # edges fall between pixels, but it is never covered
    assert blue.sum((2, 3)).min() < 0.2 * area.max()
    assert np.sqrt(np.median(area)) == pytest.approx(2 * 0.88 * RADIUS * PAIR * 32, abs=1)
    assert {bounce.thing for turns in bounces for bounce in turns} == {0, 1}


def test_colours_are_a_little_beside_the_palette_and_grounds_are_dark() -> None:
    motions = [Motion((Mover("square", colour, "up", "slow"),)) for colour in COLOURS] * 5
    clips, _ = draw(motions, np.random.default_rng(0))
    for motion, clip in zip(motions, clips, strict=True):
        x, y = (centres(clip[None])[0, 0] * 32).astype(int)
        assert clip[0, :, y, x].astype(int) == pytest.approx(COLOURS[motion.things[0].colour or ""], abs=9)
        assert clip[:, :, 0, 0].max() <= 52 and np.array_equal(clip[0, :, 0, 0], clip[-1, :, 31, 31])


def test_what_cannot_be_drawn_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="complete"):
        draw([Motion((Mover("ring", "red", "up"),))], rng)
    for wrong in ({"size": 15}, {"frames": 0}, {"fps": 0}):
        with pytest.raises(ValueError, match="at least 16 pixels"):
            draw(SOME, rng, **wrong)


def test_drawing_is_quick() -> None:
    began = time.process_time()
    draw(COMBINATIONS[::4], np.random.default_rng(0))
    assert time.process_time() - began < 160 * 0.004  # twice what is meant, for a busy machine
