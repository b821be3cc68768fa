"""Animated pictures (GIF, WebP, APNG), single ones, and folders of numbered ones -> frames; and frames -> WebP."""

import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from genai.core.errors import UserError
from genai.media.picture import Picture, opened
from genai.media.resample_frames import Frames, Kept, Shown, fitted, steady

FORMATS = ("PNG", "GIF", "WEBP", "JPEG", "AVIF", "BMP", "TIFF", "JPEG2000", "PPM")
"""That tell themselves by their first bytes: no video is taken for one."""
MOVING = ("PNG", "GIF", "WEBP", "AVIF")
STILLS = frozenset(".png .jpg .jpeg .webp .bmp .tif .tiff .tga .ppm .avif".split())
"""Suffixes of the numbered pictures in a folder."""
FPS = 8.0
"""Of pictures without any time."""
warnings.filterwarnings("ignore", "Invalid APNG")  # it is a single picture then, and is treated as one


def is_picture(path: Path) -> bool:
    """Whether Pillow is to read it, and to say what is wrong with it. Raises ``OSError``."""
    try:
        with Pillow.open(path, formats=FORMATS):
            return True
    except UnidentifiedImageError:
        return False
    except OSError:
        raise
    except Exception:
        return True


def read(path: Path, fps: float | None, about: int | None) -> tuple[Frames, float]:
    """(time, height, width, channels) and frames a second, as ``Clip.read`` says. Raises ``UserError``."""
    with opened(path, FORMATS) as image:
        if image.format in MOVING and getattr(image, "is_animated", False):
            return steady(path, _shown(image, about), fps, slack=0.006 if image.format == "GIF" else 0.001)
    return _still(path, about)[None], fps or FPS


def folder(path: Path, fps: float | None, about: int | None) -> tuple[Frames, float]:
    """All pictures of a folder, 2 before 10. Raises ``UserError`` for none, and where one has another size."""
    kept = Kept(path)
    for file in numbered(path):
        kept.add(_still(file, about))
    if not kept.count:
        raise UserError(f"{path} is a folder without pictures.")
    return kept.frames, fps or FPS


def numbered(path: Path) -> list[Path]:
    """The pictures in a folder, in the order of their numbers; none that is hidden."""
    files = [file for file in path.iterdir() if file.suffix.lower() in STILLS and not file.name.startswith(".")]
    parts = {file: re.split(r"(\d+)", file.name) for file in files}
    return sorted(files, key=lambda file: [int(part) if at % 2 else part for at, part in enumerate(parts[file])])


def webp(frames: Frames, fps: float) -> bytes:
    """Lossless. Its times are whole milliseconds: each is rounded, so that they do not drift.

    Raises:
        UserError: WebP has no pictures of that size.
    """
    first, *others = [Picture(frame).image for frame in frames]
    ends = (np.arange(len(frames) + 1) * 1000 / fps).round().astype(int)
    options = {"append_images": others, "duration": np.diff(ends).tolist(), "loop": 0, "lossless": True, "exact": True}
    file = io.BytesIO()
    try:
        first.save(file, "webp", save_all=True, **options)
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"cannot write {first.width} x {first.height} pixels as .webp.") from error
    return file.getvalue()


def _shown(image: Pillow.Image, about: int | None) -> Iterator[Shown]:
    start = 0.0
    count = getattr(image, "n_frames", 1)
    for index in range(1 if getattr(image, "default_image", False) else 0, count):  # which is for those who see no APNG
        image.seek(index)
        pixels = _smaller(Picture.of(image), about)
        told = image.info.get("duration") or 0
        end = start + (100 if told <= 10 and image.format == "GIF" else told or 100) / 1000  # as browsers have it
        yield Shown(start, end, lambda pixels=pixels: pixels)  # type: ignore[misc]
        start = end


def _still(path: Path, about: int | None) -> Frames:
    return _smaller(Picture.read(path, about), about)


def _smaller(picture: Picture, about: int | None) -> Frames:
    sides = fitted(*picture.image.size, about)
    if sides == picture.image.size:
        return picture.pixels
    return Picture.of(picture.image.resize(sides, Pillow.Resampling.BOX)).pixels
