"""Files of strangers that are searched for a watermark: an answer always, and little of a large file is read."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from genai.inference.known_tokenizers import known_tokenizers
from genai.media.clip import Clip
from genai.trust.verify import verify_file
from genai.trust.watermarks.files import MAX_SAMPLES, detect_in_file
from genai.trust.watermarks.key import VARIABLE, WatermarkKey

KEY = WatermarkKey(b"k" * 32)


def gif(count: int) -> bytes:
    """An animation of tiny frames that differ."""
    frames = [Image.fromarray(np.full((2, 2), number % 256, np.uint8)) for number in range(count)]
    file = io.BytesIO()
    frames[0].save(file, "gif", save_all=True, append_images=frames[1:])
    return file.getvalue()


def sound(suffix: str, seconds: float, sample_rate: int, channels: int) -> bytes:
    """A sound of zeros."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros((round(seconds * sample_rate), channels), np.int16), sample_rate, format=suffix[1:])
    return file.getvalue()


def clip(suffix: str, cut: int) -> bytes:
    """A short clip without its last bytes."""
    return Clip(np.zeros((3, 16, 16, 3), np.uint8), 8).to_bytes(suffix)[:-cut]


FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "many frames": (".gif", lambda: gif(2000)),
    "high sample rate": (".flac", lambda: sound(".flac", 5, 655_350, 1)),
    "many channels": (".wav", lambda: sound(".wav", 0.1, 8000, 255)),
    "no samples": (".wav", lambda: sound(".wav", 0, 8000, 1)),
    "half a video": (".mp4", lambda: clip(".mp4", 200)),
    "a video of noise": (".webm", lambda: b"\x1aE\xdf\xa3" + bytes(range(256)) * 9),
    "half an animation": (".png", lambda: clip(".png", 60)),
    "a text of marks": (".txt", lambda: ("\x1b[2J\u202e" * 5000).encode()),
}


@pytest.mark.parametrize("name", FILES)
def test_there_is_always_an_answer(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suffix, make = FILES[name]
    path = tmp_path / f"file{suffix}"
    path.write_bytes(make())
    (tmp_path / "key").write_text("1" * 64, encoding="utf-8")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "key"))
    found = verify_file(path, {}, lambda: [lambda text: [ord(each) for each in text]])
    assert found.status == "no evidence" and (found.watermark is None or found.watermark["p"] > 1e-3)


def test_only_the_start_of_a_long_sound_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, sizes = tmp_path / "file.wav", list[int]()
    path.write_bytes(sound(".wav", 1, 48_000, 8))
    monkeypatch.setattr("genai.trust.watermarks.files.MAX_SAMPLES", 80_000)
    monkeypatch.setattr(
        "genai.trust.watermarks.files.detect_in_sound", lambda each, key: sizes.append(len(each.samples))
    )
    detect_in_file(path, ".wav", KEY)
    assert sizes == [10_000] and MAX_SAMPLES < 2**25


@pytest.mark.parametrize(
    "config",
    ["", "[]", "modality: 3", "modality: {_target_: os.system}", "modality: {_target_: 7}", "\x00", "a: &a [*a]"],
)
def test_runs_that_cannot_be_read_have_no_tokenizer(config: str, tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").write_text(config, encoding="utf-8")
    (tmp_path / "run" / "record.json").write_text("{}", encoding="utf-8")
    (tmp_path / "run" / "checkpoints" / "best.ckpt").write_bytes(b"PK\x03\x04")
    assert known_tokenizers(tmp_path) == []
