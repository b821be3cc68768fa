"""Pictures, sounds, clips and arrays that are no files, or that are small and unpack to gigabytes."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genai.data.numpy_files import NumpyFiles
from genai.data.text import TextFolder
from genai.media import picture
from genai.media.clip import Clip
from genai.media.picture import Picture
from genai.media.sound import Sound
from genai.media.text import Document
from tests.hostile.attempts import NO_FILES, attempt, dangling, loop, replace, sparse

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("make", NO_FILES, ids=lambda make: make.__name__)
@pytest.mark.parametrize(
    ("media", "suffix"), [(Picture, ".png"), (Sound, ".wav"), (Clip, ".mp4"), (Clip, ".gif"), (Document, ".txt")]
)
def test_what_is_no_file_is_named(
    media: Any, suffix: str, make: Callable[[Path], None], tmp_path: Path, capfd: Capture
) -> None:
    place = replace(tmp_path / f"given{suffix}", make)
    answer = attempt(lambda: media.read(place), capfd)
    assert answer.code == 2 and "given" in answer.lines[-1]


@pytest.mark.parametrize("make", [make for make in NO_FILES if make is not sparse], ids=lambda make: make.__name__)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_an_array_that_is_no_file_is_named(
    suffix: str, make: Callable[[Path], None], tmp_path: Path, capfd: Capture
) -> None:
    place = replace(tmp_path / f"given{suffix}", make)
    answer = attempt(lambda: NumpyFiles(str(place)).read("given", "array"), capfd)
    assert answer.code == 2 and ("given" in answer.lines[-1] or make in (loop, dangling))


def png(width: int, height: int, depth: int, color: int) -> bytes:
    """A PNG of one value."""
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    packer = zlib.compressobj(1)
    row = bytes(1 + (width * bits + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    palette = chunk(b"PLTE", bytes(6)) if color == 3 else b""
    header = struct.pack(">2I5B", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(kind: bytes, content: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


SIZES = {
    "tall": (900, 100_000, 8, 2), "wide": (100_000, 900, 8, 2), "square": (9999, 9999, 8, 2),
    "alpha": (9999, 9999, 8, 6),
    "gray and alpha": (9000, 9000, 8, 4), "too many": (60_000, 60_000, 1, 0), "a row": (2**31 - 1, 1, 1, 0),
    "endless": (2**31 - 1, 2**31 - 1, 1, 0), "16 bits": (9999, 9999, 16, 2),
}  # fmt: skip


@pytest.mark.parametrize("kind", SIZES)
def test_a_picture_that_unpacks_to_gigabytes_is_refused(kind: str, tmp_path: Path, capfd: Capture) -> None:
    width, height, depth, color = SIZES[kind]
    content = png(10, 10, depth, color)
    header = struct.pack(">2I5B", width, height, depth, color, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(content[:8] + chunk(b"IHDR", header) + content[33:])
    answer = attempt(lambda: Picture.read(tmp_path / "a.png"), capfd)
    assert answer.code == 2 and ("like a bomb" in answer.lines[-1] or "pixels" in answer.lines[-1])


@pytest.mark.parametrize(("depth", "color"), [(1, 0), (1, 3), (8, 0), (16, 0)])
def test_a_large_scan_without_color_is_read_however_well_it_is_packed(
    depth: int, color: int, tmp_path: Path, capfd: Capture
) -> None:
    (tmp_path / "a.png").write_bytes(png(9000, 8000, depth, color))
    pictures: list[Picture] = []
    answer = attempt(lambda: pictures.append(Picture.read(tmp_path / "a.png")), capfd)
    assert answer.code == 0 and pictures[0].pixels.shape[:2] == (8000, 9000)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16", "P", "F", "LA", "CMYK", "1", "I"])
def test_a_large_picture_is_read_without_a_second_copy(mode: str, tmp_path: Path, capfd: Capture) -> None:
    image = Image.new(mode, (6000, 6000))
    image.save(tmp_path / "a.tif")
    del image
    pictures: list[Picture] = []
    answer = attempt(lambda: pictures.append(Picture.read(tmp_path / "a.tif")), capfd)
    assert answer.code == 0 and pictures[0].pixels.shape[:2] == (6000, 6000)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16", "F", "LA", "P", "I", "1", "CMYK", "transparent P"])
def test_strips_change_no_pixel(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    colors = Image.fromarray(rng.integers(0, 256, (700, 5, 4), np.uint8), "RGBA")
    values = {"I;16": rng.integers(0, 65_536, (700, 5)).astype(np.uint16), "F": rng.random((700, 5), np.float32)}
    image = Image.fromarray(values[mode]) if mode in values else colors.convert(mode.split()[-1])
    if mode.startswith("transparent"):
        image.info["transparency"] = 3
    strips = Picture.from_pil(image).pixels
    monkeypatch.setattr(picture, "STRIP_ROWS", 10**6)
    assert (strips == Picture.from_pil(image).pixels).all() and strips.shape[:2] == (700, 5)


@pytest.mark.parametrize(("suffix", "count"), [(".flac", 120_000_000), (".flac", 400_000_000)])
def test_a_sound_that_unpacks_to_gigabytes_is_refused(suffix: str, count: int, tmp_path: Path, capfd: Capture) -> None:
    import soundfile

    with soundfile.SoundFile(tmp_path / f"a{suffix}", "w", 48_000, 1) as file:
        file.write(np.zeros(48_000, np.int16))
    content = bytearray((tmp_path / f"a{suffix}").read_bytes())
    total = struct.unpack(">Q", content[18:26])[0]  # rate, channels, depth, and the number of samples in 36 bits
    content[18:26] = struct.pack(">Q", total >> 36 << 36 | count)
    (tmp_path / f"a{suffix}").write_bytes(content)
    answer = attempt(lambda: Sound.read(tmp_path / f"a{suffix}"), capfd)
    assert answer.code == 2 and "like a bomb" in answer.lines[-1]


HEADERS = {
    "digits": "{'descr': '|u1', 'fortran_order': False, 'shape': (" + "9" * 4000 + ",)}",
    "brackets": "(" * 3000,
    "open": "{'descr': '|u1'",
    "empty": "",
    "words": "not a header",
    "code": "__import__('os')",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (3,)}",
    "negative": "{'descr': '|u1', 'fortran_order': False, 'shape': (-3,)}",
    "huge": "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000, 1000000)}",
    "text": "{'descr': '|u1', 'fortran_order': False, 'shape': 'abc'}",
    "nested": "[" * 200 + "]" * 200,
    "type": "{'descr': 'V" + "9" * 400 + "', 'fortran_order': False, 'shape': (1,)}",
    "keys": "{'a': 1}",
    "nul": "{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}\0\0",
    "unicode": "{'descr': 'é\u2028'}",
    "fields": "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,)}",
    "float": "{'descr': '|u1', 'shape': (1e99,)}",
    "minus": "-" * 5000 + "1",
    "lambda": "lambda: 0",
    "star": "{'descr': '|u1', 'fortran_order': False, 'shape': (10**99,)}",
}


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_an_array_with_an_odd_header_is_refused(suffix: str, kind: str, tmp_path: Path, capfd: Capture) -> None:
    header = HEADERS[kind].encode("utf-8")
    content = b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header + bytes(8)
    if suffix == ".npz":
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("a.npy", content)
    else:
        (tmp_path / "a.npy").write_bytes(content)
    answer = attempt(lambda: NumpyFiles(str(tmp_path / f"a{suffix}")).read("a", "array"), capfd)
    assert answer.code == 2 and len(answer.lines[-1]) < 400


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path: Path, capfd: Capture) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (6 * 10**8,)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as file:
        file.write(header.getvalue())
        for _ in range(60):
            file.write(bytes(10**7))
    answer = attempt(lambda: NumpyFiles(str(tmp_path / "a.npz")).read("a", "array"), capfd)
    assert answer.code == 2 and "like a bomb" in answer.lines[-1]


LINES = {
    "brackets": '{"text": "x", "y": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "objects": '{"text":' * 50_000,
    "list": "[1, 2]",
    "number": '{"text": 3}',
    "digits": '{"text": "a", "n": ' + "9" * 5000 + "}",
    "cut": '{"text": "a',
    "null": "null",
    "other": '{"words": "a"}',
    "nothing": "{}",
    "text": '"text"',
}


@pytest.mark.parametrize("kind", LINES)
def test_a_text_with_an_odd_line_is_skipped_by_name(kind: str, tmp_path: Path, capfd: Capture) -> None:
    (tmp_path / "good.txt").write_text("one two three four " * 20)
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n' + LINES[kind] + "\n")
    source = TextFolder(str(tmp_path))
    answer = attempt(lambda: source.train, capfd)
    assert answer.code == 0 and len(source.skipped) == 1 and "a.jsonl:2" in source.skipped[0]
    assert len(source.skipped[0]) < 300


def test_a_text_folder_says_what_it_leaves_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "texts" / "closed").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for name, text in {"a": "one", "b": "one", "c": "", "d\x1b[1m\n": "three", "e": "four"}.items():
        (tmp_path / "texts" / f"{name}.txt").write_text(text)
    (tmp_path / "elsewhere" / "f.txt").write_text("five")
    (tmp_path / "texts" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "texts" / "bad\x1b]0;title\x07.txt").write_bytes(b"\xff\xff")
    walk = __import__("os").walk

    def closed(top: Any, onerror: Any = None) -> Any:
        for entry in walk(top, onerror=onerror):
            if Path(entry[0]).name == "closed":
                onerror(PermissionError(13, "Permission denied", entry[0]))
            else:
                yield entry

    monkeypatch.setattr("os.walk", closed)
    source = TextFolder(str(tmp_path / "texts"))
    assert {str(e.media) for split in (source.train, source.val) for e in split} == {"one", "three", "four", "five"}
    assert "left out: 1 empty, 1 copies" in source.description and not noise_in(source.description)
    assert any("closed: Permission denied" in line for line in source.skipped)
    assert any("title" in line for line in source.skipped) and not any(map(noise_in, source.skipped))


def noise_in(text: str) -> bool:
    """Whether a text has characters that a terminal would obey."""
    return any(ord(character) < 32 for character in text)


def test_samples_of_a_text_model_cannot_steer_a_terminal() -> None:
    text = Document("a\x1b]0;title\x07b\x9b31m\u202ec\td\ne\r\x00\u2028")
    assert text.on_terminal == "a?]0;title?b?31m?c\td\ne??"
    assert text.to_bytes().decode() == str(text)
