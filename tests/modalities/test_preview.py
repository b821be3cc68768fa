"""What every modality shows, and what is asked of those that can do more."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from genai.core.data import Example, Split
from genai.core.errors import UserError
from genai.inference.labels import NO_LABEL
from genai.media.picture import Picture
from genai.modalities import optional
from genai.modalities.audio import Audio
from genai.modalities.image import Image
from genai.modalities.preview import Preview
from genai.modalities.text import Text
from genai.modalities.video import Video

PICTURE = Picture(np.zeros((8, 8, 3), np.uint8))


def test_prompts_are_different_ones_of_held_out_data() -> None:
    split = Split("val", 30, lambda index: Example(None, f"prompt {index % 12}"), "hash")
    prompts = Preview().prompts(split)
    assert len(prompts) == len(set(prompts)) == 8
    assert Preview().prompts(Split("val", 0, split.load, "hash")) == [""]


@pytest.mark.parametrize(
    ("preview", "names"), [(Preview(), ["000.png", "001.png"]), (Image().preview(), ["sheet.png"])]
)
def test_files_are_numbered_and_a_sheet_is_beside_them(preview: Preview, names: list[str], tmp_path: Path) -> None:
    preview.write(tmp_path / "new" / "folder", [("a", PICTURE), ("b", PICTURE)], NO_LABEL.encode)
    found = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert found == sorted({"000.png", "001.png", *names})


def test_only_a_sheet_is_logged() -> None:
    logged: list[Any] = []
    writer = SimpleNamespace(
        _get_file_writer=lambda: SimpleNamespace(add_summary=lambda summary, step: logged.append((summary, step)))
    )
    Preview().log(writer, "tag", [("a", PICTURE)], 3)
    assert logged == []
    Image().preview().log(writer, "tag", [("a", PICTURE)], 3)
    ((summary, step),) = logged
    image = summary.value[0].image
    with Pillow.open(io.BytesIO(image.encoded_image_string)) as logged_picture:
        assert logged_picture.size == (image.width, image.height) and image.colorspace == 3
        sheet: Any = Image().preview().contact_sheet([("a", PICTURE)])
        assert np.array_equal(np.asarray(logged_picture), sheet.pixels)
    assert (summary.value[0].tag, step) == ("tag", 3)


def test_a_sheet_is_drawn_once_for_the_log_and_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preview, drawn = Image().preview(), list[Any]()
    draw = preview.contact_sheet
    monkeypatch.setattr(preview, "contact_sheet", lambda samples: [drawn.append(samples), draw(samples)][1])
    writer = SimpleNamespace(_get_file_writer=lambda: SimpleNamespace(add_summary=lambda summary, step: None))
    white = Picture(np.full((8, 8, 3), 255, np.uint8))
    for number, samples in enumerate(([("a", PICTURE)], [("a", white)])):
        preview.log(writer, "tag", samples, number)
        preview.write(tmp_path / "new" / str(number), samples, NO_LABEL.encode)
        sheet: Any = draw(samples)
        assert np.array_equal(Picture.read(tmp_path / "new" / str(number) / "sheet.png").pixels, sheet.pixels)
    assert len(drawn) == 2


def test_what_only_some_can_do() -> None:
    audio, video, text = Audio(), Video(), Text()
    assert optional.length_unit(audio) == ("s of sound", 8000) and optional.length_unit(video) == (None, 1)
    assert optional.required_option(Audio(num_classes=None)) == "init" and optional.required_option(text) == ""
    assert optional.compatible_modalities(video) == ("genai.modalities.image.Image",)
    assert optional.compatible_modalities(text) == ()
    assert optional.request_notes(text, ["a"], None, text.Options()) == []
    assert optional.stream_writer(text, Path("x"), None) is None
    optional.check_soundtrack(video, video.Options(format="mp4"))
    with pytest.raises(UserError, match="not text"):
        optional.check_soundtrack(text, text.Options())
