from collections.abc import Callable

import numpy as np
import pytest

from genai.toy.world.motion import COMBINATIONS, Motion, Mover
from genai.toy.world.trajectories import Bounce, draw
from genai.toy.world.video_oracle import MOST_IDLE, MOST_STRAY, Seen, all_right, fulfilled, watch

Clips = np.ndarray
EVERYTHING = ["shape", "colour", "direction", "speed", "identity", "path"]
N = 200


def some(count: int, seed: int = 0) -> list[Motion]:
    chosen = np.random.default_rng(seed).integers(len(COMBINATIONS), size=count)
    return [COMBINATIONS[index] for index in chosen]


def pairs(count: int, seed: int = 0) -> list[Motion]:
    both = zip(some(count, seed), some(count, seed + 1), strict=True)
    return [Motion((first.things[0], second.things[0])) for first, second in both]


def share(asked: list[Motion], seen: list[Seen]) -> float:
    """Of clips in which all is right."""
    return float(np.mean([all_right(*pair) for pair in zip(asked, seen, strict=True)]))


ASKED = some(N)
CLIPS, BOUNCES = draw(ASKED, np.random.default_rng(0))


@pytest.fixture(scope="module")
def seen() -> list[Seen]:
    return watch(CLIPS)


def noisy(clips: Clips) -> Clips:
    return (clips + np.random.default_rng(1).normal(0, 13, clips.shape)).clip(0, 255)


def test_clean_clips_are_read_with_their_bounces(seen: list[Seen]) -> None:
    assert list(fulfilled(ASKED[0], seen[0])) == EVERYTHING
    assert share(ASKED, seen) >= 0.99
    assert max(each.stray for each in seen) < MOST_STRAY / 4 and max(each.idle for each in seen) <= MOST_IDLE / 2
    assert np.mean([each.agreement == 1 for each in seen]) > 0.98
    for motion, each in zip(ASKED, seen, strict=True):
        low, high = (0.5, 0.75) if motion.things[0].speed == "slow" else (1.6, 2.0)
        assert 0.95 * low < each.speeds[0] < 1.05 * high
    turns = [(each.bounces, drawn) for each, drawn in zip(seen, BOUNCES, strict=True)]
    same = [(read, drawn) for read, drawn in turns if [b.wall for b in read] == [b.wall for b in drawn]]
    assert len(same) > 0.95 * N  # one may fall on the last frame
    late = [abs(a.time - b.time) for read, drawn in same for a, b in zip(read, drawn, strict=True)]
    assert len(late) > N / 2 and np.mean(late) < 0.005 and max(late) < 1 / 16


@pytest.mark.parametrize(
    ("change", "kwargs"),
    [
        (noisy, {}),
        (np.asarray, {"size": 64}),
        (np.asarray, {"frames": 64}),
        (np.asarray, {"fps": 24}),
        (np.asarray, {"fps": 24, "size": 48, "frames": 24}),
        (lambda clips: clips.astype(np.float32), {"frames": 12, "size": 24}),
    ],
)
def test_other_sizes_lengths_rates_and_a_little_noise_are_read(
    change: Callable[[Clips], Clips], kwargs: dict[str, int]
) -> None:
    asked = some(50, seed=1)
    clips, _ = draw(asked, np.random.default_rng(1), **kwargs)
    assert share(asked, watch(change(clips), kwargs.get("fps", 8))) >= 0.98


def shuffled(clips: Clips) -> Clips:
    rng = np.random.default_rng(1)
    return np.stack([clip[rng.permutation(len(clip))] for clip in clips])


def frozen(clips: Clips) -> Clips:
    return np.repeat(clips[:, :1], 16, 1)


def stopped(clips: Clips) -> Clips:
    """In the middle."""
    return np.concatenate([clips[:, :8], np.repeat(clips[:, 8:9], 8, 1)], 1)


def stuttering(clips: Clips) -> Clips:
    """Each frame twice: at half the speed."""
    return np.repeat(clips, 2, 1)[:, :16]


def switched(clips: Clips) -> Clips:
    """Into another clip, in the middle."""
    return np.concatenate([clips[:, :8], np.roll(clips, 1, 0)[:, 8:]], 1)


