from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from genai.data.video_folder import VideoFolder
from genai.errors import Mistake
from genai.modalities.clip import Clip
from genai.modalities.sound import Sound


def put(path: Path, seed: int, count: int = 12, fps: float = 12) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    path.write_bytes(Clip(frames, fps).to_bytes(path.suffix))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Clips of every kind, and among them what is none."""
    put(tmp_path / "a_dog" / "one.mp4", 1)
    put(tmp_path / "a_dog" / "two.webm", 2)
    put(tmp_path / "three.png", 3)
    put(tmp_path / "vier 4 ä.webp", 4)
    (tmp_path / "three.txt").write_text("a bird that flies")
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "noise.avi").write_bytes(np.random.default_rng(0).bytes(3000))
    (tmp_path / "half.mp4").write_bytes((tmp_path / "a_dog" / "one.mp4").read_bytes()[:3000])
    (tmp_path / "talk.mp4").write_bytes(Sound(np.zeros(8000, np.float32), 8000).to_bytes(".flac"))
    Pillow.new("RGB", (30, 30)).save(tmp_path / "still.png")
    return tmp_path


def test_clips_of_all_kinds_and_what_is_skipped_by_name(folder: Path) -> None:
    source = VideoFolder(str(folder), fps=6, size=16)
    found = {example.prompt: example.media for split in (source.train, source.val) for example in split}
    assert set(found) == {"a dog", "a bird that flies", ""}
    assert {(len(clip.frames), clip.fps, min(clip.frames.shape[1:3])) for clip in found.values()} == {(6, 6, 32)}
    assert len(source.train) + len(source.val) == 4
    skipped = " ".join(source.skipped)
    for name, why in {
        "empty.mp4": "empty file", "noise.avi": "not a clip", "half.mp4": "", "talk.mp4": "no picture",
        "still.png": "single frame",
    }.items():  # fmt: skip
        assert any(name in line and why in line for line in source.skipped), skipped
    assert len(source.skipped) == 5
    assert "4.0 seconds in all" in source.description


def test_the_hash_is_that_of_content_and_captions(folder: Path) -> None:
    before = VideoFolder(str(folder)).train.fingerprint, VideoFolder(str(folder)).val.fingerprint
    assert (VideoFolder(str(folder)).train.fingerprint, VideoFolder(str(folder)).val.fingerprint) == before
    (folder / "three.txt").write_text("a bat that flies")
    (folder / "a_dog" / "one.txt").write_text("a cat")
    assert (VideoFolder(str(folder)).train.fingerprint, VideoFolder(str(folder)).val.fingerprint) != before


def test_a_folder_without_clips_is_named(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="no clips"):
        VideoFolder(str(tmp_path)).files()
