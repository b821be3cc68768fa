"""Images: pictures <-> uint8 tensors of one size, in a memory-mapped cache."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Le, Len
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from genai.core.batch import Batch, Request
from genai.core.cache import cache_key, cached_file, track_progress, write_json
from genai.core.data import ItemRandom, Split
from genai.core.errors import UserError
from genai.media.base import FileName
from genai.media.picture import Making, Picture, contact_sheet
from genai.modalities.base import Decoder, Modality
from genai.modalities.outpainting import Rest, placed

Side = Annotated[int, Ge(4), Le(4096)]


@dataclass(frozen=True)
class ImageOptions:
    """What a request for images may say.

    Attributes:
        mask: an image file; where it is white, ``init`` is painted anew, where it is black, it comes back bit for bit.
        outpaint: the part of the canvas that is made; ``init`` stands whole in the other half, or in the middle,
            resized once, and so comes back bit for bit.
    """

    mask: FileName | None = None
    outpaint: Rest | None = None


class Image(Modality):
    """Images of one size.

    Args:
        size: of a side of a square, or height and width, in pixels.
        channels: 1 (grey) or 3 (RGB).
        flip: mirror half of the training images; not where left and right matter.
        resize: how a picture gets that shape: ``crop`` keeps its middle, ``pad`` adds white, ``stretch`` distorts.
    """

    media = Picture
    animated = Making
    Options = ImageOptions

    def __init__(
        self,
        size: Side | Annotated[list[Side], Len(2, 2)] = 32,
        channels: Literal[1, 3] = 3,
        flip: bool = False,
        resize: Literal["crop", "pad", "stretch"] = "crop",
    ) -> None:
        self.size, self.channels, self.flip, self.resize = size, channels, flip, resize
        self.mean, self.std = 0.0, 0.5

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)"""
        height, width = (self.size, self.size) if isinstance(self.size, int) else self.size
        return self.channels, height, width

    @property
    def interface(self) -> dict[str, Any]:
        return {"shape": self.shape, "mean": self.mean, "std": self.std}

    def fit(self, split: Split, cache: Path) -> None:
        """Mean and standard deviation of the training pixels in [-1, 1]."""
        self.mean, self.std = moments(self.pack(split, cache).pixels)

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean, "std": self.std}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.mean, self.std = float(state["mean"]), float(state["std"])

    def encode(self, media: Any) -> Tensor:
        """(channels, height, width) uint8 of a picture of any size and shape."""
        image: Pillow.Image = media.image.convert("L" if self.channels == 1 else "RGB")
        _, height, width = self.shape
        if image.size != (width, height):
            image = _resized(image, width, height, self.resize)
        pixels = np.asarray(image).reshape(height, width, self.channels)
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy())

    def decode(self, x: Tensor) -> Picture:
        return Picture(x.permute(1, 2, 0).contiguous().numpy())

    def decoder(self, given: Tensor | None, options: ImageOptions) -> Decoder:
        return ImageDecoder(self, given)

    def pack(self, split: Split, cache: Path) -> "PackedImages":
        key = cache_key(split.fingerprint, "images", self.shape, self.resize)

        def write(path: Path) -> None:
            prompts = []
            with path.open("wb") as file:
                for example in track_progress(split, f"reading images ({split.name})", len(split)):
                    file.write(self.encode(example.media).numpy().tobytes())
                    prompts.append(example.prompt)
            cached_file(cache / f"{key}.json", lambda beside: write_json(beside, prompts))

        path = cached_file(cache / f"{key}.u1", write)
        return PackedImages(path, self.shape, self.flip)

    def request(self, prompts: list[str], seeds: list[int], init: Any, options: ImageOptions) -> Request:
        if options.mask is not None and init is None:
            raise UserError("mask= says what to paint anew of an image: give init= as well.")
        if options.outpaint is not None and init is None:
            raise UserError("outpaint= says what to paint beside an image: give init= as well.")
        if options.outpaint is not None and options.mask is not None:
            raise UserError("mask= and outpaint= both say what is painted: give one of them.")
        mask = None if options.mask is None else Picture.read(Path(options.mask).expanduser())
        if options.outpaint is not None:
            canvas = placed(init.image.convert("RGB"), self.shape[:0:-1], options.outpaint)
            init, mask = (Picture.of(each) for each in canvas)
        given = None if init is None else [self.encode(init)] * len(prompts)
        known = None
        if mask is not None:
            painted = Image(self.size, 1, resize=self.resize).encode(mask) >= 128
            known = [(~painted).expand(self.shape)] * len(prompts)
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
        return contact_sheet(samples)

    def strip(self, samples: Sequence[tuple[str, Any]]) -> Picture:
        return contact_sheet(samples, least=96, columns=len(samples))


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


def moments(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean and standard deviation in [-1, 1] of (items, ...) uint8, of 256 of them."""
    count = min(len(pixels), 256)
    some = (pixels[index * len(pixels) // count].astype(np.float32) / 127.5 - 1 for index in range(count))
    averages = np.array([(x.mean(), (x * x).mean()) for x in some], np.float64).mean(0)
    mean, square = float(averages[0]), float(averages[1])
    return round(mean, 4), round(max(0.05, max(0.0, square - mean**2) ** 0.5), 4)


def _resized(image: Pillow.Image, width: int, height: int, how: str) -> Pillow.Image:
    def sized(width: int, height: int, box: tuple[float, float, float, float] | None = None) -> Pillow.Image:
        return image.resize((width, height), Pillow.Resampling.LANCZOS, box, reducing_gap=3.0)

    if how == "stretch":
        return sized(width, height)
    too_wide = image.width * height > image.height * width
    if how == "crop":
        wide = image.height * width / height if too_wide else image.width
        high = image.height if too_wide else image.width * height / width
        left, top = (image.width - wide) / 2, (image.height - high) / 2
        return sized(width, height, (left, top, left + wide, top + high))
    inside = width if too_wide else max(1, round(height * image.width / image.height))
    along = max(1, round(width * image.height / image.width)) if too_wide else height
    padded = Pillow.new(image.mode, (width, height), "white")
    padded.paste(sized(inside, along), ((width - inside) // 2, (height - along) // 2))
    return padded
