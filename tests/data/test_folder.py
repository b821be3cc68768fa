from pathlib import Path

import pytest
from PIL import Image as Pillow

from genai.data.image_folder import ImageFolder


def prompts(source: ImageFolder) -> list[str]:
    return sorted([*(source.train.prompts or ()), *(source.val.prompts or ())])


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """Four pictures whose names tell what they show."""
    for index, name in enumerate(("red_ball_01", "red_ball_02", "sky (1)", "sky (2)")):
        Pillow.new("RGB", (8, 8), (60 * index, 0, 250)).save(tmp_path / f"{name}.png")
    return tmp_path


def test_names_become_captions_on_request(named: Path) -> None:
    source = ImageFolder(str(named))
    assert prompts(source) == [""] * 4
    assert "no captions found: nothing to ask for (data.caption=name takes the names of the files)" in (
        source.description
    )
    by_name = ImageFolder(str(named), caption="name")
    assert prompts(by_name) == ["red ball", "red ball", "sky", "sky"]
    assert "held out, 2 different prompts" in by_name.description
    assert by_name.train.content_hash != source.train.content_hash


def test_names_that_are_numbers_are_not_offered(tmp_path: Path) -> None:
    for index in range(3):
        Pillow.new("RGB", (8, 8), (60 * index, 0, 0)).save(tmp_path / f"IMG_{index:04}.png")
    assert ImageFolder(str(tmp_path)).description.endswith("no captions found: nothing to ask for")


def test_rows_of_a_table_are_no_skipped_pictures(named: Path) -> None:
    (named / "metadata.csv").write_text("file,caption\nsky (1).png,a sky\n" + "gone.png,x\n" * 3)
    (named / "bad.png").touch()
    source = ImageFolder(str(named))
    assert "held out, 1 skipped, 3 captions not used, 1 prompt (3 without)" in source.description
    assert len(source.skipped) == 4
    (named / "metadata.csv").write_text("photo,kind\nsky (1).png,a sky\n" + "gone.png,x\n" * 3)
    source = ImageFolder(str(named))
    assert "1 skipped, 4 captions not used, no captions found" in source.description
    assert [line.removeprefix(f"{named}/") for line in source.skipped] == [
        "bad.png is an empty file.",
        "metadata.csv has the columns photo, kind: name one of them file_name and one caption.",
    ]
