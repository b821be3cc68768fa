"""Watermark of clips: small frames hold it together, also in the files that are written."""

from pathlib import Path

import numpy as np
import pytest

from genai.media.sound import Sound
from genai.trust.watermarks.clips import add_to_clip, detect_in_clip
from genai.trust.watermarks.files import detect_in_file
from genai.trust.watermarks.key import WatermarkKey
from tests.trust.watermarks.conftest import make_clip


@pytest.mark.parametrize(("side", "count"), [(32, 40), (64, 24)])
def test_it_is_found_with_its_own_key_alone(key: WatermarkKey, other_key: WatermarkKey, side: int, count: int) -> None:
    clip = make_clip(side, count)
    marked = add_to_clip(clip, key)
    assert detect_in_clip(marked.frames, key).is_found
    assert min(detect_in_clip(clip.frames, key).p, detect_in_clip(marked.frames, other_key).p) > 1e-3


def test_it_holds_without_the_first_frames(key: WatermarkKey) -> None:
    assert detect_in_clip(add_to_clip(make_clip(count=40), key).frames[5:], key).is_found


def test_no_more_is_read_than_the_limit(key: WatermarkKey) -> None:
    frames = iter([np.zeros((2000, 3000, 3), np.uint8)] * 100)
    assert detect_in_clip(frames, key).p == 1 and len(list(frames)) == 100 - 16
    assert detect_in_clip(iter([]), key).p == 1


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".png", ".webp"])
def test_it_holds_in_files(key: WatermarkKey, suffix: str, tmp_path: Path) -> None:
    clip = make_clip().with_sound(Sound(np.zeros(24_000, np.float32), 8_000))
    marked = add_to_clip(clip, key)
    assert marked.sound is clip.sound
    path = tmp_path / f"clip{suffix}"
    path.write_bytes(marked.to_bytes(suffix))
    found = detect_in_file(path, suffix, key)
    assert found and found.is_found and found.kind == "clip"
