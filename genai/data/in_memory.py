"""Pictures that are in memory already: what ``genai.fit`` and ``genai.measure`` take as ``data=``."""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, Lt
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from genai.core.cache import cache_key
from genai.core.data import Example, Split, SplitSource
from genai.core.errors import UserError, short_repr
from genai.data.dedup import select_val_indices
from genai.media.picture import Picture

TARGET = f"{__name__}.InMemory"


class InMemory(SplitSource):
    """Pictures, with or without prompts, that were given in Python.

    Args:
        examples: a torch ``Dataset`` or a sequence of pictures or (picture, prompt) pairs, or one array
            (n, height, width, channels) uint8. A picture is a PIL image or an array, with channels first or last, uint8
            or float from 0 to 1. A prompt is a text or a class number, whose name is taken from ``examples.classes``.
        val_fraction: fraction for validation; equal pictures go to the same split.

    Raises:
        UserError: there are no examples, or they are of another type.
    """

    media = Picture
    metrics = ("val_loss", "nearest")

    def __init__(self, examples: Any = None, val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1) -> None:
        if examples is None:
            raise UserError(
                "the data of this run were given in Python: give the same again, genai.fit(..., data=...) "
                "or genai.measure(..., data=...)."
            )
        self.val_fraction = val_fraction
        if not hasattr(examples, "__len__") or not hasattr(examples, "__getitem__"):
            raise UserError(
                f"data= of type {type(examples).__name__}: it should be a Dataset, a list or an array of pictures."
            )
        self.examples = list(_read_examples(examples))

    @cached_property
    def _splits(self) -> tuple[Split, Split]:
        hashes = [_content_hash(example.media) for example in self.examples]
        if len(set(hashes)) < 2:
            raise UserError("data=: two different pictures are needed, one to hold out.")
        val = select_val_indices(hashes, [hashes.index(digest) for digest in hashes], self.val_fraction)
        train = [index for index in range(len(hashes)) if index not in val]
        return self._make_split("train", train, hashes), self._make_split("val", sorted(val), hashes)

    def _make_split(self, name: str, indices: list[int], hashes: list[str]) -> Split:
        examples = [self.examples[index] for index in indices]
        prompts = [example.prompt for example in examples]
        content_hash = cache_key("in memory", [(hashes[index], self.examples[index].prompt) for index in indices])
        return Split(name, len(examples), examples.__getitem__, content_hash, prompts)


def _read_examples(examples: Any) -> Iterator[Example]:
    class_names = getattr(examples, "classes", None)
    for index in range(len(examples)):  # a Dataset need not raise IndexError at its end
        item = examples[index]
        media, label = item if isinstance(item, tuple | list) and len(item) == 2 else (item, "")
        try:
            yield Example(_to_picture(media), _to_prompt(label, class_names))
        except ValueError as error:
            raise UserError(f"data=: item {index}: {error}.") from error


def _to_picture(value: Any) -> Picture:
    """Convert a PIL image or an array. Raises ``ValueError``."""
    if isinstance(value, Picture):
        return value
    if isinstance(value, Pillow.Image):
        return Picture.from_pil(value)
    if isinstance(value, str | int | tuple | Mapping):
        raise ValueError(f"it should be a picture or a (picture, prompt) pair, but has the type {type(value).__name__}")
    pixels: NDArray[Any] = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
        raise ValueError(f"the shape {np.shape(value)} is not that of a picture with 1 or 3 channels")
    if pixels.dtype.kind == "f" and pixels.min() >= 0 and pixels.max() <= 1:
        pixels = np.rint(pixels * 255).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ValueError(f"pixels of type {pixels.dtype}: they should be uint8, or floats from 0 to 1")
    return Picture(np.ascontiguousarray(pixels))


def _to_prompt(label: Any, class_names: Any) -> str:
    """Convert a text or a class number. Raises ``ValueError``."""
    if isinstance(label, str):
        return label
    if isinstance(label, Tensor | np.generic) and label.ndim == 0:
        label = label.item()
    if not isinstance(label, int) or isinstance(label, bool):
        raise ValueError(f"the prompt {short_repr(label)} should be a text or a class number")
    return str(class_names[label]) if class_names else str(label)


def _content_hash(picture: Picture) -> str:
    return hashlib.sha256(str(picture.pixels.shape).encode() + picture.pixels.tobytes()).hexdigest()
