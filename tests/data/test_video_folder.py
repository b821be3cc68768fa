import os
import random
import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from torch import Tensor

from genai.core.data import ItemRandom, Split
from genai.core.errors import UserError
from genai.data.file_index import NUM_THREADS
from genai.data.video_folder import VideoFolder
from genai.media.clip import Clip
from genai.modalities.video import Video
from tests.media.test_clip import film, gray_frames, moving


def frames(seed: int, count: int = 6) -> Any:
    """Something of its own, which moves."""
    return np.roll(moving(count), 3 * seed, 1) ^ np.uint8(seed)


def put(path: Path, seed: int, count: int = 6) -> Path:
    """A clip of ``count`` frames, by its suffix; without one a folder of pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.suffix:
        path.mkdir()
        for number, frame in enumerate(frames(seed, count)):
            Pillow.fromarray(frame).save(path / f"{number}.png")
    elif path.suffix in (".gif", ".webp", ".apng"):
        path.write_bytes(Clip(frames(seed, count), 8).to_bytes(".webp" if path.suffix == ".webp" else ".png"))
    else:
        film(path, frames(seed, count), "mpeg4" if path.suffix != ".webm" else "libvpx")
    return path


def prompts(source: VideoFolder) -> list[str]:
    return sorted(example.prompt for split in (source.train, source.val) for example in split)


def pixels(split: Split) -> set[bytes]:
    return {example.media.frames.tobytes() for example in split}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two clips that can be used: what a test adds comes on top."""
    put(tmp_path / "good" / "one.mp4", 1)
    put(tmp_path / "good" / "two.webm", 2)
    return tmp_path / "good"