def recoloured(clips: Clips) -> Clips:
    """On the same path, from the middle on."""
    return np.concatenate([clips[:, :8], clips[:, 8:, [1, 2, 0]]], 1)


@pytest.mark.parametrize(
    "damage", [shuffled, frozen, stopped, stuttering, switched], ids=lambda damage: damage.__name__
)
def test_damage_is_seen(damage: Callable[[Clips], Clips]) -> None:
    assert share(ASKED[:120], watch(damage(CLIPS[:120]))) <= 0.02


def test_a_change_of_colour_on_the_way_is_a_change_of_identity() -> None:
    bright = [
        Motion((Mover(shape, "red", "left", speed),)) for shape in ("ring", "cross") for speed in ("slow", "fast")
    ]
    clips, _ = draw(bright * 5, np.random.default_rng(0))
    answers = [fulfilled(*pair) for pair in zip(bright * 5, watch(recoloured(clips)), strict=True)]
    assert not any(answer["identity"] for answer in answers)
    assert all(answer["shape"] and answer["direction"] and answer["path"] for answer in answers)


def test_swapped_prompts_are_fulfilled_by_chance(seen: list[Seen]) -> None:
    answers = [fulfilled(*pair) for pair in zip(some(N, seed=9), seen, strict=True)]
    assert np.mean([all(answer.values()) for answer in answers]) <= 0.02
    chance = {"shape": 1 / 5, "colour": 1 / 8, "direction": 1 / 8, "speed": 1 / 2, "identity": 1, "path": 1}
    assert {name: np.mean([answer[name] for answer in answers]) for name in chance} == pytest.approx(chance, abs=0.1)


def test_nothing_is_seen_where_nothing_is() -> None:
    rng = np.random.default_rng(0)
    shape = (30, 16, 3, 32, 32)
    for clips in (rng.integers(0, 256, shape), np.full(shape, 20), np.full((2, *shape[1:]), np.nan)):
        seen = watch(clips)
        assert all(each == Seen(None) for each in seen)
    assert fulfilled(ASKED[0], seen[0]) == dict.fromkeys(EVERYTHING, False)
    assert watch(np.empty((0, *shape[1:]))) == []
    for wrong in ((2, 16, 32, 32, 3), (2, 1, 3, 32, 32), (16, 3, 32, 32)):
        with pytest.raises(ValueError, match="batch, frames, 3, side, side"):
            watch(np.zeros(wrong))


def test_a_thing_that_is_not_always_there_has_no_identity() -> None:
    clips = CLIPS[:30].copy()
    clips[:, [3, 7, 12]] = 20
    answers = [fulfilled(*pair) for pair in zip(ASKED, watch(clips), strict=False)]
    assert not any(answer["identity"] for answer in answers)
    assert np.mean([answer["direction"] and answer["path"] for answer in answers]) > 0.95


def test_two_things_are_read_while_they_are_apart(seen: list[Seen]) -> None:
    asked = pairs(N)
    clips, _ = draw(asked, np.random.default_rng(0))
    both = watch(clips)
    assert share(asked, both) >= 0.98
    assert share(pairs(N, seed=5), both) <= 0.02
    assert share(ASKED, both) == share(asked, seen) == 0
    assert {bounce.thing for each in both for bounce in each.bounces} == {0, 1}
    for damage in (shuffled, stuttering, frozen):
        assert share(asked[:50], watch(damage(clips[:50]))) <= 0.02


def test_only_what_was_asked_is_judged() -> None:
    up, left = Mover("ring", "red", "up", "slow"), Mover("cross", "blue", "left", "fast")
    seen = Seen(Motion((left, up)), 0.002, 0.0, 1.0, (1.8, 0.6), (Bounce(0.5, 0, "left"),))
    assert all_right(Motion((up, left)), seen) and all_right(Motion((left, up)), seen)
    assert fulfilled(Motion((Mover("ring"), Mover("cross", None, "up"))), seen) == {
        "shape": True,
        "direction": False,
        "identity": True,
        "path": True,
    }
    assert not any(fulfilled(Motion((up,)), seen).values())
    alone = Seen(Motion((Mover("ring", "red"),)), 0.0, 1.0, 1.0, (0.0,))
    assert fulfilled(Motion((Mover("ring"),)), alone) == {"shape": True, "identity": True, "path": False}
