"""Clips, made and real, as tensors of one length: what metrics compare films by."""

from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from genai.errors import Mistake
from genai.metrics.base import Study
from genai.modalities.base import Packed


class Films(Protocol):
    """A packed split of clips."""

    def __len__(self) -> int: ...

    def clip(self, index: int) -> NDArray[np.uint8]:
        """(time, channels, height, width) of a whole clip."""
        ...


def made(study: Study, prompts: Sequence[str] | None = None) -> Tensor:
    """(samples, time, channels, height, width) uint8; ``None``: of prompts of the held-out split."""
    asked = study.source.prompts(study.source.val, study.n, study.seed) if prompts is None else prompts
    return stacked(study.samples(asked))


def stacked(clips: Sequence[Any]) -> Tensor:
    """(clips, time, channels, height, width) uint8 of clips of one size, cut to the length of the shortest."""
    frames = min(len(clip.frames) for clip in clips)
    return torch.from_numpy(np.stack([clip.frames[:frames].transpose(0, 3, 1, 2) for clip in clips]))


def real(packed: Packed, frames: int, limit: int | None = None) -> Tensor:
    """(clips, frames, channels, height, width) uint8: the beginning of ``limit`` evenly spaced clips (``None``: all).

    Clips that are shorter are left out. Raises ``Mistake`` where all are.
    """
    films = cast(Films, packed)
    long_enough = [index for index in range(len(films)) if len(films.clip(index)) >= frames]
    if not long_enough:
        raise Mistake(f"no clip of the data has {frames} frames, which the samples have: ask for fewer, frames=.")
    count = len(long_enough) if limit is None else min(limit, len(long_enough))
    chosen = [long_enough[position * len(long_enough) // count] for position in range(count)]
    return torch.from_numpy(np.stack([films.clip(index)[:frames] for index in chosen]))


def smaller(clips: Tensor, side: int) -> Tensor:
    """Float clips in 0..1, shrunk by means over areas so that no side is longer than ``side`` pixels."""
    values = clips.float() / 255
    height, width = values.shape[-2:]
    if max(height, width) <= side:
        return values
    size = tuple(max(1, round(length * side / max(height, width))) for length in (height, width))
    return interpolate(values.flatten(0, 1), size=size, mode="area").unflatten(0, values.shape[:2])
