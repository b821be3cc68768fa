"""Pictures and clips from arrays in NumPy files, in the usual layouts."""

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Gt, Le, Lt
from numpy.typing import NDArray

from genai.core.cache import cache_key, track_progress
from genai.core.data import Example, Split, SplitSource
from genai.core.errors import UserError, short_repr
from genai.core.terminal import printable
from genai.data.captions import describe_prompts
from genai.data.dedup import select_val_indices
from genai.data.numpy_files import NumpyFiles
from genai.media.clip import Clip
from genai.media.picture import Picture

CHANNEL_COUNTS = (1, 3)
MIN_SIDE = 4
"""Smallest side in pixels; a shorter one is more likely a misplaced channel dimension."""
BLOCK_SIZE = 2**24
"""Number of array values that are checked at once."""


@dataclass(frozen=True, eq=False)
class _ArrayItem:
    """One item of an array.

    Attributes:
        values: (..., height, width), optionally with channels after or before height and width.
        scale: factor that brings the values to 0..255.
        num_dims: number of dimensions without channels.
        prompt: the text that describes the item.
        row: its index in the array.
    """

    values: NDArray[Any]
    scale: int
    num_dims: int
    prompt: str
    row: int

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """Pixels (..., height, width, channels)."""
        values = _to_channels_last(np.asarray(self.values), self.num_dims)
        return np.ascontiguousarray(
            values if values.dtype == np.uint8 else np.rint(values * self.scale).astype(np.uint8)
        )

    @cached_property
    def content_hash(self) -> str:
        """Hash of the pixels."""
        pixels = self.pixels
        return hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()


