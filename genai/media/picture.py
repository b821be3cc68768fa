"""Pictures as people have them: any image file <-> uint8 pixels; contact sheets; how one came out of the noise."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageOps, UnidentifiedImageError

from genai.core.errors import UserError
from genai.media.data_url import data_url

LARGEST = 100_000_000
"""Pixels of a file that is still opened; a larger one would fill the memory of a laptop."""
SEEN = 192
"""Pixels of the longer side, about, that a small one is enlarged to in a notebook and on a page."""
warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)  # Pillow's limit is lower; ours is the one that counts


@dataclass(frozen=True, eq=False)
class Picture:
    """An image.

    Attributes:
        pixels: (height, width, channels) uint8, one channel (grey) or three (RGB).
    """

    pixels: NDArray[np.uint8]
    suffix: ClassVar[str] = ".png"

    @classmethod
    def read(cls, path: Path, about: int | None = None) -> Self:
        """Any file that Pillow opens, upright, 16 bits scaled to 8, transparency on white; the first of its frames.

        Args:
            path: of the file.
            about: a JPEG may come out at a fraction of its size, no smaller than this, which takes a fraction of the
                time.

        Raises:
            UserError: naming the file: missing, no image, damaged, numbers without a known white, or more than
                ``LARGEST`` pixels.
        """
        with opened(path) as image:
            if image.format == "PNG":
                _check_sums(path)
            if about:
                image.draft(None, (about, about))
            upright = ImageOps.exif_transpose(image)
            if image.format == "PPM" and image.mode == "I":  # Pillow has scaled it to 16 bits
                upright = upright.convert("I;16")
            return cls.of(upright)

    @classmethod
    def of(cls, image: Pillow.Image) -> Self:
        """A Pillow image of any mode. Raises ``ValueError`` where its numbers do not tell what is white."""
        return cls(_to_array(image))

    @property
    def image(self) -> Pillow.Image:
        """As a Pillow image."""
        return Pillow.fromarray(self.pixels[..., 0] if self.pixels.shape[2] == 1 else self.pixels)

    def to_bytes(self, suffix: str | None = None) -> bytes:
        file = io.BytesIO()
        kind = {"jpg": "jpeg"}.get(name := (suffix or self.suffix).lstrip(".").lower(), name)
        self.image.save(file, kind)
        return file.getvalue()

    @property
    def on_terminal(self) -> str:
        return ""

    def _repr_png_(self) -> bytes:
        return self.to_bytes()

    @classmethod
    def on_page(cls, path: Path) -> str:
        return cls.read(path)._repr_html_()

    def _repr_html_(self) -> str:
        """A small one is enlarged without blur."""
        scale = max(1, SEEN // max(self.image.size))
        sharp = " style='image-rendering: pixelated'" if scale > 1 else ""
        source = data_url(self.to_bytes(self.suffix), self.suffix)
        return f"<img src='{source}' width='{scale * self.image.width}' alt=''{sharp}>"


@contextmanager
def opened(path: Path, formats: tuple[str, ...] | None = None) -> Iterator[Pillow.Image]:
    """The file in Pillow's hands. Whatever it raises there is a ``UserError`` that names the file, as ``read`` says."""
    try:
        with Pillow.open(path, formats=formats) as image:
            if image.width * image.height > LARGEST:
                raise UserError(f"{path} has {image.width} x {image.height} pixels, more than {LARGEST:,}.")
            if image.format == "EPS":
                raise UserError(f"{path} is PostScript, a program, which is not run.")
            yield image
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(f"{path} {_what_else(path)}.") from error
    except Pillow.DecompressionBombError as error:
        raise UserError(f"{path} has more than {LARGEST:,} pixels.") from error
    except Exception as error:  # on damaged files Pillow's decoders raise almost anything
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(f"cannot read {path}: {reason.rstrip('.')}.") from error


