"""The image modality: pictures as uint8 tensors of one size."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Le, Len
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps
from torch import Tensor

from genai.core.batch import Batch, Request
from genai.core.cache import cache_key, cached_file, track_progress, write_json
from genai.core.caption_choice import TagDropout
from genai.core.data import ItemRandom, Split
from genai.core.errors import UserError
from genai.core.instantiate import read_dataclass
from genai.media.base import FileName
from genai.media.picture import Picture, open_picture
from genai.modalities.base import Decoder, Modality
from genai.modalities.image_preview import ImagePreview
from genai.modalities.memmap_dataset import MemmapDataset
from genai.modalities.outpainting import OutpaintSide, place_on_canvas
from genai.modalities.packed_captions import PackedCaptions, pack_prompt
from genai.modalities.pair_preview import PairPreview
from genai.modalities.patch_codec import PATCH, default_basis, fit_patch_basis, plain_codec, restore_codec
from genai.trust.watermarks.key import WatermarkKey, read_key
from genai.trust.watermarks.pictures import MIN_SIDE, add_to_picture

Side = Annotated[int, Ge(4), Le(4096)]
MIN_CODEC_SIDE = 64
"""In pixels, from which ``codec=auto`` is ``pca``."""
MASKS = ".masks"
"""Suffix of the file with the masks of a packed split."""
STEPS_NOTE = "steps=1 makes the mean of what it can be (highest PSNR), more steps draw one of them (sharper)"


@dataclass(frozen=True)
class ImageOptions:
    """Options of a request for images.

    Attributes:
        mask: an image file for inpainting: white areas of ``init`` are generated, black ones are kept bit for bit.
        outpaint: the part of the canvas that is generated. ``init`` is placed in the other half, or with ``around`` in
            the middle; it is resized once, and then kept bit for bit.
        watermark: change pixels, also kept ones, so that ``genai verify`` finds a watermark; from 256 x 256 pixels.
    """

    mask: FileName | None = None
    outpaint: OutpaintSide | None = None
    watermark: bool = False


@dataclass(frozen=True)
class PixelStatistics:
    """Mean and standard deviation of pixels in [-1, 1]."""

    mean: Annotated[float, Ge(-1), Le(1)]
    std: Annotated[float, Ge(1e-3), Le(1)]


class Image(Modality):
    """Images of one size; with ``upscale``, images made from smaller ones of any size.

    Args:
        size: side of a square, or height and width, in pixels.
        channels: 1 (gray) or 3 (RGB).
        flip: mirror half of the training images; not for data in which left and right matter.
        resize: how pictures of other shapes are fitted: ``crop`` keeps the middle, ``pad`` adds white, ``stretch``
            distorts.
        codec: what the network works on: pixels (``None``), or coefficients of patches of 8 x 8 pixels (``pca``).
            ``auto``: ``pca`` if both sides are multiples of 16 and at least 64 pixels. A mapping: latents of an
            ``Autoencoder`` with these arguments, whose weights are in the method.
        upscale: samples have so many times the sides of ``init``, which they need; ``None``: they have ``size``.
    """

    media = Picture
    Options = ImageOptions
    size_options = ("size",)

    def __init__(
        self,
        size: Side | Annotated[list[Side], Len(2, 2)] = 32,
        channels: Literal[1, 3] = 3,
        flip: bool = False,
        resize: Literal["crop", "pad", "stretch"] = "crop",
        codec: Literal["auto", "pca"] | dict[str, int] | None = None,
        upscale: Literal[2, 4] | None = None,
    ) -> None:
        self.size, self.channels, self.flip, self.resize = size, channels, flip, resize
        if codec == "auto":
            is_large = all(side >= MIN_CODEC_SIDE and side % (2 * PATCH) == 0 for side in self.shape[1:])
            codec = "pca" if is_large and not upscale else None
        self.autoencoder = codec if isinstance(codec, dict) else {}
        self.codec = "learned" if isinstance(codec, dict) else codec
        self.upscale, self.required_option = upscale, "init" if upscale else ""
        self.mean, self.std = 0.0, 0.5
        self.codec_state = default_basis(channels) if codec == "pca" else {}
        if self.codec == "learned" and "latents" not in self.autoencoder:
            raise ValueError("codec.latents is missing")
        if codec and any(side % PATCH for side in self.shape[1:]):
            raise ValueError(
                f"codec={self.codec} needs sides that are multiples of {PATCH}, and {self.description} are not."
            )
        if codec and upscale:
            raise ValueError(f"codec={self.codec} drops the detail that upscale={upscale} should learn: codec=null.")
        if upscale and any(side % upscale for side in self.shape[1:]):
            raise ValueError(f"upscale={upscale} needs sides that are multiples of it, and size={size} is not.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)"""
        height, width = (self.size, self.size) if isinstance(self.size, int) else self.size
        return self.channels, height, width

    @property
    def description(self) -> str:
        _, height, width = self.shape
        size = f"{width} x {height} pixels{', gray' * (self.channels == 1)}"
        return f"pictures of {self.upscale} times the sides of init=, as learned from {size}" if self.upscale else size

    @property
    def fitting(self) -> str:
        ways = {"crop": "cut to their middle part", "pad": "padded with white", "stretch": "stretched"}
        return f"other shapes are {ways[self.resize]}"

    @property
    def interface(self) -> dict[str, Any]:
        sizes: dict[str, Any] = {"mean": self.mean, "std": self.std, "color_channels": self.channels}
        if self.upscale:
            sizes["upscale"] = self.upscale
        if not self.codec:
            return {"shape": self.shape, **sizes, "scaling": {"_target_": "genai.methods.scaling.PixelScaling"}}
        _, height, width = self.shape
        positions = (height // PATCH, width // PATCH)
        if self.autoencoder:
            network = {**self.autoencoder, "_target_": "genai.networks.autoencoder.Autoencoder"}
            scaling = {"_target_": "genai.methods.scaling.LearnedScaling", "autoencoder": network}
            return {"shape": (self.autoencoder["latents"], *positions), "patch": 1, **sizes, "scaling": scaling}
        shape = (len(self.codec_state["centers"]), *positions)
        values = {name: value.tolist() for name, value in self.codec_state.items()}
        scaling = {"_target_": "genai.methods.scaling.PatchScaling", **values}
        refiner = {"_target_": "genai.networks.refiner.Refiner", "channels": self.channels, "coefficients": shape[0]}
        return {"shape": shape, "patch": 1, **sizes, "scaling": scaling, "refiner": refiner | {"stride": PATCH}}

    def fit(self, split: Split, cache: Path) -> None:
        """Compute mean and standard deviation of the training pixels in [-1, 1], and the basis of the codec."""
        self.fit_pixels(self.pack(split, cache).pixels)

    def fit_pixels(self, pixels: NDArray[np.uint8]) -> None:
        """Do the same for ``pixels`` (pictures, channels, height, width)."""
        self.mean, self.std = pixel_mean_std(pixels)
        if self.codec_state:
            self.codec_state = fit_patch_basis(pixels, self.mean, self.std)

    def state(self) -> dict[str, Any]:
        return {
            "mean": self.mean,
            "std": self.std,
            **({"codec": plain_codec(self.codec_state)} if self.codec_state else {}),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        statistics = read_dataclass(PixelStatistics, state)
        self.mean, self.std = statistics.mean, statistics.std
        if self.codec_state:
            self.codec_state = restore_codec(state.get("codec"), self.channels)

    def encode(self, media: Any) -> Tensor:
        """Convert a picture of any size to (channels, height, width) uint8."""
        image = self._convert(media)
        _, height, width = self.shape
        return _to_tensor(image if image.size == (width, height) else _resize(image, width, height, self.resize))

    def _convert(self, picture: Picture) -> Pillow.Image:
        return picture.image.convert("L" if self.channels == 1 else "RGB")

    def decode(self, x: Tensor) -> Picture:
        return Picture(x.permute(1, 2, 0).contiguous().numpy())

    def decoder(self, init: Tensor | None, options: ImageOptions) -> Decoder:
        return ImageDecoder(self, init, read_key() if options.watermark else None)

    def pack(self, split: Split, cache: Path) -> "PackedImages":
        key = cache_key(split.content_hash, "images", self.shape, self.resize)
        has_masks = split.unmasked_weight is not None

        def write(path: Path) -> None:
            prompts = []
            masks = path.with_suffix(MASKS).open("wb") if has_masks else nullcontext()
            with path.open("wb") as file, masks as mask_file:
                for example in track_progress(split, f"reading images ({split.name})", len(split)):
                    file.write(self.encode(example.media).numpy().tobytes())
                    prompts.append(pack_prompt(example))
                    if mask_file:
                        mask_file.write(self._encode_mask(example.mask).numpy().tobytes())
            write_json(path.with_suffix(".json"), prompts)

        path = cached_file(cache / f"{key}.u1", write, ".json", *[MASKS] * has_masks)
        return PackedImages(path, self.shape, self.flip, split.unmasked_weight, split.tag_dropout)

    def _encode_mask(self, mask: Picture | None) -> Tensor:
        """Fit a gray picture as the picture that it belongs to, with black where that is padded; ``None``: white."""
        if mask is None:
            return torch.full(self.shape[1:], 255, dtype=torch.uint8)
        negative = Picture.from_pil(ImageOps.invert(mask.image.convert("L")))  # padding is white
        return 255 - Image(self.size, 1, resize=self.resize).encode(negative)[0]

    def request(self, prompts: list[str], seeds: list[int], init: Any, options: ImageOptions) -> Request:
        if self.upscale:
            return self._upscale_request(prompts, seeds, init, options)
        _check_watermark(options, self.shape)
        if options.mask is not None and init is None:
            raise UserError("mask= selects a part of an image to generate: give init= as well.")
        if options.outpaint is not None and init is None:
            raise UserError("outpaint= extends an image: give init= as well.")
        if options.outpaint is not None and options.mask is not None:
            raise UserError("mask= and outpaint= cannot be combined: give one of them.")
        mask = None if options.mask is None else _read_mask(Path(options.mask).expanduser(), init.image.size)
        if options.outpaint is not None:
            canvas = place_on_canvas(init.image.convert("RGB"), self.shape[:0:-1], options.outpaint)
            init, mask = (Picture.from_pil(image) for image in canvas)
        encoded = None if init is None else [self.encode(init)] * len(prompts)
        init_mask = None
        if mask is not None:
            keep_mask = (self._encode_mask(mask) < 128)[None]  # also the padding
            init_mask = [keep_mask.expand(self.shape)] * len(prompts)
        return Request(prompts, seeds, self.shape, init=encoded, init_mask=init_mask)

    def _upscale_request(self, prompts: list[str], seeds: list[int], init: Any, options: ImageOptions) -> Request:
        """Build a request that enlarges ``init`` as it is. Raises ``UserError``."""
        if init is None:
            raise UserError("this model enlarges pictures: give one with init=FILE, or then=RUN to another model.")
        for name in ("mask", "outpaint"):
            if getattr(options, name) is not None:
                raise UserError(f"{name}= paints a part of a picture, and this model enlarges all of it. Leave it out.")
        small = _to_tensor(self._convert(init))
        size = (self.channels, *(self.upscale * side for side in small.shape[1:]))  # type: ignore[operator]
        _check_watermark(options, size)
        return Request(prompts, seeds, size, init=[small] * len(prompts))

    def request_notes(self, init: Any, options: ImageOptions) -> list[str]:
        """Return notes about how ``init`` and the mask are fitted."""
        if self.upscale and init is not None:
            width, height = init.image.size
            sizes = f"{_size_text(init.image.size)} becomes {self.upscale * width} x {self.upscale * height}"
            return [f"init= of {sizes}; {STEPS_NOTE}"]
        if init is None or options.outpaint is not None:
            return []
        notes = [note] if (note := self.fitting_note(init.image.size)) else []
        if options.mask is not None:
            with open_picture(Path(options.mask).expanduser()) as image:
                size = ImageOps.exif_transpose(image).size
            if size != init.image.size:
                notes.append(f"mask= of {_size_text(size)} is stretched to the {_size_text(init.image.size)} of init=")
        return notes

    def fitting_note(self, size: tuple[int, int]) -> str:
        """Say how a picture of (width, height) pixels is fitted; "" if it has the size of the model."""
        model_size = self.shape[:0:-1]
        if size == model_size:
            return ""
        same_shape = size[0] * model_size[1] == size[1] * model_size[0]
        steps = {"crop": "cut to its middle part and ", "pad": "padded with white and ", "stretch": "stretched and "}
        changed = "" if same_shape else steps[self.resize]
        return f"init= of {_size_text(size)} is {changed}resized to {_size_text(model_size)}"

    def preview(self) -> ImagePreview:
        return ImagePreview(self) if self.upscale else PairPreview(self)


class ImageDecoder:
    """A ``Decoder`` whose ``push`` returns the whole picture so far."""

    done = False

    def __init__(self, image: Image, init: Tensor | None, key: WatermarkKey | None) -> None:
        self.key = key
        blank = torch.zeros(image.shape, dtype=torch.uint8)
        self.image, self.latest = image, image.decode(blank if init is None else init)
        self.initial = self.latest

    def push(self, start: int, x: Tensor) -> Picture:
        self.latest = self.image.decode(x)
        return self.latest

    def result(self) -> Picture:
        return add_to_picture(self.latest, self.key) if self.key else self.latest


class PackedImages(MemmapDataset):
    """A split as one memory-mapped array (items, channels, height, width), its prompts, and masks if there are any.

    Args:
        path: of the pixels.
        shape: (channels, height, width)
        flip: mirror half of the items in training.
        unmasked_weight: weight of the loss where masks, (items, height, width), are black; ``None``: there are none.
        tag_dropout: of the prompts.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int, int],
        flip: bool,
        unmasked_weight: float | None = None,
        tag_dropout: TagDropout | None = None,
    ) -> None:
        super().__init__(path, shape, flip, unmasked_weight, tag_dropout)
        self.flip, self.pixels, self.unmasked_weight = flip, self.memmap(np.uint8, shape), unmasked_weight
        self.masks = None if unmasked_weight is None else self.memmap(np.uint8, shape[1:], MASKS)
        self.prompts = PackedCaptions(self.read_index(), tag_dropout)

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> Batch:
        """Return a batch whose ``x`` is (batch, channels, height, width) uint8, with prompts and ``loss_mask``."""
        planes = [self.pixels, *([] if self.masks is None else [self.masks[:, None]])]
        planes = [plane[np.asarray(indices)] for plane in planes]
        if self.flip and random is not None:
            flip = random.uniform(purpose="flip")[:, 0] < 0.5
            for plane in planes:
                plane[flip] = plane[flip, ..., ::-1]
        pixels, *masks = (torch.from_numpy(np.ascontiguousarray(plane)) for plane in planes)
        low = self.unmasked_weight or 0.0
        loss_mask = low + (1 - low) / 255 * masks[0].float() if masks else None
        return Batch(pixels, self.prompts.draw(indices, random), loss_mask=loss_mask)


def _to_tensor(image: Pillow.Image) -> Tensor:
    """Return an image as (channels, height, width) uint8."""
    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def _check_watermark(options: ImageOptions, size: tuple[int, ...]) -> None:
    """Raise ``UserError`` if samples of (channels, height, width) are too small for a watermark."""
    if options.watermark and min(size[1:]) < MIN_SIDE:
        raise UserError(
            f"watermark=true: pictures below {MIN_SIDE} x {MIN_SIDE} pixels hold none, and these have "
            f"{_size_text((size[2], size[1]))}. Leave it out."
        )


def _size_text(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} pixels"


def _read_mask(path: Path, size: tuple[int, int]) -> Picture:
    """Read a mask of a picture of (width, height) pixels: stretched to that size, so that both are cut alike.

    Raises:
        UserError: it cannot be read, or parts of it are transparent, which could mean both.
    """
    with open_picture(path) as image:
        if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] < 255:  # type: ignore[operator]
            raise UserError(f"mask={path} has transparent areas: save it without; white is generated, black is kept.")
    mask = Picture.read(path)
    if mask.image.size == size:
        return mask
    return Picture.from_pil(mask.image.convert("L").resize(size, Pillow.Resampling.BILINEAR))


def pixel_mean_std(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Return mean and standard deviation in [-1, 1] of ``pixels`` (items, ...), estimated from 256 items."""
    count = min(len(pixels), 256)
    subset = (pixels[index * len(pixels) // count].astype(np.float32) / 127.5 - 1 for index in range(count))
    averages = np.array([(x.mean(), (x * x).mean()) for x in subset], np.float64).mean(0)
    mean, square = float(averages[0]), float(averages[1])
    return round(mean, 4), round(max(0.05, max(0.0, square - mean**2) ** 0.5), 4)


def _resize(image: Pillow.Image, width: int, height: int, mode: str) -> Pillow.Image:
    """Resize to ``width`` x ``height``; ``mode`` is ``crop``, ``pad`` or ``stretch``."""

    def resample(width: int, height: int, box: tuple[float, float, float, float] | None = None) -> Pillow.Image:
        return image.resize((width, height), Pillow.Resampling.LANCZOS, box, reducing_gap=3.0)

    if mode == "stretch":
        return resample(width, height)
    too_wide = image.width * height > image.height * width
    if mode == "crop":
        crop_width = image.height * width / height if too_wide else image.width
        crop_height = image.height if too_wide else image.width * height / width
        left, top = (image.width - crop_width) / 2, (image.height - crop_height) / 2
        return resample(width, height, (left, top, left + crop_width, top + crop_height))
    inner_width = width if too_wide else max(1, round(height * image.width / image.height))
    inner_height = max(1, round(width * image.height / image.width)) if too_wide else height
    padded = Pillow.new(image.mode, (width, height), "white")
    padded.paste(resample(inner_width, inner_height), ((width - inner_width) // 2, (height - inner_height) // 2))
    return padded
