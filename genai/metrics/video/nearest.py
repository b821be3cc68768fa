"""Are the samples copies? Distance of each clip to the nearest part of a training clip."""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genai.core.data import PackedDataset
from genai.core.errors import UserError
from genai.core.progress import ProgressBar
from genai.media.clip import Clip
from genai.metrics.base import EvalContext
from genai.metrics.nearest import MAX_CHUNK_VALUES, NearestExample, find_nearest, root_mean_square
from genai.metrics.video.clips import ClipDataset, real_clips, sample_clips, shrink

MAX_SIDE_PIXELS = 16
"""Larger frames are downscaled to this side."""


class NearestClip(NearestExample):
    """RMS pixel distance of samples to the nearest parts of training clips; the reference is held-out clips.

    Copies that are shifted by a few pixels, or mirrored, are not recognized.
    """

    media = Clip

    def distances(self, context: EvalContext, prompts: list[str]) -> tuple[NDArray[np.float64], int, str]:
        samples = sample_clips(context, prompts)
        held_out = real_clips(context.val, samples.shape[1], context.n)
        clips = torch.cat([samples, held_out])
        distances = nearest_clip_distances(clips, context.train, context.model.method.device)
        return distances, len(samples), f"to the nearest training clip at {MAX_SIDE_PIXELS} pixels, RMS in 0..1"

    def features(self, context: EvalContext, samples: list[Any], real: list[Any]) -> tuple[Tensor, Tensor]:
        clips, known = ([context.model.modality.encode(clip) for clip in part] for part in (samples, real))
        num_frames = min(map(len, [*clips, *known]))
        first, second = (
            shrink(torch.stack([clip[:num_frames] for clip in part]), MAX_SIDE_PIXELS).flatten(1)
            for part in (clips, known)
        )
        return first, second


def nearest_clip_distances(clips: Tensor, train: PackedDataset, device: torch.device) -> NDArray[np.float64]:
    """Return the root-mean-square distance in 0..1 of each clip to the nearest part of equal length in ``train``.

    Args:
        clips: (clips, time, channels, height, width) uint8. Shorter training clips are ignored.

    Raises:
        UserError: all training clips are shorter.
    """
    queries = shrink(clips, MAX_SIDE_PIXELS).flatten(1).to(device)
    chunks = _chunks(train, clips.shape[1], max(1, MAX_CHUNK_VALUES // queries.shape[1]))
    squared, nearest = find_nearest(queries, (parts.to(device) for parts in chunks))
    if squared.isinf().any():
        raise UserError(f"'nearest' finds no training clip of {clips.shape[1]} frames: frames=.")
    # again without the rounding of matrix products, so that copies have distance 0
    return root_mean_square(queries.double() - nearest.double())


def _chunks(train: PackedDataset, num_frames: int, max_parts: int) -> Iterator[Tensor]:
    """Yield all parts of ``num_frames`` frames, downscaled and flattened, at most ``max_parts`` at once."""
    dataset, parts = cast(ClipDataset, train), list[Tensor]()
    with ProgressBar("nearest training clips", len(train)) as bar:
        for index in range(len(dataset)):
            clip = shrink(torch.from_numpy(np.array(dataset.clip(index)))[None], MAX_SIDE_PIXELS)[0]
            parts += [clip[start : start + num_frames].flatten() for start in range(len(clip) - num_frames + 1)]
            while len(parts) >= max_parts or (parts and index == len(dataset) - 1):
                yield torch.stack(parts[:max_parts])
                del parts[:max_parts]
            bar.step()
