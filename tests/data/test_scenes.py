from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from genai.data.scenes import FLASH_FRAMES, WINDOW, detect_cuts, split_scenes


def scene(seed: int, count: int = 20, noise: float = 2.0) -> NDArray[np.float64]:
    """A scene as it is inspected: (count, 8, 14, 3), a picture of its own under camera noise."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 255, (8, 14, 3)) + rng.normal(0, noise, (count, 8, 14, 3))


def cuts(*scenes: NDArray[np.float64]) -> list[int]:
    return detect_cuts(np.concatenate(scenes).round().clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("noise", [0.0, 2.0, 10.0])
@pytest.mark.parametrize("lengths", [(20, 20), (FLASH_FRAMES + 1, 5, 7, 30, 9), (1, 20), (20, 1)])
def test_hard_cuts_are_found_exactly(lengths: tuple[int, ...], noise: float) -> None:
    scenes = [scene(seed, length, noise) for seed, length in enumerate(lengths)]
    assert cuts(*scenes) == np.cumsum(lengths)[:-1].tolist()


def test_a_slide_show_is_cut_at_each_slide() -> None:
    assert cuts(*(scene(seed, 1).repeat(10, 0) for seed in range(5))) == [10, 20, 30, 40]


def test_a_cut_in_fast_motion_is_found() -> None:
    first, second = (np.stack([np.roll(scene(seed, 1)[0] / 3, step, 1) for step in range(20)]) for seed in (1, 2))
    assert cuts(first, 255 - second) == [20]


@pytest.mark.parametrize("step", [1, 4])
@pytest.mark.parametrize("side", [3, 6])
def test_a_moving_square_is_no_cut(step: int, side: int) -> None:
    frames = np.zeros((40, 8, 14, 3))
    for index, frame in enumerate(frames):
        left = abs((index * step) % (2 * (14 - side)) - (14 - side))  # there and back
        frame[1 : 1 + side, left : left + side] = 255
    assert cuts(frames) == []


@pytest.mark.parametrize("start", [0, 15, 38])
def test_motion_that_starts_and_stops_is_no_cut(start: int) -> None:
    picture = scene(0, 1)[0]
    steps = [min(max(0, index - start), 12) for index in range(50)]
    assert cuts(np.stack([np.roll(picture, step, 1) for step in steps])) == []


@pytest.mark.parametrize("count", [WINDOW + 1, 8, 24])
def test_fades_are_no_cuts(count: int) -> None:
    weight = np.concatenate([np.zeros(20), np.linspace(0, 1, count + 1), np.ones(20)])[:, None, None, None]
    for first in (np.zeros((8, 14, 3)), scene(1, 1)[0]):
        assert cuts((1 - weight) * first + weight * scene(2, 1)[0]) == []


@pytest.mark.parametrize("deviation", [5.0, 30.0, 80.0])
def test_noise_is_no_cut(deviation: float) -> None:
    for seed in range(5):
        assert cuts(np.random.default_rng(seed).normal(128, deviation, (200, 8, 14, 3))) == []


@pytest.mark.parametrize("count", range(1, FLASH_FRAMES + 1))
@pytest.mark.parametrize("at", [1, 20, 36])
def test_a_flash_is_no_cut(count: int, at: int) -> None:
    frames = scene(0, 40)
    frames[at : at + count] = 255
    assert cuts(frames) == []


def test_short_clips_have_no_cuts() -> None:
    for count in range(3):
        assert detect_cuts(np.arange(count, dtype=np.uint8)[:, None, None, None] * np.uint8(200)) == []


@pytest.mark.parametrize(
    ("cut_times", "fps", "expected"),
    [
        ([], 8, ([(0.0, 5.03)], 0)),
        ([2.0], 8, ([(0, 2), (2, 5)], 0)),
        ([2.04], 8, ([(0, 2.125), (2.125, 5)], 0)),  # the frame at 2.0 s is still of the first scene
        ([2.0004], 8, ([(0, 2), (2, 5)], 0)),  # rounding of times in the file
        ([1.0, 1.125, 4.0], 8, ([(0, 1), (1.125, 4), (4, 5)], 1)),
        ([1.0, 1.04, 4.0], 8, ([(0, 1), (1.125, 4), (4, 5)], 1)),
        ([1.01, 1.05], 8, ([(0, 1.125), (1.125, 5)], 0)),  # a scene without any frame at this rate
        ([1.0, 2.0, 3.0, 4.0], 1, ([(0.0, 5.03)], 0)),  # nothing would be left
        ([9.0], 8, ([(0, 5)], 0)),  # in another part of the film
    ],
)
def test_scenes_begin_with_the_first_whole_frame(cut_times: list[float], fps: float, expected: Any) -> None:
    assert split_scenes(cut_times, (0.0, 5.03), fps) == expected
