import io

import numpy as np
import pytest
from PIL import Image as Pillow

from genai.media.clip import Clip
from genai.media.filmstrip import animated_contact_sheet, filmstrip
from genai.media.picture import Picture, contact_sheet
from tests.media.test_clip import gray_frames, moving


def gray_levels(picture: Picture) -> list[int]:
    """The brightness along the middle of the first row, each once in turn, without the white between."""
    row = picture.pixels[8 + 48, :, 0].tolist()
    return [level for at, level in enumerate(row) if level != 255 and (at == 0 or row[at - 1] != level)]


def test_the_first_and_the_last_frame_are_on_the_strip() -> None:
    clip = Clip(gray_frames(range(0, 240, 10)), 8)
    assert gray_levels(filmstrip([("", clip)])) == [0, 30, 70, 100, 130, 160, 200, 230]
    assert gray_levels(filmstrip([("", clip)], max_frames=2)) == [0, 230]
    assert gray_levels(filmstrip([("", Clip(gray_frames([0, 50, 100]), 8))])) == [0, 50, 100]
    assert gray_levels(filmstrip([("", Clip(gray_frames([70])[..., :1], 8))])) == [70]


def test_a_row_for_each_clip_over_its_prompt() -> None:
    clips = [("a red square goes right", Clip(moving(16), 8)), ("", Clip(moving(3), 8))]
    picture = filmstrip(clips)
    width, row = 8 * 96 + 7 * 4, 96 + 30 + 8
    assert picture.pixels.shape == (2 * row + 8, width + 16, 3)
    assert picture.pixels[8 + 96 : 8 + 126].min() < 100 and picture.pixels[row + 8 + 96 :].min() == 255
    assert np.array_equal(picture.pixels[8 : 8 + 96, 8 : 8 + 96], moving(1)[0].repeat(3, 0).repeat(3, 1))
    assert (picture.pixels[row + 8 :, 8 + 3 * 100 :] == 255).all()


def test_large_frames_stay_as_they_are() -> None:
    assert filmstrip([("", Clip(moving(3, 120, 200), 8))]).pixels.shape == (120 + 46, 3 * 200 + 2 * 4 + 16, 3)


@pytest.mark.parametrize("count", [1, 3, 17])
def test_clips_play_side_by_side(count: int) -> None:
    clips = [("a prompt", Clip(gray_frames([number, number + 100, number + 200]), 8)) for number in range(count)]
    longer = ("", Clip(gray_frames(range(0, 240, 20)), 12))
    with Pillow.open(io.BytesIO(animated_contact_sheet([*clips, longer]))) as image:
        assert (image.n_frames, image.info["loop"]) == (12, 0)
        shown = []
        for number in range(12):
            image.seek(number)
            assert image.info["duration"] == pytest.approx(1000 / 12)
            shown.append(int(np.asarray(image.convert("RGB"))[20, 20, 0]))
        first = contact_sheet([(prompt, Picture(clip.frames[0])) for prompt, clip in [*clips, longer]])
        assert image.size == first.image.size
    assert shown == [0, 0, 100, 200, *8 * [200]]


def test_a_sheet_of_pictures_that_are_not_square() -> None:
    sheet = contact_sheet([("", Picture(moving(1, 20, 40)[0]))])
    assert sheet.pixels.shape == (60 + 46, 120 + 16, 3)
