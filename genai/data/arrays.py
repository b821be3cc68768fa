"""Clips and pictures out of arrays: NumPy files of one's own, in the usual layouts."""

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Gt, Le, Lt
from numpy.typing import NDArray

from genai.core.cache import cache_key, track_progress
from genai.core.data import Divided, Example, Split
from genai.core.errors import UserError, short_repr
from genai.data import dedup as alike
from genai.data.captions import printable
from genai.data.numpy_files import NumpyFiles
from genai.media.clip import Clip
from genai.media.picture import Picture

CHANNELS = (1, 3)
LEAST = 4
"""Pixels of a side: fewer are taken for channels in a wrong place."""
AT_ONCE = 2**24
"""Numbers of an array that are looked at together."""


@dataclass(frozen=True, eq=False)
class _Thing:
    """One of the things in an array.

    Attributes:
        values: (..., height, width), or with channels behind or before height and width.
        scale: of the values, so that they are in 0..255.
        plain: dimensions without channels.
        prompt: that describes it.
    """

    values: NDArray[Any]
    scale: int
    plain: int
    prompt: str

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(..., height, width, channels)"""
        values = _channels_last(np.asarray(self.values), self.plain)
        return np.ascontiguousarray(
            values if values.dtype == np.uint8 else np.rint(values * self.scale).astype(np.uint8)
        )

    @cached_property
    def content(self) -> str:
        """A hash of its pixels."""
        pixels = self.pixels
        return hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()


class Arrays(Divided):
    """The things in one array: ``(n, ..., height, width)``, also with 1 or 3 channels behind these two or before them.

    The numbers are uint8, or others in 0..255, or floats in 0..1.

    Args:
        path: an ``.npz``; an ``.npy``; or a folder of ``.npy`` files, whose stems are the names below.
        array: its name; it can be left out where there is only one.
        captions: the name of an array of n strings or whole numbers, the prompts; without it they are empty.
        val_array, val_captions: the same of what is held out, where the data are divided already.
        val_fraction: what is held out where they are not; equal things are on one side.

    Raises:
        UserError: something is not there, is not numbers of this kind, or too little to be divided.
    """

    things: ClassVar[str]
    """What they are, in the plural."""
    layout: ClassVar[tuple[str, ...]]
    """Of one, without channels."""

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
        if val_captions and not val_array:
            raise UserError("data.val_captions= goes with data.val_array=.")

    @abstractmethod
    def medium(self, pixels: NDArray[np.uint8]) -> Any:
        """The media of one thing, (..., height, width, channels)."""

    def cut(self, array: NDArray[Any]) -> Sequence[NDArray[Any]]:
        """The things in ``array``."""
        return list(array)

    @property
    def loaded_as(self) -> Any:
        """What the media depend on besides the pixels."""
        return None

    @property
    def description(self) -> str:
        prompts = len({*(self.train.prompts or ()), *(self.val.prompts or ())})
        counts = f"{len(self.train):,} {self.things} to train on, {len(self.val):,} held out"
        return f"{printable(self.path)}: {counts}, {prompts:,} different prompts"

    @cached_property
    def files(self) -> NumpyFiles:
        """Where the arrays are."""
        return NumpyFiles(self.path)

    @cached_property
    def _splits(self) -> tuple[Split, Split]:
        name = self.array or self.files.usual
        if name is None:
            names = ", ".join(map(short_repr, self.files.names[:20]))
            raise UserError(f"data.array= is missing: which of {names} in {self.files.path}?")
        things = self._things(name, "array", self.captions, "captions")
        if self.val_array:
            held = self._things(self.val_array, "val_array", self.val_captions, "val_captions")
            outside = {thing.content for thing in held}
            kept = [thing for thing in things if thing.content not in outside]
            if left := len(things) - len(kept):
                self.skipped = (f"{left:,} of the {self.things} are held out as well: they are not trained on.",)
        else:
            kept, held = self._divided(things)
        if not kept or not held:
            raise UserError(
                f"data.path={printable(self.path)}: two different {self.things} are needed, one to hold out."
            )
        return self._split("train", kept), self._split("val", held)

    def _divided(self, things: Sequence[_Thing]) -> tuple[list[_Thing], list[_Thing]]:
        contents = [thing.content for thing in things]
        first: dict[str, int] = {}
        numbers = [first.setdefault(content, index) for index, content in enumerate(contents)]
        chosen = alike.held_out(contents, numbers, self.val_fraction) if len(first) > 1 else set()
        kept = [thing for index, thing in enumerate(things) if index not in chosen]
        return kept, [things[index] for index in sorted(chosen)]

    def _split(self, name: str, things: list[_Thing]) -> Split:
        prompts = [thing.prompt for thing in things]
        fingerprint = cache_key(self.things, "array", self.loaded_as, [(each.content, each.prompt) for each in things])
        load = lambda index: Example(self.medium(things[index].pixels), prompts[index])  # noqa: E731
        return Split(name, len(things), load, fingerprint, prompts)

    def _things(self, name: str, argument: str, captions: str | None, said: str) -> list[_Thing]:
        """The things in the array ``name``, looked at once."""
        where = f"'{name}' in {self.files.path}"
        array = self.files.read(name, argument)
        scale, parts, plain = _scale(array, where), self.cut(array), len(self.layout)
        for part in parts:
            if not _has_layout(part.shape, plain):
                raise UserError(
                    f"{where}: one of the {self.things} has the shape {part.shape}. It should be "
                    f"({', '.join(self.layout)}), also with 1 or 3 channels, of {LEAST} pixels a side or more."
                )
        prompts = self._prompts(captions, said, len(parts))
        things = [_Thing(part, scale, plain, prompt) for part, prompt in zip(parts, prompts, strict=True)]
        for thing in track_progress(things, f"looking at {self.things}", len(things)):
            _ = thing.content
        return things

    def _prompts(self, name: str | None, argument: str, count: int) -> list[str]:
        if name is None:
            return [""] * count
        said = self.files.read(name, argument)
        if said.shape != (count,) or said.dtype.kind not in "USiub":
            raise UserError(
                f"'{name}' in {self.files.path} has the shape {said.shape} and the type {said.dtype}: strings or "
                f"whole numbers are needed, one for each of {count:,} {self.things}."
            )
        texts = [each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in said.tolist()]
        return [" ".join(printable(text).split()) for text in texts]


class PictureArrays(Arrays):
    """Pictures: an array ``(n, height, width)``, and as in ``Arrays``."""

    media = Picture
    metrics = ("val_loss", "nearest")
    things, layout = "pictures", ("height", "width")

    def medium(self, pixels: NDArray[np.uint8]) -> Picture:
        return Picture(pixels)


class ClipArrays(Arrays):
    """Clips: an array ``(n, time, height, width)``, and as in ``Arrays``.

    Args:
        fps: frames a second, which an array does not say.
        starts, lengths: names of arrays of n whole numbers, where clips of different lengths lie behind each other in
            one array of frames: the first frame and the number of frames of each.
        frames_first: the array is ``(time, n, height, width)``, as Moving MNIST comes.
    """

    media = Clip
    metrics = ("val_loss", "motion", "frechet", "nearest")
    things, layout = "clips", ("time", "height", "width")

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
    def loaded_as(self) -> Any:
        return self.fps

    def medium(self, pixels: NDArray[np.uint8]) -> Clip:
        return Clip(pixels, self.fps)

    def cut(self, array: NDArray[Any]) -> Sequence[NDArray[Any]]:
        if self.frames_first and array.ndim > 1:
            return list(array.swapaxes(0, 1))
        if self.starts is None or self.lengths is None:
            return list(array)
        starts, lengths = self.files.read(self.starts, "starts"), self.files.read(self.lengths, "lengths")
        whole = starts.dtype.kind in "iu" and lengths.dtype.kind in "iu"
        if not whole or starts.ndim != 1 or starts.shape != lengths.shape:
            raise UserError(
                f"'{self.starts}' and '{self.lengths}' should be rows of whole numbers, equally many of both."
            )
        ranges = list(zip(starts.tolist(), lengths.tolist(), strict=True))
        if wrong := next((pair for pair in ranges if pair[0] < 0 or pair[1] < 1 or sum(pair) > len(array)), None):
            raise UserError(f"{wrong[1]} frames from {wrong[0]} on are not in an array of {len(array):,} frames.")
        return [array[start : start + length] for start, length in ranges]


def _has_layout(shape: tuple[int, ...], plain: int) -> bool:
    """Whether ``shape`` has ``plain`` dimensions, or one more, of channels."""
    if len(shape) == plain + 1:
        shape = shape[:-1] if shape[-1] in CHANNELS else (*shape[:-3], *shape[-2:]) if shape[-3] in CHANNELS else ()
    return len(shape) == plain and 0 not in shape and min(shape[-2:]) >= LEAST


def _channels_last(values: NDArray[Any], plain: int) -> NDArray[Any]:
    """(..., height, width, channels) of any layout that ``_has_layout``."""
    if values.ndim == plain:
        return values[..., None]
    return values if values.shape[-1] in CHANNELS else np.moveaxis(values, -3, -1)


def _scale(array: NDArray[Any], where: str) -> int:
    """What makes 0..255 of ``array``. Raises ``UserError`` naming ``where`` for what cannot be pixels."""
    if array.dtype.kind not in "buif" or array.ndim < 3:
        raise UserError(f"{where} has the type {array.dtype} and the shape {array.shape}: those are no pixels.")
    if array.dtype == np.uint8:
        return 1
    low, high = np.inf, -np.inf
    rows = max(1, AT_ONCE // max(1, int(np.prod(array.shape[1:]))))
    for start in range(0, len(array) if array.size else 0, rows):
        part = array[start : start + rows]
        if not np.isfinite(part).all():
            raise UserError(f"{where} has numbers that are not finite.")
        low, high = min(low, float(part.min())), max(high, float(part.max()))
    if low < 0 or high > 255:
        raise UserError(f"{where} has numbers from {low:g} to {high:g}: pixels are in 0..255, or floats in 0..1.")
    return 255 if array.dtype.kind in "bf" and high <= 1 else 1
