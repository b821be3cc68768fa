"""Animated and single images, and folders of numbered images -> frames; frames -> WebP."""

import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from genai.core.errors import UserError
from genai.media.picture import Picture, open_picture
from genai.media.resample_frames import FrameBuffer, PixelArray, TimedFrame, fit_short_side, resample_frames

IMAGE_FORMATS = ("PNG", "GIF", "WEBP", "JPEG", "AVIF", "BMP", "TIFF", "JPEG2000", "PPM")
"""Pillow's names of formats that the first bytes identify, so that no video is mistaken for an image."""
MULTI_FRAME_FORMATS = ("PNG", "GIF", "WEBP", "AVIF")
FRAME_SUFFIXES = frozenset(".png .jpg .jpeg .webp .bmp .tif .tiff .tga .ppm .avif".split())
"""Suffixes of the numbered images in a folder."""
DEFAULT_FPS = 8.0
"""Frame rate of images without times."""
warnings.filterwarnings("ignore", "Invalid APNG")  # it is then a single image


def is_image_file(path: Path) -> bool:
    """Return whether Pillow should read the file, even if it is damaged. Raises ``OSError``."""
    try:
        with Pillow.open(path, formats=IMAGE_FORMATS):
            return True
    except UnidentifiedImageError:
        return False
    except OSError:
        raise
    except Exception:
        return True


def read_image_frames(path: Path, fps: float | None, short_side: int | None) -> tuple[PixelArray, float]:
    """Read the frames of an image file as described in ``Clip.read``.

    Returns:
        Frames (time, height, width, channels), and frames per second.

    Raises:
        UserError: naming the file.
    """
    with open_picture(path, IMAGE_FORMATS) as image:
        if image.format in MULTI_FRAME_FORMATS and getattr(image, "is_animated", False):
            tolerance = 0.006 if image.format == "GIF" else 0.001
            return resample_frames(path, _timed_frames(image, short_side), fps, tolerance=tolerance)
    return _read_image(path, short_side)[None], fps or DEFAULT_FPS


def read_frame_folder(path: Path, fps: float | None, short_side: int | None) -> tuple[PixelArray, float]:
    """Read all images of a folder, 2 before 10. Raises ``UserError`` for no image, or images of several sizes."""
    buffer = FrameBuffer(path)
    for file in frame_files(path):
        buffer.add(_read_image(file, short_side))
    if not buffer.count:
        raise UserError(f"{path} is a folder without pictures.")
    return buffer.frames, fps or DEFAULT_FPS


def frame_files(path: Path) -> list[Path]:
    """Return the images in a folder sorted by number, without hidden files."""
    files = [file for file in path.iterdir() if file.suffix.lower() in FRAME_SUFFIXES and not file.name.startswith(".")]
    parts = {file: re.split(r"(\d+)", file.name) for file in files}
    return sorted(files, key=lambda file: [int(part) if index % 2 else part for index, part in enumerate(parts[file])])


def encode_webp(frames: PixelArray, fps: float) -> bytes:
    """Encode frames as a lossless WebP. Times are rounded to whole milliseconds without accumulating errors.

    Raises:
        UserError: WebP does not support that size.
    """
    first, *rest = [Picture(frame).image for frame in frames]
    end_times = (np.arange(len(frames) + 1) * 1000 / fps).round().astype(int)
    options = {
        "append_images": rest,
        "duration": np.diff(end_times).tolist(),
        "loop": 0,
        "lossless": True,
        "exact": True,
    }
    file = io.BytesIO()
    try:
        first.save(file, "webp", save_all=True, **options)
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"cannot write {first.width} x {first.height} pixels as .webp.") from error
    return file.getvalue()


def _timed_frames(image: Pillow.Image, short_side: int | None) -> Iterator[TimedFrame]:
    start = 0.0
    count = getattr(image, "n_frames", 1)
    first = 1 if getattr(image, "default_image", False) else 0  # a fallback for viewers that do not support APNG
    for index in range(first, count):
        image.seek(index)
        pixels = _downscale(Picture.from_pil(image), short_side)
        duration = image.info.get("duration") or 0
        if not duration or (duration <= 10 and image.format == "GIF"):
            duration = 100  # as in browsers
        end = start + duration / 1000
        yield TimedFrame(start, end, lambda pixels=pixels: pixels)  # type: ignore[misc]
        start = end


def _read_image(path: Path, short_side: int | None) -> PixelArray:
    return _downscale(Picture.read(path, short_side), short_side)


def _downscale(picture: Picture, short_side: int | None) -> PixelArray:
    size = fit_short_side(*picture.image.size, short_side)
    if size == picture.image.size:
        return picture.pixels
    return Picture.from_pil(picture.image.resize(size, Pillow.Resampling.BOX)).pixels
