"""Images: pictures <-> uint8 tensors, a memory-mapped cache, grids and contact sheets."""

import base64
import io
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from annotated_types import Ge, Le
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageOps, UnidentifiedImageError
from torch import Tensor

from genai.batch import Batch, Request
from genai.data.base import ItemRandom, Split
from genai.errors import Mistake
from genai.modalities import cache as caching
from genai.modalities.base import Decoder, FileName, Modality

LARGEST = 100_000_000
"""Pixels of a file that is still opened; a larger one would fill the memory of a laptop."""
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
        """Any file that Pillow opens, upright, 16-bit grey scaled to 8, transparency on white; the first of its frames.

        Args:
            path: of the file.
            about: a JPEG may come out at a fraction of its size, no smaller than this, which takes a fraction of the
                time.

        Raises:
            Mistake: naming the file: missing, no image, damaged, or more than ``LARGEST`` pixels.
        """
        try:
            with Pillow.open(path) as image:
                if image.width * image.height > LARGEST:
                    raise Mistake(f"{path} has {image.width} x {image.height} pixels, more than {LARGEST:,}.")
                if image.format == "EPS":
                    raise Mistake(f"{path} is PostScript, a program, which is not run.")
                if about:
                    image.draft(None, (about, about))
                return cls.of(ImageOps.exif_transpose(image))
        except Mistake:
            raise
        except UnidentifiedImageError as error:
            raise Mistake(f"{path} is not an image that can be read.") from error
        except Pillow.DecompressionBombError as error:
            raise Mistake(f"{path} has more than {LARGEST:,} pixels.") from error
        except Exception as error:  # on damaged files Pillow's decoders raise almost anything
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Mistake(f"cannot read {path}: {reason.rstrip('.')}.") from error

    @classmethod
    def of(cls, image: Pillow.Image) -> Self:
        """A Pillow image of any mode."""
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

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.to_bytes()).decode()
        return f"<img src='data:image/png;base64,{data}' style='image-rendering: pixelated; height: 128px'>"


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


@dataclass(frozen=True)
class ImageOptions:
    """What a request for images may say.

    Attributes:
        mask: an image file; where it is white, ``init`` is painted anew, where it is black, it comes back bit for bit.
    """

    mask: FileName | None = None


