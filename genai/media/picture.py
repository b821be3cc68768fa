"""Pictures: image files <-> uint8 pixels; contact sheets; animations of the denoising steps."""

import io
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageOps, UnidentifiedImageError

from genai.core.errors import UserError
from genai.core.files import check_file
from genai.media.data_url import MIME_TYPES, data_url, file_data_url
from genai.media.labels import label_font

MAX_PIXELS = 100_000_000
"""Largest image that is opened, in pixels; a larger one would fill the memory of a laptop."""
LARGE_PIXELS, MAX_PIXELS_PER_BYTE = 64_000_000, 32
"""A larger color image whose file has fewer bytes than a thirty-second of its pixels is taken for a decompression bomb.
Gray, palettes and black and white take less memory."""
FONT_SIZE = 10
STRIP_ROWS = 256
"""Rows that are converted at once, so that no second copy of a large image is made."""
PREVIEW_PIXELS = 192
"""Approximate longer side, in pixels, to which a small picture is enlarged in notebooks and pages."""
PNG_COMPRESSION = 4
"""Level of zlib for contact sheets, 0 to 9."""
warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)  # Pillow's limit is lower; ours is the one that counts


@dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """A picture.

    Attributes:
        pixels: (height, width, channels) uint8, one channel (gray) or three (RGB).

    Raises:
        TypeError: ``pixels`` is something else.
    """

    pixels: NDArray[np.uint8]
    suffix: ClassVar[str] = ".png"

    def __post_init__(self) -> None:
        shape: tuple[int, ...] = tuple(getattr(self.pixels, "shape", ()))
        dtype = getattr(self.pixels, "dtype", type(self.pixels).__name__)
        if dtype != np.uint8 or len(shape) != 3 or shape[2] not in (1, 3):
            raise TypeError(
                f"a picture of {dtype} {shape}: pixels should be a NumPy array (height, width, 1 or 3) of uint8"
            )

    @classmethod
    def read(cls, path: Path, short_side: int | None = None) -> Self:
        """Read the first frame of any file that Pillow opens.

        EXIF orientation is applied, 16 bits are scaled to 8, and transparent areas become white.

        Args:
            path: the file.
            short_side: decode a JPEG faster, at a reduced size whose shorter side has at least this many pixels.

        Raises:
            UserError: naming the file: missing, not an image, damaged, with values of an unknown range, or with more
                than ``MAX_PIXELS`` pixels.
        """
        with open_picture(path) as image:
            if image.format == "PNG":
                _verify_png(path)
            if short_side:
                image.draft(None, (short_side, short_side))
            rotated = ImageOps.exif_transpose(image)
            if image.format == "PPM" and image.mode == "I":  # Pillow has scaled it to 16 bits
                rotated = rotated.convert("I;16")
            return cls.from_pil(rotated)

    @classmethod
    def from_pil(cls, image: Pillow.Image) -> Self:
        """Convert a Pillow image of any mode. Raises ``ValueError`` if the range of its values is unknown."""
        return cls(_to_array(image))

    @property
    def image(self) -> Pillow.Image:
        """The picture as a Pillow image."""
        return Pillow.fromarray(self.pixels[..., 0] if self.pixels.shape[2] == 1 else self.pixels)

    def to_bytes(self, suffix: str | None = None) -> bytes:
        file = io.BytesIO()
        file_format = (suffix or self.suffix).lstrip(".").lower()
        self.image.save(file, "jpeg" if file_format == "jpg" else file_format)
        return file.getvalue()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.summary})"

    @property
    def summary(self) -> str:
        """Its size, for people."""
        return f"{self.pixels.shape[1]} x {self.pixels.shape[0]} pixels"

    @property
    def on_terminal(self) -> str:
        return ""

    def _repr_png_(self) -> bytes:
        return self.to_bytes()

    @classmethod
    def on_page(cls, path: Path) -> str:
        """Return HTML that shows the file itself, with its label; what browsers do not know is converted."""
        picture = cls.read(path)
        return picture._html(file_data_url(path) if path.suffix.lower() in MIME_TYPES else picture._source)

    def _repr_html_(self) -> str:
        """Show the picture; a small one is enlarged without smoothing."""
        return self._html(self._source)

    @property
    def _source(self) -> str:
        return data_url(self.to_bytes(self.suffix), self.suffix)

    def _html(self, source: str) -> str:
        scale = max(1, PREVIEW_PIXELS // max(self.image.size))
        style = " style='image-rendering: pixelated'" if scale > 1 else ""
        return f"<img src='{source}' width='{scale * self.image.width}' alt=''{style}>"


@contextmanager
def open_picture(path: Path, formats: tuple[str, ...] | None = None) -> Iterator[Pillow.Image]:
    """Open a file with Pillow; what Pillow raises becomes a ``UserError`` naming the file (see ``Picture.read``)."""
    num_bytes = check_file(path).stat().st_size
    try:
        with Pillow.open(path, formats=formats) as image:
            num_pixels = image.width * image.height
            if num_pixels > MAX_PIXELS:
                raise UserError(f"{path} has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}.")
            if num_pixels > LARGE_PIXELS and len(image.getbands()) > 1 and num_bytes * MAX_PIXELS_PER_BYTE < num_pixels:
                raise UserError(
                    f"{path} has {num_pixels:,} pixels in {num_bytes:,} bytes, like a bomb: save it smaller."
                )
            if image.format == "EPS":
                raise UserError(f"{path} is PostScript, which is a program and is not run.")
            yield image
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(f"{path} {_describe_unknown(path)}.") from error
    except Pillow.DecompressionBombError as error:
        raise UserError(f"{path} has more than {MAX_PIXELS:,} pixels.") from error
    except Exception as error:  # on damaged files Pillow's decoders raise almost anything
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(f"cannot read {path}: {reason.rstrip('.')}.") from error


@dataclass(frozen=True)
class DenoisingAnimation:
    """Denoising steps of a picture as an enlarged animated PNG that pauses on the last step."""

    pictures: Sequence[Picture]
    suffix: ClassVar[str] = ".png"

    def to_bytes(self, suffix: str | None = None) -> bytes:
        scale = max(1, 128 // max(self.pictures[0].image.size))
        frames = [ImageOps.scale(picture.image, scale, Pillow.Resampling.NEAREST) for picture in self.pictures]
        file = io.BytesIO()
        durations = [*[120] * (len(frames) - 1), 1500]
        frames[0].save(file, "png", save_all=True, append_images=frames[1:], duration=durations, loop=0)
        return file.getvalue()


class ContactSheet(Picture):
    """A contact sheet, compressed once and quickly: a third of the time, files up to 5 % larger."""

    def to_bytes(self, suffix: str | None = None) -> bytes:
        return self._png if suffix in (None, ".png") else super().to_bytes(suffix)

    @cached_property
    def _png(self) -> bytes:
        file = io.BytesIO()
        self.image.save(file, "png", compress_level=PNG_COMPRESSION)
        return file.getvalue()


def contact_sheet(samples: Sequence[tuple[str, Picture]], min_width: int = 128, columns: int | None = None) -> Picture:
    """Draw ``(prompt, picture)`` pairs of one size in a grid, enlarged to a width of about ``min_width`` pixels."""
    first = samples[0][1].image
    columns = columns or min(len(samples), 4 if len(samples) <= 16 else 8)
    scale = max(1, min_width // first.width)
    width, height, text_height = first.width * scale, first.height * scale, 30
    rows = -(-len(samples) // columns)
    canvas = Pillow.new("RGB", (columns * (width + 8) + 8, rows * (height + text_height + 8) + 8), "white")
    draw = ImageDraw.Draw(canvas)
    for index, (prompt, picture) in enumerate(samples):
        x, y = 8 + index % columns * (width + 8), 8 + index // columns * (height + text_height + 8)
        canvas.paste(picture.image.convert("RGB").resize((width, height), Pillow.Resampling.NEAREST), (x, y))
        font, label = label_font(_wrap_text(prompt, width), FONT_SIZE)
        draw.multiline_text((x, y + height + 2), label, "black", font, spacing=1)
    return Picture(np.asarray(canvas).copy())


def _wrap_text(text: str, width: int, max_lines: int = 2) -> str:
    """Wrap ``text`` to at most ``max_lines`` lines of about ``width`` pixels."""
    import textwrap

    is_wide = any(unicodedata.east_asian_width(character) in "WF" for character in text[: width // 3])
    characters = max(4, width // (FONT_SIZE if is_wide else 6))
    return "\n".join(textwrap.wrap(text, characters, max_lines=max_lines, placeholder="..."))


def _describe_unknown(path: Path) -> str:
    """Say what a file is that Pillow cannot identify."""
    with path.open("rb") as file:
        head = file.read(12)
    if not head:
        return "is an empty file"
    if head[4:11] in (b"ftyphei", b"ftyphev", b"ftypmif"):
        return "is HEIC, which cannot be read: convert it to JPEG"
    return "is not an image that can be read"


def _verify_png(path: Path) -> None:
    """Check the checksums of a PNG, which Pillow ignores when it reads the pixels. Raises what Pillow raises."""
    with Pillow.open(path, formats=("PNG",)) as image:
        image.verify()


def _to_array(image: Pillow.Image) -> NDArray[np.uint8]:
    """Convert an image to (height, width, channels), strip by strip."""
    white = _white_value(image) if image.mode.startswith(("I", "F")) else None
    parts = (_strip_to_array(strip, image, white) for strip in _strips(image))
    first = next(parts)
    pixels = np.empty((image.height, *first.shape[1:]), np.uint8)
    row = 0
    for part in chain([first], parts):
        pixels[row : row + len(part)] = part
        row += len(part)
    return pixels


def _strips(image: Pillow.Image) -> Iterator[Pillow.Image]:
    """Cut an image into strips of at most ``STRIP_ROWS`` rows."""
    for top in range(0, image.height, STRIP_ROWS):
        yield image.crop((0, top, image.width, min(top + STRIP_ROWS, image.height)))


def _strip_to_array(strip: Pillow.Image, image: Pillow.Image, white: float | None) -> NDArray[np.uint8]:
    """Convert a strip of ``image``, whose value ``white`` is 255, to (rows, width, channels)."""
    if white is not None:
        values = np.asarray(strip).astype(np.float64)
        if "transparency" in image.info:
            values[values == image.info["transparency"]] = white
        return (values / white * 255).round().astype(np.uint8)[..., None]
    if "A" in image.getbands() or "transparency" in image.info:
        strip.info = image.info
        strip = strip.convert("RGBA")
        strip = Pillow.alpha_composite(Pillow.new("RGBA", strip.size, "white"), strip)
    if strip.mode in ("1", "L"):
        return np.asarray(strip.convert("L"))[..., None]
    return np.asarray(strip.convert("RGB"))


def _white_value(image: Pillow.Image) -> float:
    """Return the value of white in gray of 16 or 32 bits, or of floats.

    It is 65,535 for 16 bits. Other types do not say: it is 1 for floats within 0..1, and for whole numbers 255 or
    65,535, the smaller one that they do not exceed. Raises ``ValueError`` for anything else.
    """
    low, high, is_whole = np.inf, -np.inf, True
    for strip in _strips(image):
        values = np.asarray(strip).astype(np.float64)
        low, high = np.minimum(low, values.min()), np.maximum(high, values.max())
        is_whole = is_whole and bool((values == np.rint(values)).all())
    if not np.isfinite([low, high]).all():
        raise ValueError("it has values that are not finite")
    max_values = [1, 255, 65_535] if image.mode == "F" else [255, 65_535]
    if image.mode.startswith("I;16"):
        max_values = [65_535]
    elif not is_whole:
        max_values = [1]
    white = next((value for value in max_values if low >= 0 and high <= value), None)
    if white is None:
        raise ValueError(f"values from {low:g} to {high:g}: it should be 0 to 1, or whole numbers to 255 or 65535")
    return white
