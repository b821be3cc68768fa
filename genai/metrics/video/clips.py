"""Samples and real clips as tensors of one length, for metrics that compare clips."""

from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from genai.core.data import PackedDataset
from genai.core.errors import UserError
from genai.core.progress import ProgressBar
from genai.media.clip import Clip
from genai.metrics.base import EvalContext


class ClipDataset(Protocol):
    """A packed split of clips."""

    prompts: list[str]

    def __len__(self) -> int: ...

    def clip(self, index: int) -> NDArray[np.uint8]:
        """Return a whole clip (time, channels, height, width)."""
        ...


def sample_clips(context: EvalContext, prompts: Sequence[str] | None = None) -> Tensor:
    """Return samples (clips, time, channels, height, width) uint8.

    Args:
        prompts: one for each sample; ``None``: prompts of the held-out split.
    """
    check_frame_rate(context)
    if prompts is None:
        prompts = context.source.prompts(context.source.val, context.n, context.seed)
    return stack_clips(context.samples(prompts))


def check_frame_rate(context: EvalContext) -> None:
    """Raise ``UserError`` if samples have another frame rate than the clips of the data."""
    sample_fps = context.options.get("fps")
    fps = cast(Any, context.model.modality).fps
    if sample_fps is not None and sample_fps != fps:
        raise UserError(
            f"fps={sample_fps:g}: samples are compared with clips of {fps:g} frames a second. Leave fps= out."
        )


def stack_clips(clips: Sequence[Any]) -> Tensor:
    """Stack clips of one size, cut to the length of the shortest: (clips, time, channels, height, width) uint8."""
    num_frames = min(len(clip.frames) for clip in clips)
    return torch.from_numpy(np.stack([clip.frames[:num_frames].transpose(0, 3, 1, 2) for clip in clips]))


def real_clips(packed: PackedDataset, num_frames: int, limit: int | None = None) -> Tensor:
    """Return the first frames of the clips of ``long_clip_indices``: (clips, time, channels, height, width) uint8."""
    dataset, indices = cast(ClipDataset, packed), long_clip_indices(packed, num_frames, limit)
    return torch.from_numpy(np.stack([dataset.clip(index)[:num_frames] for index in indices]))


def long_clip_indices(packed: PackedDataset, num_frames: int, limit: int | None = None) -> list[int]:
    """Return the indices of clips with at least ``num_frames``: ``limit`` evenly spaced ones, or all.

    Raises:
        UserError: there is no such clip.
    """
    dataset = cast(ClipDataset, packed)
    indices = [index for index in range(len(dataset)) if len(dataset.clip(index)) >= num_frames]
    if not indices:
        raise UserError(f"no clip of the data has {num_frames} frames, which the samples have: ask for fewer, frames=.")
    count = len(indices) if limit is None else min(limit, len(indices))
    return [indices[position * len(indices) // count] for position in range(count)]


def clip_prompts(packed: PackedDataset, num_frames: int, limit: int | None = None) -> list[str]:
    """Return the prompts of the clips of ``long_clip_indices``."""
    return [cast(ClipDataset, packed).prompts[index] for index in long_clip_indices(packed, num_frames, limit)]


def continue_clips(context: EvalContext, clips: Tensor, prompts: Sequence[str], num_given: int) -> Tensor:
    """Continue the first ``num_given`` frames of each of ``clips``, up to the length of these.

    Returns:
        (clips, time, channels, height, width) uint8, without the given frames; no frames if the model adds none.
    """
    modality: Any = context.model.modality
    options = {**context.options, "frames": clips.shape[1]}
    samples: list[Any] = []
    with ProgressBar("continued clips", len(clips)) as bar:
        for index, (clip, prompt) in enumerate(zip(clips, prompts, strict=True)):
            init = Clip(np.ascontiguousarray(clip[:num_given].permute(0, 2, 3, 1).numpy()), modality.fps)
            samples += context.model.sample(prompt, seed=context.seed + index, init=init, **options)
            bar.step()
    return stack_clips(samples)[:, num_given : clips.shape[1]]


def shrink(clips: Tensor, max_side: int) -> Tensor:
    """Convert uint8 clips to floats in 0..1, and downscale them by area to at most ``max_side`` pixels a side."""
    values = clips.float() / 255
    height, width = values.shape[-2:]
    if max(height, width) <= max_side:
        return values
    size = tuple(max(1, round(length * max_side / max(height, width))) for length in (height, width))
    return interpolate(values.flatten(0, 1), size=size, mode="area").unflatten(0, values.shape[:2])