class Arrays(SplitSource):
    """The items of one array ``(n, ..., height, width)``, optionally with 1 or 3 channels after or before these two.

    The values are uint8, other numbers in 0..255, or floats in 0..1.

    Args:
        path: an ``.npz``; an ``.npy``; or a folder of ``.npy`` files, whose stems are the names below.
        array: name of the array; optional if there is only one.
        captions: name of an array of n strings or whole numbers, the prompts; empty prompts by default.
        val_array, val_captions: names of the validation data, if they are separate arrays.
        val_fraction: fraction for validation if they are not; equal items go to the same split.

    Raises:
        UserError: an array is missing, has another type or layout, or has too few items to split.
    """

    item_name: ClassVar[str]
    """Plural noun for the items, used in messages."""
    layout: ClassVar[tuple[str, ...]]
    """Dimensions of one item, without channels."""

    def __init__(
        self,
        path: str,
        array: str | None = None,
        captions: str | None = None,
        val_array: str | None = None,
        val_captions: str | None = None,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
    ) -> None:
        self.path, self.val_fraction = path, val_fraction
        self.array, self.captions, self.val_array, self.val_captions = array, captions, val_array, val_captions
        self.skipped = ()
        self._rows: dict[str, list[int]] = {}
        if val_captions and not val_array:
            raise UserError("data.val_captions= goes with data.val_array=.")

    @abstractmethod
    def to_media(self, pixels: NDArray[np.uint8]) -> Any:
        """Convert the pixels (..., height, width, channels) of one item."""

    def split_array(self, array: NDArray[Any]) -> Sequence[NDArray[Any]]:
        """Return the items of ``array``."""
        return list(array)

    @property
    def load_options(self) -> Any:
        """Options that change the media besides the pixels, for the content hash."""
        return None

    @property
    def description(self) -> str:
        prompts = describe_prompts([*(self.train.prompts or ()), *(self.val.prompts or ())])
        counts = f"{len(self.train):,} {self.item_name} to train on, {len(self.val):,} held out"
        return f"{printable(self.path)}: {counts}, {prompts}"

    @cached_property
    def files(self) -> NumpyFiles:
        """The files that hold the arrays."""
        return NumpyFiles(self.path)

    @cached_property
    def _splits(self) -> tuple[Split, Split]:
        name = self.array or self.files.default_name
        if name is None:
            names = ", ".join(map(short_repr, self.files.names[:20]))
            raise UserError(f"data.array= is missing: which of {names} in {self.files.path}?")
        items = self._read_items(name, "array", self.captions, "captions")
        if self.val_array:
            val = self._read_items(self.val_array, "val_array", self.val_captions, "val_captions")
            val_hashes = {item.content_hash for item in val}
            train = [item for item in items if item.content_hash not in val_hashes]
            if count := len(items) - len(train):
                self.skipped = (
                    f"{count:,} of the {self.item_name} are also in the validation data: they are not trained on.",
                )
        else:
            train, val = self._split_items(items)
        if not train or not val:
            raise UserError(
                f"data.path={printable(self.path)}: two different {self.item_name} are needed, one to hold out."
            )
        return self._make_split("train", train), self._make_split("val", val)

    @property
    def column_names(self) -> Sequence[str]:
        """Names of the other arrays, if one array has both splits: those of n strings or whole numbers are columns."""
        used = {self.array or self.files.default_name, getattr(self, "starts", None), getattr(self, "lengths", None)}
        return [] if self.val_array else sorted(set(self.files.names) - used)

    def _column(self, split: str, name: str) -> list[str]:
        values = self._read_prompts(name, "captions", sum(map(len, self._rows.values())))
        return [values[row] for row in self._rows[split]]

    def _split_items(self, items: Sequence[_ArrayItem]) -> tuple[list[_ArrayItem], list[_ArrayItem]]:
        hashes = [item.content_hash for item in items]
        first: dict[str, int] = {}
        group_ids = [first.setdefault(content_hash, index) for index, content_hash in enumerate(hashes)]
        val = select_val_indices(hashes, group_ids, self.val_fraction) if len(first) > 1 else set()
        train = [item for index, item in enumerate(items) if index not in val]
        return train, [items[index] for index in sorted(val)]

    def _make_split(self, name: str, items: list[_ArrayItem]) -> Split:
        prompts = [item.prompt for item in items]
        self._rows[name] = [item.row for item in items]
        content = [(item.content_hash, item.prompt) for item in items]
        content_hash = cache_key(self.item_name, "array", self.load_options, content)
        load = lambda index: Example(self.to_media(items[index].pixels), prompts[index])  # noqa: E731
        return Split(name, len(items), load, content_hash, prompts, load_column=partial(self._column, name))

    def _read_items(self, name: str, argument: str, captions: str | None, captions_argument: str) -> list[_ArrayItem]:
        """Read and check the items of the array ``name``."""
        where = f"'{name}' in {self.files.path}"
        array = self.files.read(name, argument)
        scale, parts, num_dims = _pixel_scale(array, where), self.split_array(array), len(self.layout)
        for part in parts:
            if not _has_layout(part.shape, num_dims):
                raise UserError(
                    f"{where}: one of the {self.item_name} has the shape {part.shape}. It should be "
                    f"({', '.join(self.layout)}), optionally with 1 or 3 channels, at least {MIN_SIDE} pixels a side."
                )
        prompts = self._read_prompts(captions, captions_argument, len(parts))
        items = [
            _ArrayItem(part, scale, num_dims, prompt, row)
            for row, (part, prompt) in enumerate(zip(parts, prompts, strict=True))
        ]
        for item in track_progress(items, f"checking {self.item_name}", len(items)):
            _ = item.content_hash
        return items

    def _read_prompts(self, name: str | None, argument: str, count: int) -> list[str]:
        if name is None:
            return [""] * count
        array = self.files.read(name, argument)
        if array.shape != (count,) or array.dtype.kind not in "USiub":
            raise UserError(
                f"'{name}' in {self.files.path} has the shape {array.shape} and the type {array.dtype}: strings or "
                f"whole numbers are needed, one for each of {count:,} {self.item_name}."
            )
        values = array.tolist()
        texts = [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values]
        return [" ".join(printable(text).split()) for text in texts]


class PictureArrays(Arrays):
    """Pictures from an array ``(n, height, width)``; see ``Arrays``."""

    media = Picture
    metrics = ("val_loss", "nearest")
    item_name, layout = "pictures", ("height", "width")

    def to_media(self, pixels: NDArray[np.uint8]) -> Picture:
        return Picture(pixels)


