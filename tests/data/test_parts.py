import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai.data.parts import split_area, split_time


@pytest.mark.parametrize(
    ("seconds", "fraction", "train", "val"),
    [
        (60.0, 0.1, (0, 54), (55, 60)),
        (10.0, 0.1, (0, 8), (9, 10)),
        (3.0, 0.1, (0, 1), (2, 3)),
        (60.0, 0.5, (0, 30), (31, 60)),
    ],
)
def test_the_end_of_a_recording_is_held_out(
    seconds: float, fraction: float, train: tuple[int, int], val: tuple[int, int]
) -> None:
    parts = split_time(seconds, fraction, 1.0)
    assert parts is not None and parts[0] == pytest.approx(train) and parts[1] == pytest.approx(val)


@pytest.mark.parametrize(("seconds", "fraction"), [(2.9, 0.1), (60.0, 0.99), (0.0, 0.5)])
def test_what_is_too_short_is_not_cut(seconds: float, fraction: float) -> None:
    assert split_time(seconds, fraction, 1.0) is None


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0.001, 0.999), st.integers(16, 64))
def test_crops_are_inside_and_share_no_pixel_with_held_out_ones(
    width: int, height: int, fraction: float, min_side: int
) -> None:
    parts = split_area(width, height, fraction, min_side)
    is_large = min(width, height) >= min_side and max(width, height) >= 3 * min_side
    assert (parts is not None) == is_large
    if parts is None:
        return
    masks = []
    for crops in parts:
        assert crops
        mask = np.zeros((height, width), bool)
        for left, top, right, bottom in (tuple(map(int, crop)) for crop in crops):
            assert 0 <= left < right <= width and 0 <= top < bottom <= height
            assert right - left == bottom - top >= min_side
            mask[top:bottom, left:right] = True
        masks.append(mask)
    assert not (masks[0] & masks[1]).any()


def test_the_held_out_crops_of_a_photo() -> None:
    parts = split_area(640, 427, 0.1, 32)
    assert parts is not None
    assert [len(crops) for crops in parts] == [17 * 12, 6]
    assert {crop[0] for crop in parts[1]} == {576} and {crop[2] - crop[0] for crop in parts[0]} == {64}
    upright = split_area(427, 640, 0.1, 32)
    assert upright is not None and {crop[1] for crop in upright[1]} == {576}
