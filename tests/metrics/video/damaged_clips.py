"""Clips that nobody filmed: their modality and data, as far as metrics look at them."""

from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genai.core.batch import Batch
from genai.core.data import Example, Source, Split
from genai.media.clip import Clip
from genai.metrics.base import EvalContext
from tests.metrics.stubs import Model


class PackedDataset:
    """The clips of a split, held in memory."""

    def __init__(self, split: Split) -> None:
        examples = list(split)
        self.clips = [example.media.frames.transpose(0, 3, 1, 2) for example in examples]
        self.prompts = [example.prompt for example in examples]

    def __len__(self) -> int:
        return len(self.clips)

    def clip(self, index: int) -> NDArray[np.uint8]:
        return self.clips[index]

    def batch(self, indices: Sequence[int], random: Any) -> Batch:
        return Batch(torch.from_numpy(np.stack([self.clips[index] for index in indices])))


class Films:
    """Of 8 frames a second."""

    media, fps = Clip, 8.0

    def pack(self, split: Split, cache: Path) -> PackedDataset:
        return PackedDataset(split)


class Reel(Source):
    """Clips (clips, time, channels, height, width); every fourth is held out."""

    media = Clip

    def __init__(self, clips: Sequence[NDArray[np.uint8]]) -> None:
        self.clips = clips

    @cached_property
    def train(self) -> Split:
        return self._split("train", [clip for number, clip in enumerate(self.clips) if number % 4])

    @cached_property
    def val(self) -> Split:
        return self._split("val", list(self.clips[::4]))

    def _split(self, name: str, clips: list[NDArray[np.uint8]]) -> Split:
        examples = [Example(film(clip), f"clip {number}") for number, clip in enumerate(clips)]
        digest = sha256(b"".join(clip.tobytes() for clip in clips)).hexdigest()
        return Split(name, len(clips), examples.__getitem__, digest[:24], [example.prompt for example in examples])


def film(pixels: NDArray[np.uint8]) -> Clip:
    """Of (time, channels, height, width)."""
    return Clip(np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)), 8.0)


def study(source: Source, answer: Callable[[list[str]], list[Any]] | None = None, **about: Any) -> EvalContext:
    """Of a model that answers prompts with clips."""
    return EvalContext(Model(Films(), answer), source, **about)  # type: ignore[arg-type]


def after(damage: Callable[[Tensor], Tensor], clips: Sequence[Clip]) -> list[Clip]:
    """``clips`` behind one of ``genai.metrics.video.corruptions``; the same every time."""
    frames = torch.from_numpy(np.stack([clip.frames.transpose(0, 3, 1, 2) for clip in clips])) / 255
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return [film(pixels) for pixels in (damage(frames) * 255).round().byte().numpy()]