class ClipArrays(Arrays):
    """Clips from an array ``(n, time, height, width)``; see ``Arrays``.

    Args:
        fps: frames per second.
        starts, lengths: for clips of different lengths concatenated in one array of frames, names of arrays of n whole
            numbers with the first frame and the number of frames of each clip.
        frames_first: the array is ``(time, n, height, width)``, as in Moving MNIST.
    """

    media = Clip
    metrics = ("val_loss", "motion", "frechet", "nearest")
    item_name, layout = "clips", ("time", "height", "width")

    def __init__(
        self,
        path: str,
        array: str | None = None,
        captions: str | None = None,
        val_array: str | None = None,
        val_captions: str | None = None,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        fps: Annotated[float, Gt(0), Le(240)] = 8.0,
        starts: str | None = None,
        lengths: str | None = None,
        frames_first: bool = False,
    ) -> None:
        super().__init__(path, array, captions, val_array, val_captions, val_fraction)
        self.fps, self.starts, self.lengths, self.frames_first = fps, starts, lengths, frames_first
        if (starts is None) != (lengths is None) or (starts and (val_array or frames_first)):
            raise UserError(
                "data.starts= and data.lengths= go together, without data.val_array= and data.frames_first=."
            )

    @property
    def load_options(self) -> Any:
        return self.fps

    def to_media(self, pixels: NDArray[np.uint8]) -> Clip:
        return Clip(pixels, self.fps)

    def split_array(self, array: NDArray[Any]) -> Sequence[NDArray[Any]]:
        if self.frames_first and array.ndim > 1:
            return list(array.swapaxes(0, 1))
        if self.starts is None or self.lengths is None:
            return list(array)
        starts, lengths = self.files.read(self.starts, "starts"), self.files.read(self.lengths, "lengths")
        is_integer = starts.dtype.kind in "iu" and lengths.dtype.kind in "iu"
        if not is_integer or starts.ndim != 1 or starts.shape != lengths.shape:
            raise UserError(
                f"'{self.starts}' and '{self.lengths}' should be one-dimensional arrays of whole numbers of one length."
            )
        ranges = list(zip(starts.tolist(), lengths.tolist(), strict=True))
        invalid = next((pair for pair in ranges if pair[0] < 0 or pair[1] < 1 or sum(pair) > len(array)), None)
        if invalid:
            raise UserError(f"{invalid[1]} frames from {invalid[0]} on are not in an array of {len(array):,} frames.")
        return [array[start : start + length] for start, length in ranges]


def _has_layout(shape: tuple[int, ...], num_dims: int) -> bool:
    """Return whether ``shape`` has ``num_dims`` dimensions, or one more for channels that are last or third to last."""
    if len(shape) == num_dims + 1:
        if shape[-1] in CHANNEL_COUNTS:
            shape = shape[:-1]
        elif shape[-3] in CHANNEL_COUNTS:
            shape = (*shape[:-3], *shape[-2:])
        else:
            return False
    return len(shape) == num_dims and 0 not in shape and min(shape[-2:]) >= MIN_SIDE


def _to_channels_last(values: NDArray[Any], num_dims: int) -> NDArray[Any]:
    """Convert any layout accepted by ``_has_layout`` to (..., height, width, channels)."""
    if values.ndim == num_dims:
        return values[..., None]
    return values if values.shape[-1] in CHANNEL_COUNTS else np.moveaxis(values, -3, -1)


def _pixel_scale(array: NDArray[Any], where: str) -> int:
    """Return the factor that brings ``array`` to 0..255. Raises ``UserError`` naming ``where`` for other values."""
    if array.dtype.kind not in "buif" or array.ndim < 3:
        raise UserError(f"{where} has the type {array.dtype} and the shape {array.shape}: these are not pixels.")
    if array.dtype == np.uint8:
        return 1
    low, high = np.inf, -np.inf
    rows = max(1, BLOCK_SIZE // max(1, int(np.prod(array.shape[1:]))))
    for start in range(0, len(array) if array.size else 0, rows):
        part = array[start : start + rows]
        if not np.isfinite(part).all():
            raise UserError(f"{where} has values that are not finite.")
        low, high = min(low, float(part.min())), max(high, float(part.max()))
    if low < 0 or high > 255:
        raise UserError(f"{where} has values from {low:g} to {high:g}: pixels are in 0..255, or floats in 0..1.")
    return 255 if array.dtype.kind in "bf" and high <= 1 else 1
