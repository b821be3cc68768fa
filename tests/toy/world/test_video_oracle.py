from collections.abc import Callable

import numpy as np
import pytest

from genai.toy.world.motion import COMBINATIONS, Motion, MovingThing
from genai.toy.world.trajectories import Bounce, render_clips
from genai.toy.world.video_oracle import (
    MAX_PATH_ERROR,
    MAX_STATIC_FRACTION,
    MotionDetection,
    detect_motions,
    is_motion_match,
    match_motion,
)

Clips = np.ndarray
CHECK_NAMES = ["shape", "color", "direction", "speed", "identity", "path"]
N = 200


def random_motions(count: int, seed: int = 0) -> list[Motion]:
    chosen = np.random.default_rng(seed).integers(len(COMBINATIONS), size=count)
    return [COMBINATIONS[index] for index in chosen]


def random_pairs(count: int, seed: int = 0) -> list[Motion]:
    both = zip(random_motions(count, seed), random_motions(count, seed + 1), strict=True)
    return [Motion((first.things[0], second.things[0])) for first, second in both]


def match_rate(targets: list[Motion], detections: list[MotionDetection]) -> float:
    """Of clips in which all is right."""
    return float(np.mean([is_motion_match(*pair) for pair in zip(targets, detections, strict=True)]))


MOTIONS = random_motions(N)
CLIPS, BOUNCES = render_clips(MOTIONS, np.random.default_rng(0))


@pytest.fixture(scope="module")
def detections() -> list[MotionDetection]:
    return detect_motions(CLIPS)


def noisy(clips: Clips) -> Clips:
    return (clips + np.random.default_rng(1).normal(0, 13, clips.shape)).clip(0, 255)


def test_clean_clips(detections: list[MotionDetection]) -> None:
    assert list(match_motion(MOTIONS[0], detections[0])) == CHECK_NAMES
    assert match_rate(MOTIONS, detections) >= 0.99
    assert (
        max(each.path_error for each in detections) < MAX_PATH_ERROR / 4
        and max(each.static_fraction for each in detections) <= MAX_STATIC_FRACTION / 2
    )
    assert np.mean([each.consistency == 1 for each in detections]) > 0.98
    for motion, each in zip(MOTIONS, detections, strict=True):
        low, high = (0.5, 0.75) if motion.things[0].speed == "slow" else (1.6, 2.0)
        assert 0.95 * low < each.speeds[0] < 1.05 * high
    turns = [(each.bounces, rendered) for each, rendered in zip(detections, BOUNCES, strict=True)]
    same = [
        (detected, rendered) for detected, rendered in turns if [b.wall for b in detected] == [b.wall for b in rendered]
    ]
    assert len(same) > 0.95 * N  # one may fall on the last frame
    late = [abs(a.time - b.time) for detected, rendered in same for a, b in zip(detected, rendered, strict=True)]
    assert len(late) > N / 2 and np.mean(late) < 0.005 and max(late) < 1 / 16


@pytest.mark.parametrize(
    ("change", "kwargs"),
    [
        (noisy, {}),
        (np.asarray, {"size": 64}),
        (np.asarray, {"frames": 64}),
        pytest.param(np.asarray, {"fps": 24}, marks=pytest.mark.slow),
        (np.asarray, {"fps": 24, "size": 48, "frames": 24}),
        (lambda clips: clips.astype(np.float32), {"frames": 12, "size": 24}),
    ],
)
def test_other_sizes_lengths_fps_and_noise(change: Callable[[Clips], Clips], kwargs: dict[str, int]) -> None:
    targets = random_motions(50, seed=1)
    clips, _ = render_clips(targets, np.random.default_rng(1), **kwargs)
    assert match_rate(targets, detect_motions(change(clips), kwargs.get("fps", 8))) >= 0.98


def shuffle_frames(clips: Clips) -> Clips:
    rng = np.random.default_rng(1)
    return np.stack([clip[rng.permutation(len(clip))] for clip in clips])


def frozen(clips: Clips) -> Clips:
    return np.repeat(clips[:, :1], 16, 1)


def stopped(clips: Clips) -> Clips:
    """In the middle."""
    return np.concatenate([clips[:, :8], np.repeat(clips[:, 8:9], 8, 1)], 1)


def slowed(clips: Clips) -> Clips:
    """Each frame twice: at half the speed."""
    return np.repeat(clips, 2, 1)[:, :16]


def switch_clips(clips: Clips) -> Clips:
    """Into another clip, in the middle."""
    return np.concatenate([clips[:, :8], np.roll(clips, 1, 0)[:, 8:]], 1)


