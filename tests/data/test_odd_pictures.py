"""Every odd file that people have among their pictures is read right, or passed over by name with the reason."""

import errno
import io
import os
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms

from genai.data.image_folder import ImageFolder
from genai.media.picture import Picture
from tests.conftest import ROOT

WIDTH, HEIGHT = 24, 16
ORIENTATION = 0x0112


def photo(seed: int = 3) -> Pillow.Image:
    """Something of its own in each corner, and no color that is hard to keep."""
    corners = np.random.default_rng(seed).integers(40, 216, (4, 4, 3), dtype=np.uint8)
    return Pillow.fromarray(corners).resize((WIDTH, HEIGHT), Pillow.Resampling.BICUBIC)


RGB = np.asarray(photo())
GRAY = np.asarray(photo().convert("L"))
RAMP = (np.arange(HEIGHT * WIDTH, dtype=np.uint16) * 170).reshape(HEIGHT, WIDTH)
ALPHA = (np.arange(HEIGHT * WIDTH) % 256).astype(np.uint8).reshape(HEIGHT, WIDTH)


def file(image: Pillow.Image, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def of(pixels: Any, kind: str = "png", **options: Any) -> bytes:
    return file(Pillow.fromarray(np.asarray(pixels)), kind, **options)


def on_white(pixels: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    share = alpha[..., None] / 255
    return np.asarray(pixels * share + 255 * (1 - share))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(rows: NDArray[Any], depth: int, color: int, *more: bytes, size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    """A PNG by hand, of the (rows, bytes) uint8: what Pillow does not write."""
    header = struct.pack(">IIBBBBB", *size, depth, color, 0, 0, 0)
    body = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).astype(np.uint8).tobytes())
    return b"".join([b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *more, chunk(b"IDAT", body), chunk(b"IEND", b"")])


def wide(*channels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows of a PNG of 16 bits: the values, and below them a byte that is only there to be lost."""
    values = np.stack(channels, -1).astype(np.uint16) * 257
    return values.astype(">u2").view(np.uint8).reshape(HEIGHT, -1)


def rotated(orientation: int, kind: str = "jpeg") -> bytes:
    """``photo`` as a camera keeps it that was held otherwise: it is upright for those who read EXIF."""
    back: dict[int, Pillow.Transpose] = {
        2: Pillow.Transpose.FLIP_LEFT_RIGHT,
        3: Pillow.Transpose.ROTATE_180,
        4: Pillow.Transpose.FLIP_TOP_BOTTOM,
        5: Pillow.Transpose.TRANSPOSE,
        6: Pillow.Transpose.ROTATE_90,
        7: Pillow.Transpose.TRANSVERSE,
        8: Pillow.Transpose.ROTATE_270,
    }
    image = photo().transpose(back[orientation]) if orientation > 1 else photo()
    exif = Pillow.Exif()
    exif[ORIENTATION] = orientation
    lossy = {"quality": 95, "subsampling": 0} if kind == "jpeg" else {"lossless": True} if kind == "webp" else {}
    return file(image, kind, exif=exif, **lossy)


def palette(**options: Any) -> bytes:
    return file(photo().convert("P", palette=Pillow.Palette.ADAPTIVE), "png", **options)


ADAPTED = np.asarray(photo().convert("P", palette=Pillow.Palette.ADAPTIVE).convert("RGB"))
INDICES = np.asarray(photo().convert("P", palette=Pillow.Palette.ADAPTIVE))
CMYK = np.asarray(photo().convert("CMYK"))


def ycck() -> bytes:
    """As Photoshop writes CMYK: as brightness and color differences. Pillow writes CMYK; so those in its channels."""
    y, cb, cr = np.asarray(Pillow.fromarray(CMYK[..., :3]).convert("YCbCr")).transpose(2, 0, 1)
    image = Pillow.fromarray(np.stack([255 - y, 255 - cb, 255 - cr, CMYK[..., 3]], -1), "CMYK")
    content = bytearray(file(image, "jpeg", quality=98, subsampling=0))
    content[content.index(b"Adobe") + 11] = 2  # the transform that was made
    return bytes(content)


def lab() -> bytes:
    srgb, space = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(photo(), srgb, space, outputMode="LAB")
    assert image
    return file(image, "tiff")


def moving(kind: str, **options: Any) -> bytes:
    frames = [photo(seed).convert("P" if kind == "gif" else "RGB") for seed in (3, 4, 5)]
    return file(frames[0], kind, save_all=True, append_images=frames[1:], **options)


def enormous(width: int = 17_000, height: int = 10_000) -> bytes:
    """All black, 170 million pixels, in a few kilobytes."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    zeros = zlib.compressobj()
    body = b"".join(zeros.compress(bytes(width // 8 + 1)) for _ in range(height)) + zeros.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def bad_crc(kind: bytes) -> bytes:
    content = bytearray(of(RGB))
    at = content.index(kind)
    length = struct.unpack(">I", content[at - 4 : at])[0]
    content[at + 4 + length] ^= 0xFF
    return bytes(content)


def changed_pixels() -> bytes:
    """A PNG without compression, whose pixels somebody has changed: only the checksums know."""
    content = bytearray(of(RGB, compress_level=0))
    at = content.index(b"IDAT") + 200
    content[at : at + 60] = bytes(60)
    return bytes(content)


GOOD: dict[str, tuple[str, Callable[[], bytes], Any, float]] = {
    # what it is: (its name, its content, the pixels that it shows, how far they may be off)
    "16-bit gray": ("x.png", lambda: of(RAMP), RAMP / 257, 1),
    "16-bit gray, dark": ("x.png", lambda: of(RAMP // 512), RAMP // 512 / 257, 1),
    "16-bit gray TIFF": ("x.tif", lambda: of(RAMP, "tiff"), RAMP / 257, 1),
    "16-bit PGM, dark": (
        "x.pgm",
        lambda: b"P5 24 16 65535 " + (RAMP // 512).astype(">u2").tobytes(),
        RAMP / 131_584,
        1,
    ),
    "16-bit RGB": ("x.png", lambda: png(wide(*RGB.transpose(2, 0, 1)), 16, 2), RGB, 1),
    "16-bit RGBA": ("x.png", lambda: png(wide(*RGB.transpose(2, 0, 1), ALPHA), 16, 6), on_white(RGB, ALPHA), 1),
    "16-bit gray and alpha": ("x.png", lambda: png(wide(GRAY, ALPHA), 16, 4), on_white(GRAY[..., None], ALPHA), 1),
    "1 bit": ("x.png", lambda: of(GRAY > 128), (GRAY > 128) * 255, 0),
    "gray": ("x.png", lambda: of(GRAY), GRAY, 0),
    "palette": ("x.png", palette, ADAPTED, 0),
    "palette, one color transparent": (
        "x.png",
        lambda: palette(transparency=int(INDICES[0, 0])),
        on_white(ADAPTED, np.where(INDICES[0, 0] == INDICES, 0, 255)),
        0,
    ),
    "palette, half transparent": (
        "x.png",
        lambda: palette(transparency=bytes(range(256))),
        on_white(ADAPTED, INDICES),
        1,
    ),
    "gray, one level transparent": (
        "x.png",
        lambda: png(GRAY, 8, 0, chunk(b"tRNS", struct.pack(">H", int(GRAY[0, 0])))),
        on_white(GRAY[..., None], np.where(GRAY[0, 0] == GRAY, 0, 255)),
        0,
    ),
    "16-bit gray, one level transparent": (
        "x.png",
        lambda: png(RAMP.astype(">u2").view(np.uint8), 16, 0, chunk(b"tRNS", struct.pack(">H", 0))),
        np.where(RAMP == 0, 255, RAMP / 257),
        1,
    ),
    "RGB, one color transparent": (
        "x.png",
        lambda: png(RGB.reshape(HEIGHT, -1), 8, 2, chunk(b"tRNS", struct.pack(">3H", *map(int, RGB[0, 0])))),
        on_white(RGB, np.where((RGB[0, 0] == RGB).all(-1), 0, 255)),
        0,
    ),
    "LA": ("x.png", lambda: of(np.stack([GRAY, ALPHA], -1)), on_white(GRAY[..., None], ALPHA), 1),
    "RGBA": ("x.png", lambda: of(np.dstack([RGB, ALPHA])), on_white(RGB, ALPHA), 1),
    "CMYK JPEG": ("x.jpg", lambda: file(photo().convert("CMYK"), "jpeg", quality=98), RGB, 12),
    "YCCK JPEG": ("x.jpg", ycck, RGB, 12),
    "CMYK TIFF": ("x.tif", lambda: file(photo().convert("CMYK"), "tiff"), RGB, 1),
    "Lab TIFF": ("x.tif", lab, RGB, 12),
    "float TIFF in 0..1": ("x.tif", lambda: of((RAMP / 65_535).astype(np.float32), "tiff"), RAMP / 257, 1),
    "float TIFF in 0..255": ("x.tif", lambda: of(GRAY.astype(np.float32), "tiff"), GRAY, 0),
    "float TIFF in 0..65535": ("x.tif", lambda: of(RAMP.astype(np.float32), "tiff"), RAMP / 257, 1),
    "32-bit TIFF in 0..65535": ("x.tif", lambda: of(RAMP.astype(np.int32), "tiff"), RAMP / 257, 1),
    **{f"EXIF orientation {n}": ("x.jpg", lambda n=n: rotated(n), RGB, 12) for n in range(1, 9)},
    **{
        f"EXIF in {kind}": (f"x.{kind}", lambda kind=kind: rotated(6, kind), RGB, 0) for kind in ("png", "webp", "tiff")
    },
    "animated GIF": ("x.gif", lambda: moving("gif"), np.asarray(photo(3).convert("P").convert("RGB")), 0),
    "animated WebP": ("x.webp", lambda: moving("webp", lossless=True), RGB, 0),
    "animated PNG": ("x.png", lambda: moving("png"), RGB, 0),
    "PNG called .jpg": ("x.jpg", lambda: of(RGB), RGB, 0),
    "JPEG called .PNG": ("x.PNG", lambda: of(RGB, "jpeg", quality=98, subsampling=0), RGB, 12),
    "1x1": ("x.png", lambda: of(RGB[:1, :1]), RGB[:1, :1], 0),
    "5000x1": ("x.png", lambda: of(np.resize(GRAY, (1, 5000))), np.resize(GRAY, (1, 5000)), 0),
    "1x5000": ("x.png", lambda: of(np.resize(GRAY, (5000, 1))), np.resize(GRAY, (5000, 1)), 0),
}

NO_IMAGE = "is not an image"
BAD: dict[str, tuple[str, Callable[[], bytes], str]] = {
    # what it is: (its name, its content, what is said)
    "empty": ("x.png", lambda: b"", "is an empty file"),
    "text called .png": ("x.png", lambda: b"hello", NO_IMAGE),
    "a web page called .jpg": ("x.jpg", lambda: b"<!DOCTYPE html><html>404</html>", NO_IMAGE),
    "zeros": ("x.jpg", lambda: bytes(10_000), NO_IMAGE),
    "HEIC": ("x.heic", lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "HEIC"),
    "truncated PNG": ("x.png", lambda: of(RGB)[:-300], "runcated"),
    "truncated JPEG": ("x.jpg", lambda: of(RGB, "jpeg")[:-100], "truncated"),
    "truncated GIF": ("x.gif", lambda: file(photo().convert("P"), "gif")[:-100], "x.gif"),
    "truncated WebP": ("x.webp", lambda: of(RGB, "webp", lossless=True)[:-100], "x.webp"),
    "truncated TIFF": ("x.tif", lambda: of(RGB, "tiff")[:-100], "x.tif"),
    "truncated BMP": ("x.bmp", lambda: of(RGB, "bmp")[:-100], "truncated"),
    "header alone": ("x.png", lambda: of(RGB)[:40], "x.png"),
    "no pixels": ("x.png", lambda: png(RGB[:0, :, 0], 8, 0, size=(0, 0)), "x.png"),
    "wrong CRC of the header": ("x.png", lambda: bad_crc(b"IHDR"), NO_IMAGE),
    "wrong CRC of the pixels": ("x.png", lambda: bad_crc(b"IDAT"), "checksum"),
    "changed pixels": ("x.png", changed_pixels, "checksum"),
    "170 million pixels": ("x.png", enormous, "17000 x 10000 pixels, more than 100,000,000"),
    "400 million pixels": ("x.png", lambda: enormous(20_000, 20_000), "more than 100,000,000"),
    "PostScript": ("x.png", lambda: file(photo(), "eps"), "PostScript"),
    "float TIFF below 0": ("x.tif", lambda: of(np.float32(GRAY) - 300, "tiff"), "values from -"),
    "float TIFF above 65535": ("x.tif", lambda: of(np.float32(GRAY) * 1e6, "tiff"), "values from "),
    "float TIFF of light": ("x.tif", lambda: of(np.float32(GRAY) / 100, "tiff"), "values from "),
    "float TIFF with gaps": ("x.tif", lambda: of(np.where(GRAY > 99, np.nan, np.float32(GRAY)), "tiff"), "not finite"),
    "32-bit TIFF above 65535": ("x.tif", lambda: of(RAMP.astype(np.int32) * 1000, "tiff"), "values from "),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures that can be used: what a test adds comes on top."""
    for seed in (1, 2):
        photo(seed).save(tmp_path / f"good {seed}.png")
    return tmp_path


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", GOOD)
def test_what_can_be_read_is_read_right(folder: Path, kind: str) -> None:
    name, content, expected, off = GOOD[kind]
    (folder / name).write_bytes(content())
    source = ImageFolder(str(folder))
    assert source.skipped == ()
    assert len(source.train) + len(source.val) == 3
    actual = Picture.read(folder / name).pixels.astype(float)
    expected = np.atleast_3d(np.asarray(expected, float))
    assert actual.shape[:2] == expected.shape[:2]
    assert np.abs(actual - expected).max() <= off


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_read_is_passed_over_by_name(folder: Path, kind: str) -> None:
    name, content, message = BAD[kind]
    (folder / name).write_bytes(content())
    tracemalloc.start()
    source = ImageFolder(str(folder))
    assert len(source.train) + len(source.val) == 2
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()
    (line,) = source.skipped
    assert str(folder / name) in line and message in line and "\n" not in line


# ------------------------------------------------------------------------------------------------- odd folders


def names(source: ImageFolder) -> dict[str, str]:
    """The prompt of each picture that is used, by its name."""
    return {item.file.name: item.prompt for side in source._partition[:2] for item, _ in side}


def test_a_bomb_makes_no_noise(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(enormous())
    code = "import sys, pathlib; from genai.media.picture import Picture; Picture.read(pathlib.Path(sys.argv[1]))"
    words = [sys.executable, "-W", "always", "-c", code, str(tmp_path / "x.png")]
    stderr = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}).stderr
    assert stderr.splitlines()[-1].endswith("17000 x 10000 pixels, more than 100,000,000.")
    assert "Warning" not in stderr


def test_a_picture_that_may_not_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for anybody but root."""
    (folder / "x.png").write_bytes(of(RGB))
    real = Pillow.open

    def refusing(path: Any, *more: Any, **options: Any) -> Any:
        if getattr(path, "name", "") == "x.png":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *more, **options)

    monkeypatch.setattr(Pillow, "open", refusing)
    source = ImageFolder(str(folder))
    assert sorted(names(source)) == ["good 1.png", "good 2.png"]
    assert source.skipped == (f"cannot read {folder / 'x.png'}: Permission denied.",)


def test_a_folder_that_may_not_be_looked_into(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "secret").mkdir()
    real = os.scandir

    def refusing(path: Any) -> Any:
        if str(path).endswith("secret"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    source = ImageFolder(str(folder))
    assert len(names(source)) == 2
    assert source.skipped == (f"cannot read folder {folder / 'secret'}: Permission denied.",)


def test_copies_are_counted_and_named_and_on_one_side(folder: Path) -> None:
    for seed in range(20):
        photo(10 + seed).save(folder / f"{seed}.png")
    for number in range(5):
        shutil.copy(folder / "good 1.png", folder / f"good 1 ({number}).png")
    source = ImageFolder(str(folder), 0.3)
    assert len(source.train) + len(source.val) == 27
    train, val = ({example.media.pixels.tobytes() for example in split} for split in (source.train, source.val))
    assert not train & val
    named = ", ".join(f"good 1 ({number}).png of good 1.png" for number in (0, 1, 2))
    assert source.description.endswith(f"; 5 are copies: {named}, ...")


def test_pictures_without_a_caption_and_what_is_skipped_are_counted(folder: Path) -> None:
    (folder / "good 1.txt").write_text("a caption")
    (folder / "alone.txt").write_text("of nothing")
    (folder / "x.png").touch()
    (folder / "metadata.jsonl").write_text(
        '{"file_name": "good 2.png", "text": "tw\n{"file_name": "gone.png", "text": ""}\n'
    )
    source = ImageFolder(str(folder))
    assert source.description.endswith("1 held out, 1 skipped, 3 captions not used, 1 prompt (1 without)")
    assert [line.removeprefix(f"{folder}/") for line in source.skipped] == [
        "x.png is an empty file.",
        "alone.txt is a caption without a picture.",
        f"metadata.jsonl: none of its 2 rows can be used. The first: {folder}/metadata.jsonl:1 needs file_name, "
        "and one of text, caption, prompt, description, label.",
    ]


def test_any_name_is_a_name(folder: Path) -> None:
    odd = [
        "снег.png",
        "👩‍🚀🚀.png",
        "new\nline.png",
        "'quote\".png",
        "a\tb.png",
        " .png",
        "-rf.png",
        "%s{0}$HOME.png",
        "x" * 250,
    ]
    for seed, name in enumerate(odd[:-1]):
        photo(10 + seed).save(folder / name)
        (folder / name).with_suffix(".txt").write_text(f"number {seed}")
    photo(99).save(folder / f"{odd[-1]}.png")
    (folder / "bad\n\x1b[31m👩‍🚀.png").touch()
    (folder / "two\nlines").mkdir()
    photo(98).save(folder / "two\nlines" / "y.png")
    source = ImageFolder(str(folder))
    assert {name: f"number {seed}" for seed, name in enumerate(odd[:-1])}.items() <= names(source).items()
    assert names(source)["y.png"] == "two lines"
    assert source.skipped == (f"{folder}/bad??[31m👩‍🚀.png is an empty file.",)


def test_links_are_followed_once(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    photo(5).save(elsewhere / "far.png")
    (elsewhere / "back").symlink_to(folder)
    photo(6).save(folder / "z.png")
    (folder / "deep" / "deeper").mkdir(parents=True)
    photo(7).save(folder / "deep" / "deeper" / "down.png")
    for name, target in {
        "a_loop": folder,
        "deep/up": folder / "deep",
        "linked": elsewhere,
        "self.png": "self.png",
    }.items():
        (folder / name).symlink_to(target)
    (folder / "broken.png").symlink_to(folder / "gone.png")
    (folder / "other name.png").symlink_to(folder / "z.png")
    os.mkfifo(folder / "pipe.png")
    (folder / ".hidden").symlink_to(elsewhere)
    for path in (folder, folder / "**" / "*.png"):
        source = ImageFolder(str(path))
        files = ["down.png", "far.png", "good 1.png", "good 2.png", "other name.png", "z.png"]
        assert sorted(names(source)) == files
        assert names(source)["down.png"] == "deeper" and names(source)["far.png"] == "linked"
        assert source.description.endswith("; 1 is a copy: other name.png of z.png")
        if path == folder:
            assert source.skipped == (
                f"cannot read {folder / 'broken.png'}: No such file or directory.",
                f"{folder / 'pipe.png'} is not a file.",
                f"cannot read {folder / 'self.png'}: Too many levels of symbolic links.",
            )


@pytest.mark.system("exiftool")
def test_orientation_that_exiftool_writes_is_applied(tmp_path: Path) -> None:
    pixels = np.zeros((24, 16, 3), np.uint8)
    pixels[:12] = 255
    (path := tmp_path / "a.png").write_bytes(Picture(pixels).to_bytes())
    subprocess.run(["exiftool", "-q", "-n", "-overwrite_original", "-Orientation=6", path], check=True)
    turned = Picture.read(path).pixels
    assert np.array_equal(turned, np.rot90(pixels, -1))
    found = subprocess.run(["exiftool", "-validate", "-warning", path], capture_output=True, text=True, check=True)
    assert "OK" in found.stdout and "Warning" not in found.stdout