@pytest.fixture
def read_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are decoded."""
    names: list[str] = []
    read = Clip.read

    def recording_read(path: Path, *rest: Any, **more: Any) -> Clip:
        names.append(path.name)
        return read(path, *rest, **more)

    monkeypatch.setattr(Clip, "read", recording_read)
    return names


# ------------------------------------------------------------------------------------------------- files, captions


def test_kinds_of_files_and_captions(folder: Path) -> None:
    (folder / "one.txt").write_text("A red\nsquare, ")
    for seed, name in enumerate(("a.MOV", "b.mkv", "c.avi", "d.webp", "e.apng", "ümläut 映画/f.gif"), 3):
        put((folder / name).with_suffix(Path(name).suffix.lower()), seed).rename(folder / name)
    (folder / "metadata.csv").write_text("file_name,text\nb.mkv,in a table\ngone.mp4,x\n")
    source = VideoFolder(str(folder))
    assert prompts(source) == ["", "", "", "", "", "A red square,", "in a table", "ümläut 映画"]
    assert [line.partition("metadata.csv")[2] for line in source.skipped] == [
        ":3 names 'gone.mp4', which does not exist."
    ]


def test_a_folder_of_numbered_frames_is_a_clip(folder: Path) -> None:
    put(folder / "first", 3)
    put(folder / "cat_jumps" / "second", 4)
    put(folder / "cat_jumps" / "third", 5)
    shutil.move(put(folder / "plain", 6), folder / "take 1.5")
    (folder / "cat_jumps" / "second.txt").write_text("its own")
    (folder / "take 1.5.txt").write_text("of a name with a dot")
    (folder / "metadata.csv").write_text("file_name,text\nfirst,in a table\n")
    (folder / "first" / ".hidden").touch()
    source = VideoFolder(str(folder))
    assert prompts(source) == ["", "", "cat jumps", "in a table", "its own", "of a name with a dot"]
    assert source.skipped == ()
    everything = {**{e.prompt: e.media for e in source.train}, **{e.prompt: e.media for e in source.val}}
    assert np.array_equal(everything["cat jumps"].frames, frames(5))


def test_other_folders_of_pictures_are_no_clips(folder: Path) -> None:
    put(folder / "mixed", 3)
    (folder / "mixed" / "0.txt").write_text("not frames alone")
    put(folder / "single", 4, count=1)
    put(folder / "named", 5)
    (folder / "named" / "0.png").rename(folder / "named" / "beginning.png")
    put(folder / "animations" / "1.webp", 6)
    put(folder / "animations" / "2.webp", 7)
    source = VideoFolder(str(folder))
    assert prompts(source) == ["", "", "animations", "animations"]
    assert [line.partition("good/")[2] for line in source.skipped] == ["mixed/0.txt is a caption without a clip."]


def test_what_cannot_be_used_is_said_and_passed_over(folder: Path) -> None:
    (folder / "alone.txt").write_text("hello")
    (folder / "empty.mp4").touch()
    (folder / "fake.mov").write_text("hello")
    content = film(folder / "cut.mp4", moving(48), "libx264").read_bytes()
    (folder / "cut.mp4").write_bytes(content[:-500])
    (folder / "gone.mkv").symlink_to("nowhere")
    Pillow.new("RGB", (8, 8)).save(folder / "still.webp")
    put(folder / "wrong", 5)
    (folder / "wrong" / "3.png").write_bytes(b"x")
    source = VideoFolder(str(folder))
    assert prompts(source) == ["", ""]
    messages = [
        "cut.mp4",
        "empty file",
        "fake.mov is not a video",
        "gone.mkv",
        "still.webp has only one frame",
        "wrong/3",
    ]
    assert len(source.skipped) == 7 and source.skipped[-1].endswith("alone.txt is a caption without a clip.")
    assert all(words in line for words, line in zip(messages, source.skipped, strict=False))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent", "there is no such folder"),
        ("empty", "no clips. Looked for .3gp"),
        ("good/one.mp4", "two different clips are needed"),
        ("frames", "no clips. Looked for .3gp"),
        ("bad", "two different clips are needed.*x.mp4 is an empty file"),
    ],
)
def test_where_there_are_no_clips_the_path_is_named(folder: Path, path: str, message: str) -> None:
    root = folder.parent
    (root / "empty").mkdir()
    put(root / "frames", 1)
    shutil.copytree(folder, root / "bad")
    (root / "bad" / "two.webm").unlink()
    (root / "bad" / "x.mp4").touch()
    with pytest.raises(UserError, match=message) as caught:
        _ = VideoFolder(str(root / path)).train
    assert f"data.path={root / path}" in str(caught.value)
    with pytest.raises(UserError, match=r"data\.path= is empty: give a folder of clips"):
        _ = VideoFolder("").train


@pytest.mark.parametrize(("path", "count"), [("", 5), ("*.mp4", 2), ("**/*.webm", 3), ("sub/*", 2)])
def test_a_folder_or_a_glob(folder: Path, path: str, count: int) -> None:
    for seed, name in enumerate(("three.mp4", "sub/a.webm", "sub/b.webm"), 3):
        put(folder / name, seed)
    assert len(prompts(VideoFolder(str(folder / path)))) == count


# --------------------------------------------------------------------------------- division, sizes, the second start


def test_equal_files_are_on_one_side_and_sides_may_be_given(tmp_path: Path) -> None:
    for number in range(8):
        put(tmp_path / "a" / f"{number}.webp", number)
        shutil.copy(tmp_path / "a" / f"{number}.webp", tmp_path / "a" / f"copy of {number}.webp")
    source = VideoFolder(str(tmp_path / "a"), 0.3)
    assert (len(source.train), len(source.val)) == (12, 4)
    assert not pixels(source.train) & pixels(source.val)
    for number, name in enumerate(("train/b.webp", "train/frames", "train/jump/c.webp", "test/d.webp", "test/run/e")):
        put(tmp_path / "b" / name, number)
    source = VideoFolder(str(tmp_path / "b"))
    assert sorted(e.prompt for e in source.train) == ["", "", "jump"]
    assert sorted(e.prompt for e in source.val) == ["", "run"]


def test_clips_come_out_in_the_rate_and_size_that_are_wanted(folder: Path) -> None:
    put(folder / "three", 3)
    film(folder / "four.mkv", moving(24, 64, 96), "mpeg4")
    source = VideoFolder(str(folder), fps=4, size=16)
    clips = [example.media for split in (source.train, source.val) for example in split]
    assert {clip.fps for clip in clips} == {4} and {min(clip.frames.shape[1:3]) for clip in clips} == {16}
    assert sorted(len(clip.frames) for clip in clips) == [3, 3, 6, 12]
    assert source.seconds == pytest.approx(3 * 0.75 + 3)
    assert ", 5.2 seconds in all" in source.description and ": 3 clips to train on, 1 held out" in source.description


def test_the_second_start_reads_no_clip(folder: Path, read_files: list[str]) -> None:
    put(folder / "three", 3)
    (folder / "bad.mp4").write_text("bad")
    before = VideoFolder(str(folder))
    state = before.description, before.skipped, before.train.content_hash
    read_files.clear()
    reloaded = VideoFolder(str(folder))
    assert (reloaded.description, reloaded.skipped, reloaded.train.content_hash) == state and read_files == []
    os.utime(folder / "bad.mp4", (1, 1))
    Pillow.fromarray(frames(9)[0]).save(folder / "three" / "3.png")
    changed = VideoFolder(str(folder))
    assert {changed.train.content_hash, changed.val.content_hash} != {
        before.train.content_hash,
        before.val.content_hash,
    }
    assert sorted(read_files) == ["bad.mp4", "three"]


def test_fingerprints_follow_content_captions_rate_and_size(folder: Path) -> None:
    def hashes(**options: Any) -> set[str]:
        source = VideoFolder(str(folder), **options)
        return {source.train.content_hash, source.val.content_hash}

    first = hashes()
    (folder / "one.mp4").rename(folder / "another name.mp4")
    assert hashes() == first
    assert not hashes(fps=8) & first and not hashes(size=32) & first
    (folder / "two.txt").write_text("a caption")
    assert len(hashes() - first) == 1


# ----------------------------------------------------------------------------------------------------- scene changes


SCENE_LEVELS = (10, 200, 90, 160, 40, 240)


def scenes_film(path: Path, lengths: Sequence[int], first: int = 0) -> Path:
    """A film of scenes of 24 frames per second; each is of one brightness, and grows brighter by one each frame."""
    levels = [
        SCENE_LEVELS[(first + scene) % 6] + frame % 12 for scene, count in enumerate(lengths) for frame in range(count)
    ]
    return film(path, gray_frames(levels), "ffv1", Fraction(24), layout="gray")


def levels(split: Split) -> list[list[int]]:
    """The brightness of the first and the last frame of each clip."""
    return [[int(example.media.frames[index].mean()) for index in (0, -1)] for example in split]


def jumps(split: Split) -> int:
    """The largest change between frames of a clip."""
    return max(int(np.abs(np.diff(e.media.frames[:, 0, 0, 0].astype(int))).max(initial=0)) for e in split)


@pytest.mark.parametrize("fps", [None, 8, 30])
def test_films_are_cut_at_scene_changes_and_stay_on_one_side(tmp_path: Path, fps: float | None) -> None:
    for number, name in enumerate("abcd"):
        scenes_film(tmp_path / f"{name}.mkv", (24 + number, 31, 17), number)
    film(tmp_path / "plain.mkv", moving(24), "ffv1", Fraction(24), layout="bgr0")
    source = VideoFolder(str(tmp_path), 0.25, fps, caption="name")
    assert len(source.train) + len(source.val) == 4 * 3 + 1
    assert "; cut at 8 scene changes" in source.description
    assert not {e.prompt for e in source.train} & {e.prompt for e in source.val}
    assert jumps(source.train) < 60 and jumps(source.val) < 60
    whole = VideoFolder(str(tmp_path), 0.25, fps, caption="name", scenes=False)
    assert len(whole.train) + len(whole.val) == 5 and "cut at" not in whole.description
    assert max(jumps(whole.train), jumps(whole.val)) > 60
    num_frames = [sum(len(e.media.frames) for s in (src.train, src.val) for e in s) for src in (source, whole)]
    assert num_frames[0] == pytest.approx(num_frames[1], abs=4)  # but for rounding at the ends, none is lost
    assert source.train.content_hash != whole.train.content_hash


def test_a_scene_of_a_single_frame_is_left_out_and_counted(tmp_path: Path) -> None:
    scenes_film(tmp_path / "a.mkv", (25, 4, 24))
    scenes_film(tmp_path / "b.mkv", (24, 24), 2)
    source = VideoFolder(str(tmp_path), fps=8)
    assert len(source.train) + len(source.val) == 4
    assert source.description.endswith("; cut at 3 scene changes, 1 of a single frame left out")


def test_clips_without_cuts_keep_their_hash(folder: Path) -> None:
    source, whole = VideoFolder(str(folder)), VideoFolder(str(folder), scenes=False)
    assert source.train.content_hash == whole.train.content_hash and source.description == whole.description
    assert source.train.threads > 1 or NUM_THREADS == 1


def test_sides_that_are_given_are_cut_too(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "val").mkdir()
    scenes_film(tmp_path / "train" / "a.mkv", (24, 24, 24))
    scenes_film(tmp_path / "val" / "b.mkv", (24, 30), 3)
    source = VideoFolder(str(tmp_path), fps=8)
    assert (len(source.train), len(source.val)) == (3, 2)


def test_packing_reads_each_film_once_and_keeps_none(tmp_path: Path, read_files: list[str]) -> None:
    for number in range(3):
        scenes_film(tmp_path / f"{number}.mkv", (24 + number, 31, 17), number)
    source = VideoFolder(str(tmp_path), fps=8)
    assert "cut at 6 scene changes" in source.description and sorted(read_files) == ["0.mkv", "1.mkv", "2.mkv"]
    read_files.clear()
    assert len([*source.train, *source.val]) == 9
    assert sorted(read_files) == ["0.mkv", "1.mkv", "2.mkv"]
    _ = source.train[0]
    assert len(read_files) == 4  # it was not kept after its last scene
    assert source.train[1].media.frames.base is None  # a copy, which does not keep the film


@pytest.mark.parametrize(
    ("lengths", "train", "val", "note"),
    [
        # the last 2 s would be held out; a change close to that moves it, one that is far does not
        ((120, 105, 63), [[10, 21], [200, 208]], [[90, 92]], "7.4 s to train on, 2.6 s held out, 2.0 s between"),
        ((120, 168), [[10, 21], [200, 211]], [[200, 211]], "8.0 s to train on, 2.0 s held out, 2.0 s between"),
    ],
)
def test_a_single_film_is_cut_in_time_at_a_scene_change(
    tmp_path: Path, lengths: Sequence[int], train: Any, val: Any, note: str
) -> None:
    source = VideoFolder(str(scenes_film(tmp_path / "a.mkv", lengths)), fps=24)
    assert f"; one clip, split in time: {note}; cut at" in source.description
    assert (levels(source.train), levels(source.val)) == (train, val)


def test_no_window_of_training_or_validation_goes_over_a_scene_change(tmp_path: Path) -> None:
    source = VideoFolder(str(scenes_film(tmp_path / "a.mkv", (60, 34, 90, 130))), fps=8)
    video = Video(size=4, frames=4, channels=1, stills=0.2)
    assert video.description == "4 frames of 4 x 4 pixels, gray, 8 a second"
    windows = list[Tensor]()
    for split in (source.train, source.val):
        packed = video.pack(split, tmp_path / "cache")
        items = list(range(len(packed)))
        batches = [packed.batch(items, ItemRandom(0, [epoch] * len(items), items)) for epoch in range(30)]
        windows += [clip for batch in [packed.batch(items, None), *batches] for clip in batch.x[:, :, 0, 0, 0].int()]
    assert {len(window) for window in windows} == {1, 4}
    assert max(int(window.max() - window.min()) for window in windows) < 12
    assert {int(window[0]) // 30 for window in windows} == {0, 6, 3, 5}  # all scenes are seen


def test_mutated_files_crash_nothing(folder: Path) -> None:
    draw = random.Random(0)
    contents = [put(folder.parent / f"a{suffix}", 1).read_bytes() for suffix in (".mp4", ".webp", ".apng", ".mkv")]
    for number in range(40):
        content = bytearray(contents[number % 4])
        for _ in range(draw.randint(1, 8)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        (folder / f"{number}.mp4").write_bytes(content)
    source = VideoFolder(str(folder), size=16)
    assert len(source.train) + len(source.val) + len(source.skipped) == 42
    assert len(list(source.train)) == len(source.train)  # files that pass the inspection can be packed
