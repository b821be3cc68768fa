import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image as Pillow

from genai.core.errors import UserError
from genai.data.audio_folder import AudioFolder
from genai.data.image_folder import ImageFolder
from genai.data.video_folder import VideoFolder
from genai.media.clip import Clip


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


# ------------------------------------------------------------------------------------------------------ a single file


def test_a_single_recording_is_cut_in_time(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 60 * 8000)
    soundfile.write(tmp_path / "long.wav", samples, 8000, "FLOAT")
    source = AudioFolder(str(tmp_path / "long.wav"))
    train, val = source.train[0].media.samples, source.val[0].media.samples
    assert np.allclose(train, samples[: 54 * 8000]) and np.allclose(val, samples[55 * 8000 :])
    assert source.train.content_hash != source.val.content_hash
    assert source.description.endswith(
        "59.0 seconds in all; one sound, split in time: 54.0 s to train on, 5.0 s held out, 1.0 s between"
    )


def test_copies_of_one_recording_are_cut_once_for_each_prompt(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 10 * 8000)
    (tmp_path / "rain").mkdir()
    (tmp_path / "wind").mkdir()
    soundfile.write(tmp_path / "rain" / "a.wav", samples, 8000, "FLOAT")  # a second one would have another time in it
    for name in ("rain/b", "wind/c"):
        shutil.copy(tmp_path / "rain" / "a.wav", tmp_path / f"{name}.wav")
    source = AudioFolder(str(tmp_path))
    assert (
        [example.prompt for example in source.train] == [example.prompt for example in source.val] == ["rain", "wind"]
    )
    assert np.allclose(source.train[1].media.samples, samples[: 8 * 8000])
    assert "; one sound in 3 copies, split in time: 8.0 s to train on" in source.description


def test_a_single_film_is_cut_in_time(tmp_path: Path) -> None:
    frames = np.arange(104, dtype=np.uint8)[:, None, None, None].repeat(32, 1).repeat(32, 2).repeat(3, 3)
    (tmp_path / "film.png").write_bytes(Clip(frames, 8.0).to_bytes(".png"))
    (tmp_path / "film.png").rename(tmp_path / "film.apng")
    source = VideoFolder(str(tmp_path), fps=8)
    assert source.train[0].media.frames[:, 0, 0, 0].tolist() == list(range(72))
    assert source.val[0].media.frames[:, 0, 0, 0].tolist() == list(range(88, 104))
    assert "split in time: 9.0 s to train on, 2.0 s held out, 2.0 s between" in source.description


def test_a_single_picture_is_cut_into_squares(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 200, 3), np.uint8)
    Pillow.fromarray(pixels).save(tmp_path / "wide.png")
    source = ImageFolder(str(tmp_path), size=16)
    assert source.train[0].media.pixels.tobytes() == pixels[:20, :20].tobytes()
    assert source.val[2].media.pixels.tobytes() == pixels[40:60, 180:].tobytes()
    assert source.train.content_hash != source.val.content_hash
    assert source.description.endswith(
        "; one picture, cut into squares of 20 pixels: 85 that overlap to train on, 3 at the right end held out"
    )


def test_what_is_too_small_to_be_cut_is_refused_with_the_reason(tmp_path: Path) -> None:
    Pillow.new("RGB", (90, 90)).save(tmp_path / "small.png")
    soundfile.write(tmp_path / "short.wav", np.zeros(8000), 8000)
    for source, needed in (
        (ImageFolder(str(tmp_path), size=32), "pictures .* at least 96 x 32 pixels"),
        (AudioFolder(str(tmp_path)), "sounds .* at least 3 seconds"),
    ):
        with pytest.raises(UserError, match=f"two different {needed}, which is cut in two"):
            _ = source.train


def test_columns_of_tables_and_folders_are_kept(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / (folder := "ab"[number % 2])).mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        Pillow.fromarray(pixels).save(tmp_path / folder / f"{number}.png")
    rows = [f'{"ab"[n % 2]}/{n}.png,"a thing",{["Anna", "Bert", ""][n % 3]},{n}' for n in range(11)]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,text,Speaker ID,take", *rows]), encoding="utf-8")
    source = ImageFolder(str(tmp_path))
    assert source.column_names == ["folder", "speaker_id", "take"]
    takes = [*source.column_values(source.train, "take"), *source.column_values(source.val, "take")]
    speakers = [*source.column_values(source.train, "speaker_id"), *source.column_values(source.val, "speaker_id")]
    folders = [*source.column_values(source.train, "folder"), *source.column_values(source.val, "folder")]
    expected = {str(n): (["Anna", "Bert", ""][n % 3], "ab"[n % 2]) for n in range(11)} | {"": ("", "b")}
    assert dict(zip(takes, zip(speakers, folders, strict=True), strict=True)) == expected


def test_lists_of_texts_are_columns_and_other_lists_are_not(tmp_path: Path) -> None:
    lines = []
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        Pillow.fromarray(pixels).save(tmp_path / f"{number}.png")
        values = {"file_name": f"{number}.png", "text": "a thing", "Tags": ["red", f"no {number}\n"], "sizes": [1, 2]}
        lines.append(json.dumps(values | {"long": ["word"] * 300, "mixed": ["a", 1]}))
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    source = ImageFolder(str(tmp_path))
    assert source.column_names == ["tags"]
    tags = [*source.column_values(source.train, "tags"), *source.column_values(source.val, "tags")]
    assert sorted(tags) == ["red, no 0", "red, no 1", "red, no 2"]
