"""Clips, made and real, as tensors of one length: what metrics compare films by."""

from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from genai.core.data import PackedDataset
from genai.core.errors import UserError
from genai.metrics.base import EvalContext


class Films(Protocol):
    """A packed split of clips."""

    prompts: list[str]

    def __len__(self) -> int: ...

    def clip(self, index: int) -> NDArray[np.uint8]:
        """(time, channels, height, width) of a whole clip."""
        ...


def made(study: EvalContext, prompts: Sequence[str] | None = None) -> Tensor:
    """(samples, time, channels, height, width) uint8; ``None``: of prompts of the held-out split."""
    check_rate(study)
    asked = study.source.prompts(study.source.val, study.n, study.seed) if prompts is None else prompts
    return stacked(study.samples(asked))


def check_rate(study: EvalContext) -> None:
    """Raises ``UserError`` where samples have another frame rate than the clips of the data."""
    fps = study.options.get("fps")
    own = cast(Any, study.model.modality).fps
    if fps is not None and fps != own:
        raise UserError(f"fps={fps:g}: samples are held against clips of {own:g} frames a second. Leave fps= out.")


def stacked(clips: Sequence[Any]) -> Tensor:
    """(clips, time, channels, height, width) uint8 of clips of one size, cut to the length of the shortest."""
    frames = min(len(clip.frames) for clip in clips)
    return torch.from_numpy(np.stack([clip.frames[:frames].transpose(0, 3, 1, 2) for clip in clips]))


def real(packed: PackedDataset, frames: int, limit: int | None = None) -> Tensor:
    """(clips, frames, channels, height, width) uint8: the beginnings of the clips of ``long_enough``."""
    films = cast(Films, packed)
    return torch.from_numpy(np.stack([films.clip(index)[:frames] for index in long_enough(packed, frames, limit)]))


def long_enough(packed: PackedDataset, frames: int, limit: int | None = None) -> list[int]:
    """``limit`` evenly spaced ones (``None``: all) of the clips that have ``frames``. Raises ``UserError`` for none."""
    films = cast(Films, packed)
    found = [index for index in range(len(films)) if len(films.clip(index)) >= frames]
    if not found:
        raise UserError(f"no clip of the data has {frames} frames, which the samples have: ask for fewer, frames=.")
    count = len(found) if limit is None else min(limit, len(found))
    return [found[position * len(found) // count] for position in range(count)]


def smaller(clips: Tensor, side: int) -> Tensor:
    """Float clips in 0..1, shrunk by means over areas so that no side is longer than ``side`` pixels."""
    values = clips.float() / 255
    height, width = values.shape[-2:]
    if max(height, width) <= side:
        return values
    size = tuple(max(1, round(length * side / max(height, width))) for length in (height, width))
    return interpolate(values.flatten(0, 1), size=size, mode="area").unflatten(0, values.shape[:2])
