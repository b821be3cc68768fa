"""Watermark of pictures: a few levels of brightness, found in a part, after JPEG and in another size."""

import io

import numpy as np
import pytest
from PIL import Image

from genai.media.picture import Picture
from genai.trust.watermarks.key import WatermarkKey
from genai.trust.watermarks.pictures import MAX_STRENGTH, add_to_picture, detect_in_picture
from tests.trust.watermarks.conftest import make_picture


def test_it_is_found_with_its_own_key_alone(key: WatermarkKey, other_key: WatermarkKey) -> None:
    picture = make_picture()
    marked = add_to_picture(picture, key)
    assert detect_in_picture(marked.pixels, key).is_found
    assert min(detect_in_picture(picture.pixels, key).p, detect_in_picture(marked.pixels, other_key).p) > 1e-3


@pytest.mark.parametrize("channels", [1, 3])
def test_the_change_is_small(key: WatermarkKey, channels: int) -> None:
    picture = Picture(make_picture().pixels[..., :channels])
    difference = add_to_picture(picture, key).pixels.astype(float) - picture.pixels
    assert np.abs(difference).max() <= MAX_STRENGTH + 0.5 and 38 < -10 * np.log10(np.mean((difference / 255) ** 2)) < 45


@pytest.mark.parametrize(
    ("size", "box", "quality"),
    [(256, None, 50), (256, (21, 37, 213, 229), 75), (128, None, 85), (211, None, 75), (333, None, 75)],
)
def test_it_holds_in_a_part_in_another_size_and_after_jpeg(
    key: WatermarkKey, size: int, box: tuple[int, int, int, int] | None, quality: int
) -> None:
    image = add_to_picture(make_picture(), key).image.crop(box) if box else add_to_picture(make_picture(), key).image
    file = io.BytesIO()
    (image if box else image.resize((size, size))).save(file, "jpeg", quality=quality)
    assert detect_in_picture(np.asarray(Image.open(file)), key).is_found


def test_flat_and_tiny_pictures_are_no_evidence(key: WatermarkKey) -> None:
    for shape in ((130, 300, 3), (1, 1, 1), (9, 400, 1)):
        assert detect_in_picture(np.full(shape, 77, np.uint8), key).p == 1