class Image(Modality):
    """Images of one size.

    Args:
        size: of a side, in pixels.
        channels: 1 (grey) or 3 (RGB).
        flip: mirror half of the training images; not where left and right matter.
        resize: how a picture becomes a square: ``crop`` keeps its middle, ``pad`` adds white, ``stretch`` distorts.
    """

    media = Picture
    animated = Making
    Options = ImageOptions

    def __init__(
        self,
        size: Annotated[int, Ge(4), Le(4096)] = 32,
        channels: Literal[1, 3] = 3,
        flip: bool = False,
        resize: Literal["crop", "pad", "stretch"] = "crop",
    ) -> None:
        self.size, self.channels, self.flip, self.resize = size, channels, flip, resize
        self.mean, self.std = 0.0, 0.5

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)"""
        return self.channels, self.size, self.size

    @property
    def interface(self) -> dict[str, Any]:
        return {"shape": self.shape, "mean": self.mean, "std": self.std}

    def fit(self, split: Split, cache: Path) -> None:
        """Mean and standard deviation of the training pixels in [-1, 1]."""
        pixels = self.pack(split, cache).pixels
        count = min(len(pixels), 256)
        some = (pixels[index * len(pixels) // count].astype(np.float32) / 127.5 - 1 for index in range(count))
        moments = np.array([(x.mean(), (x * x).mean()) for x in some], np.float64).mean(0)
        mean, square = float(moments[0]), float(moments[1])
        self.mean, self.std = round(mean, 4), round(max(0.05, max(0.0, square - mean**2) ** 0.5), 4)

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean, "std": self.std}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.mean, self.std = float(state["mean"]), float(state["std"])

    def encode(self, media: Any) -> Tensor:
        """(channels, height, width) uint8 of a picture of any size and shape."""
        image: Pillow.Image = media.image.convert("L" if self.channels == 1 else "RGB")
        if image.size != (self.size, self.size):
            image = _square(image, self.size, self.resize)
        pixels = np.asarray(image).reshape(self.size, self.size, self.channels)
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy())

    def decode(self, x: Tensor) -> Picture:
        return Picture(x.permute(1, 2, 0).contiguous().numpy())

    def decoder(self, given: Tensor | None, options: ImageOptions) -> Decoder:
        return ImageDecoder(self, given)

    def pack(self, split: Split, cache: Path) -> "PackedImages":
        key = caching.key(split.fingerprint, "images", self.shape, self.resize)

        def write(path: Path) -> None:
            prompts = []
            with path.open("wb") as file:
                for example in caching.progress(split, f"reading images ({split.name})", len(split)):
                    file.write(self.encode(example.media).numpy().tobytes())
                    prompts.append(example.prompt)
            caching.file(cache / f"{key}.json", lambda beside: _write_text(beside, json.dumps(prompts)))

        path = caching.file(cache / f"{key}.u1", write)
        return PackedImages(path, self.shape, self.flip)

    def request(self, prompts: list[str], seeds: list[int], init: Any, options: ImageOptions) -> Request:
        if options.mask is not None and init is None:
            raise Mistake("mask= says what to paint anew of an image: give init= as well.")
        given = None if init is None else [self.encode(init)] * len(prompts)
        known = None
        if options.mask is not None:
            mask = Image(self.size, 1, resize=self.resize).encode(Picture.read(Path(options.mask).expanduser()))
            known = [(mask < 128).expand(self.shape)] * len(prompts)
        return Request(prompts, seeds, self.shape, init=given, known=known)

    def preview_prompts(self, split: Split) -> list[str]:
        """Eight different prompts of held-out images."""
        count = min(len(split), 64)
        prompts = dict.fromkeys(split.prompt(index * len(split) // count) for index in range(count))
        return list(prompts)[:8] or [""]

    def show(self, writer: Any, tag: str, samples: Sequence[tuple[str, Any]], step: int) -> None:
        """One contact sheet."""
        writer.add_image(tag, self.sheet(samples).pixels, step, dataformats="HWC")

    def sheet(self, samples: Sequence[tuple[str, Any]]) -> Picture:
        """All samples side by side, enlarged to be seen, each over its prompt."""
        columns = min(len(samples), 4 if len(samples) <= 16 else 8)
        scale = max(1, 128 // self.size)
        side, text = self.size * scale, 30
        rows = -(-len(samples) // columns)
        canvas = Pillow.new("RGB", (columns * (side + 8) + 8, rows * (side + text + 8) + 8), "white")
        draw = ImageDraw.Draw(canvas)
        for number, (prompt, picture) in enumerate(samples):
            x, y = 8 + number % columns * (side + 8), 8 + number // columns * (side + text + 8)
            canvas.paste(picture.image.convert("RGB").resize((side, side), Pillow.Resampling.NEAREST), (x, y))
            draw.multiline_text((x, y + side + 2), wrapped(prompt, side // 6), "black", spacing=1)
        return Picture(np.asarray(canvas).copy())


class ImageDecoder:
    """Each push is the whole picture as it is so far."""

    done = False

    def __init__(self, image: Image, given: Tensor | None) -> None:
        blank = torch.zeros(image.shape, dtype=torch.uint8)
        self.image, self.newest = image, image.decode(blank if given is None else given)
        self.given = self.newest

    def push(self, start: int, x: Tensor) -> Picture:
        self.newest = self.image.decode(x)
        return self.newest

    def result(self) -> Picture:
        return self.newest


class PackedImages:
    """A split as one memory-mapped array (items, channels, height, width), and its prompts."""

    def __init__(self, path: Path, shape: tuple[int, int, int], flip: bool) -> None:
        self.path, self.shape, self.flip = path, shape, flip
        self.pixels: NDArray[Any] = np.memmap(path, np.uint8, "r").reshape(-1, *shape)
        self.prompts: list[str] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))

    def __len__(self) -> int:
        return len(self.pixels)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "shape": self.shape, "flip": self.flip}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> Batch:
        """``x``: (batch, channels, height, width) uint8, with their prompts."""
        pixels = self.pixels[np.asarray(indices)]
        if self.flip and random is not None:
            mirrored = random.uniform(purpose="flip")[:, 0] < 0.5
            pixels[mirrored] = pixels[mirrored, ..., ::-1]
        return Batch(torch.from_numpy(np.ascontiguousarray(pixels)), [self.prompts[index] for index in indices])


def wrapped(text: str, width: int, lines: int = 2) -> str:
    """``text`` in at most ``lines`` lines of ``width`` characters."""
    import textwrap

    return "\n".join(textwrap.wrap(text, max(4, width), max_lines=lines, placeholder="..."))


def _square(image: Pillow.Image, size: int, resize: str) -> Pillow.Image:
    def sized(width: int, height: int, box: tuple[float, float, float, float] | None = None) -> Pillow.Image:
        return image.resize((width, height), Pillow.Resampling.LANCZOS, box, reducing_gap=3.0)

    if resize == "stretch":
        return sized(size, size)
    shorter, longer = min(image.size), max(image.size)
    if resize == "crop":
        left, top = ((side - shorter) / 2 for side in image.size)
        return sized(size, size, (left, top, left + shorter, top + shorter))
    width, height = (max(1, round(size * side / longer)) for side in image.size)
    square = Pillow.new(image.mode, (size, size), "white")
    square.paste(sized(width, height), ((size - width) // 2, (size - height) // 2))
    return square


def _to_array(image: Pillow.Image) -> NDArray[np.uint8]:
    if image.mode.startswith(("I;16", "I", "F")):
        values = np.asarray(image, np.float32)
        top = 65_535.0 if image.mode.startswith("I;16") or values.max() > 255 else 255.0
        return np.nan_to_num(values / top * 255).round().clip(0, 255).astype(np.uint8)[..., None]
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None].copy()
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Pillow.alpha_composite(Pillow.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB")).copy()


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
