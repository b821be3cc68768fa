"""Where a picture stands while the rest of the canvas is made."""

from typing import get_args

import numpy as np
import pytest
from PIL import Image as Pillow

from genai.modalities.outpainting import OutpaintSide, init_box, place_on_canvas


@pytest.mark.parametrize(
    ("picture", "side", "box"),
    [
        ((32, 32), "right", (0, 8, 16, 24)),
        ((32, 32), "left", (16, 8, 32, 24)),
        ((32, 32), "bottom", (8, 0, 24, 16)),
        ((32, 32), "top", (8, 16, 24, 32)),
        ((32, 32), "around", (8, 8, 24, 24)),
        ((50, 100), "right", (0, 0, 16, 32)),
        ((100, 50), "right", (0, 12, 16, 20)),
        ((100, 50), "bottom", (0, 0, 32, 16)),
    ],
)
def test_the_box_of_the_picture(picture: tuple[int, int], side: OutpaintSide, box: tuple[int, int, int, int]) -> None:
    assert init_box(picture, (32, 32), side) == box


@pytest.mark.parametrize("side", get_args(OutpaintSide))
@pytest.mark.parametrize("picture", [(1, 1), (1, 900), (900, 1), (7, 5)])
@pytest.mark.parametrize("canvas", [(4, 4), (5, 9), (32, 16)])
def test_the_box_is_on_the_canvas_and_leaves_half_of_it(
    picture: tuple[int, int], canvas: tuple[int, int], side: OutpaintSide
) -> None:
    left, top, right, bottom = init_box(picture, canvas, side)
    assert 0 <= left < right <= canvas[0] and 0 <= top < bottom <= canvas[1]
    assert (right - left) * (bottom - top) * 2 <= canvas[0] * canvas[1]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_picture_of_fitting_size_is_not_resampled(mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 4) if mode == "L" else (8, 4, 3), dtype=np.uint8)
    whole, mask = place_on_canvas(Pillow.fromarray(pixels), (8, 8), "right")
    assert np.array_equal(np.asarray(whole)[:, :4], pixels)
    assert (np.asarray(mask) == np.array([0] * 4 + [255] * 4)).all()