def recolored(clips: Clips) -> Clips:
    """On the same path, from the middle on."""
    return np.concatenate([clips[:, :8], clips[:, 8:, [1, 2, 0]]], 1)


@pytest.mark.parametrize(
    "corruption", [shuffle_frames, frozen, stopped, slowed, switch_clips], ids=lambda corruption: corruption.__name__
)
def test_corruptions_are_detected(corruption: Callable[[Clips], Clips]) -> None:
    assert match_rate(MOTIONS[:120], detect_motions(corruption(CLIPS[:120]))) <= 0.02


def test_color_change_breaks_identity() -> None:
    bright = [
        Motion((MovingThing(shape, "red", "left", speed),)) for shape in ("ring", "cross") for speed in ("slow", "fast")
    ]
    clips, _ = render_clips(bright * 5, np.random.default_rng(0))
    answers = [match_motion(*pair) for pair in zip(bright * 5, detect_motions(recolored(clips)), strict=True)]
    assert not any(answer["identity"] for answer in answers)
    assert all(answer["shape"] and answer["direction"] and answer["path"] for answer in answers)


def test_shuffled_prompts_match_at_random(detections: list[MotionDetection]) -> None:
    answers = [match_motion(*pair) for pair in zip(random_motions(N, seed=9), detections, strict=True)]
    assert np.mean([all(answer.values()) for answer in answers]) <= 0.02
    chance = {"shape": 1 / 5, "color": 1 / 8, "direction": 1 / 8, "speed": 1 / 2, "identity": 1, "path": 1}
    assert {name: np.mean([answer[name] for answer in answers]) for name in chance} == pytest.approx(chance, abs=0.1)


def test_noise_has_no_motion() -> None:
    rng = np.random.default_rng(0)
    shape = (30, 16, 3, 32, 32)
    for clips in (rng.integers(0, 256, shape), np.full(shape, 20), np.full((2, *shape[1:]), np.nan)):
        detections = detect_motions(clips)
        assert all(each == MotionDetection(None) for each in detections)
    assert match_motion(MOTIONS[0], detections[0]) == dict.fromkeys(CHECK_NAMES, False)
    assert detect_motions(np.empty((0, *shape[1:]))) == []
    for wrong in ((2, 16, 32, 32, 3), (2, 1, 3, 32, 32), (16, 3, 32, 32)):
        with pytest.raises(ValueError, match="batch, frames, 3, side, side"):
            detect_motions(np.zeros(wrong))


def test_missing_frames_break_identity() -> None:
    clips = CLIPS[:30].copy()
    clips[:, [3, 7, 12]] = 20
    answers = [match_motion(*pair) for pair in zip(MOTIONS, detect_motions(clips), strict=False)]
    assert not any(answer["identity"] for answer in answers)
    assert np.mean([answer["direction"] and answer["path"] for answer in answers]) > 0.95


def test_two_things(detections: list[MotionDetection]) -> None:
    targets = random_pairs(N)
    clips, _ = render_clips(targets, np.random.default_rng(0))
    both = detect_motions(clips)
    assert match_rate(targets, both) >= 0.98
    assert match_rate(random_pairs(N, seed=5), both) <= 0.02
    assert match_rate(MOTIONS, both) == match_rate(targets, detections) == 0
    assert {bounce.thing for each in both for bounce in each.bounces} == {0, 1}
    for corruption in (shuffle_frames, slowed, frozen):
        assert match_rate(targets[:50], detect_motions(corruption(clips[:50]))) <= 0.02


def test_only_set_attributes_are_checked() -> None:
    up, left = MovingThing("ring", "red", "up", "slow"), MovingThing("cross", "blue", "left", "fast")
    detections = MotionDetection(Motion((left, up)), 0.002, 0.0, 1.0, (1.8, 0.6), (Bounce(0.5, 0, "left"),))
    assert is_motion_match(Motion((up, left)), detections) and is_motion_match(Motion((left, up)), detections)
    assert match_motion(Motion((MovingThing("ring"), MovingThing("cross", None, "up"))), detections) == {
        "shape": True,
        "direction": False,
        "identity": True,
        "path": True,
    }
    assert not any(match_motion(Motion((up,)), detections).values())
    alone = MotionDetection(Motion((MovingThing("ring", "red"),)), 0.0, 1.0, 1.0, (0.0,))
    assert match_motion(Motion((MovingThing("ring"),)), alone) == {"shape": True, "identity": True, "path": False}