@dataclass(frozen=True)
class Making:
    """How a picture came out of the noise: an animated PNG, enlarged to be seen, that rests on its end."""

    pictures: Sequence[Picture]
    suffix: ClassVar[str] = ".png"

    def to_bytes(self, suffix: str | None = None) -> bytes:
        scale = max(1, 128 // max(self.pictures[0].image.size))
        frames = [ImageOps.scale(each.image, scale, Pillow.Resampling.NEAREST) for each in self.pictures]
        file = io.BytesIO()
        durations = [*[120] * (len(frames) - 1), 1500]
        frames[0].save(file, "png", save_all=True, append_images=frames[1:], duration=durations, loop=0)
        return file.getvalue()


def contact_sheet(samples: Sequence[tuple[str, Picture]], least: int = 128, columns: int | None = None) -> Picture:
    """``(prompt, picture)`` pairs of one size in rows, enlarged to about ``least`` pixels, each over its prompt."""
    first = samples[0][1].image
    columns = columns or min(len(samples), 4 if len(samples) <= 16 else 8)
    scale = max(1, least // first.width)
    width, height, text = first.width * scale, first.height * scale, 30
    rows = -(-len(samples) // columns)
    canvas = Pillow.new("RGB", (columns * (width + 8) + 8, rows * (height + text + 8) + 8), "white")
    draw = ImageDraw.Draw(canvas)
    for number, (prompt, picture) in enumerate(samples):
        x, y = 8 + number % columns * (width + 8), 8 + number // columns * (height + text + 8)
        canvas.paste(picture.image.convert("RGB").resize((width, height), Pillow.Resampling.NEAREST), (x, y))
        draw.multiline_text((x, y + height + 2), _wrapped(prompt, width // 6), "black", spacing=1)
    return Picture(np.asarray(canvas).copy())


def _wrapped(text: str, width: int, lines: int = 2) -> str:
    """``text`` in at most ``lines`` lines of ``width`` characters."""
    import textwrap

    return "\n".join(textwrap.wrap(text, max(4, width), max_lines=lines, placeholder="..."))


def _what_else(path: Path) -> str:
    """What a file is that Pillow does not know."""
    with path.open("rb") as file:
        head = file.read(12)
    if not head:
        return "is an empty file"
    if head[4:11] in (b"ftyphei", b"ftyphev", b"ftypmif"):
        return "is HEIC, which cannot be read: make a JPEG of it"
    return "is not an image that can be read"


def _check_sums(path: Path) -> None:
    """Those of a PNG, which Pillow passes over when it reads the pixels. Raises what Pillow raises."""
    with Pillow.open(path, formats=("PNG",)) as image:
        image.verify()


def _to_array(image: Pillow.Image) -> NDArray[np.uint8]:
    if image.mode.startswith(("I", "F")):
        return _from_numbers(image)
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Pillow.alpha_composite(Pillow.new("RGBA", image.size, "white"), image)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None].copy()
    return np.asarray(image.convert("RGB")).copy()


def _from_numbers(image: Pillow.Image) -> NDArray[np.uint8]:
    """Grey of 16 or 32 bits, or of floats.

    16 bits reach to 65,535. Others do not say what is white: floats within 0..1 have it at 1, whole numbers at 255 or
    at 65,535, the smallest that they do not exceed. Raises ``ValueError`` for any else.
    """
    values = np.asarray(image).astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("it has values that are not numbers")
    tops = [1, 255, 65_535] if image.mode == "F" else [255, 65_535]
    if image.mode.startswith("I;16"):
        tops = [65_535]
    elif (values != np.rint(values)).any():
        tops = [1]
    white = next((top for top in tops if low >= 0 and high <= top), None)
    if white is None:
        raise ValueError(f"values from {low:g} to {high:g}: it should be 0 to 1, or whole numbers to 255 or 65535")
    if "transparency" in image.info:
        values[values == image.info["transparency"]] = white
    return (values / white * 255).round().astype(np.uint8)[..., None]
