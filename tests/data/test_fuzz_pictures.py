"""Files with errors in them, made by chance: each is a picture, or there is a ``UserError`` that names it."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from genai.core.errors import UserError
from genai.data.image_folder import ImageFolder
from genai.media.picture import Picture
from genai.modalities.image import Image

KINDS = {"png": 500, "jpeg": 500, "gif": 100, "webp": 100, "tiff": 100}
"""How many of each are tried."""
FEW = 6
"""One in so many is tried in the fast version."""


def original(kind: str, seed: int) -> bytes:
    """One of many kinds of pictures, so that many paths of a decoder are tried."""
    rng = np.random.default_rng(seed)
    modes = {"png": ["RGB", "L", "P", "RGBA", "LA", "1", "I;16"], "jpeg": ["RGB", "L", "CMYK"], "gif": ["P", "L"]}
    mode = modes.get(kind, ["RGB", "RGBA", "L"])[seed % len(modes.get(kind, "abc"))]
    if kind == "tiff" and mode == "L":
        mode = ("L", "F", "I", "LAB")[seed // 3 % 4]
    smooth = Pillow.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize((24, 16), Pillow.Resampling.BICUBIC)
    image = Pillow.new(mode, (24, 16)) if mode in ("I;16", "LAB") else smooth.convert(mode)
    exif = Pillow.Exif()
    exif[0x0112] = seed % 8 + 1
    options = {"exif": exif} if kind != "gif" else {}
    if kind == "jpeg":
        options["progressive"] = seed % 2 == 1
    if kind == "tiff":
        options["compression"] = (None, "tiff_lzw", "tiff_adobe_deflate", "packbits")[seed % 4]
    if kind in ("gif", "webp", "png") and mode in ("P", "RGB") and seed % 3 == 0:
        options |= {"save_all": True, "append_images": [image.rotate(90)]}
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def mutated(content: bytes, other: bytes, draw: random.Random) -> bytes:
    """Some bytes changed, the end cut off, a piece of another file put in: one of these, or several."""
    changed = bytearray(content)
    kinds = draw.sample(["flips", "cut", "splice"], draw.choice([1, 1, 1, 2]))
    if "flips" in kinds:
        for _ in range(draw.randint(1, 8)):
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    if "splice" in kinds:
        start, length = draw.randrange(len(other)), draw.randint(1, 64)
        at = draw.randrange(len(changed))
        changed[at : at + draw.choice([0, length])] = other[start : start + length]
    if "cut" in kinds:
        del changed[draw.randrange(len(changed)) :]
    return bytes(changed)


def read_error(file: Path) -> str:
    """Return the error message about a file; empty if it can be read. Only a ``UserError`` is caught."""
    try:
        Image(8).encode(Picture.read(file, short_side=16))
    except UserError as error:
        return str(error)
    return ""


def attempt(folder: Path, step: int, cache: Path) -> tuple[int, int]:
    """Write every ``step``th file and read it as in training. Return the numbers of readable and unreadable files.

    Raises ``UserError`` about a file that had passed the inspection.
    """
    draw = random.Random(0)
    for kind, count in KINDS.items():
        for number in range(0, count, step):
            content = mutated(original(kind, number), original(draw.choice(list(KINDS)), number + 1), draw)
            file = folder / f"{number}.{kind}"
            file.write_bytes(content)
            message = read_error(file)
            assert not message or (str(file) in message and len(message) < 400)
    source = ImageFolder(str(folder), size=8)
    for split in (source.train, source.val):
        assert Image(8).pack(split, cache).pixels.shape[1:] == (3, 8, 8)
    return len(source.train) + len(source.val), len(source.skipped)


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_crash_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    read, skipped = attempt(folder, FEW, tmp_path_factory.mktemp("cache"))
    assert read + skipped == len(list(folder.iterdir())) > 200
    assert read > 20 and skipped > 50


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_many_damaged_files_crash_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    read, skipped = attempt(folder, 1, tmp_path_factory.mktemp("cache"))
    assert read + skipped == len(list(folder.iterdir())) == sum(KINDS.values())
