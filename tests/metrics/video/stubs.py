"""Stubs for metrics of clips: a modality, a data source and models that return prepared clips."""

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
from tests.metrics.stubs import StubModel


class PackedClips:
    """Clips of a split in memory."""

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


class ClipModality:
    """Clips of 16 frames, 8 per second."""

    media, fps, frames = Clip, 8.0, 16

    def pack(self, split: Split, cache: Path) -> PackedClips:
        return PackedClips(split)


class ClipSource(Source):
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
        examples = [Example(make_clip(clip), f"clip {number}") for number, clip in enumerate(clips)]
        digest = sha256(b"".join(clip.tobytes() for clip in clips)).hexdigest()
        return Split(name, len(clips), examples.__getitem__, digest[:24], [example.prompt for example in examples])


def make_clip(pixels: NDArray[np.uint8]) -> Clip:
    """Return a clip of pixels (time, channels, height, width)."""
    return Clip(np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)), 8.0)


def make_context(source: Source, answer: Callable[[list[str]], list[Any]] | None = None, **fields: Any) -> EvalContext:
    """Return a context with a model that answers prompts with clips; ``fields`` are those of ``EvalContext``."""
    return EvalContext(StubModel(ClipModality(), answer), source, **fields)  # type: ignore[arg-type]


def corrupted(corruption: Callable[[Tensor], Tensor], clips: Sequence[Clip]) -> list[Clip]:
    """Apply a function of ``genai.metrics.video.corruptions`` to ``clips``, with a fixed seed."""
    frames = torch.from_numpy(np.stack([clip.frames.transpose(0, 3, 1, 2) for clip in clips])) / 255
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return [make_clip(pixels) for pixels in (corruption(frames) * 255).round().byte().numpy()]
