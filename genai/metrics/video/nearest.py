"""Are the samples copies? Distance of each clip to the nearest part of a training clip."""

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genai.core.data import PackedDataset
from genai.core.errors import UserError
from genai.core.progress import ProgressBar
from genai.media.clip import Clip
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.image.nearest import distance_results, squared_distances
from genai.metrics.video.clips import ClipDataset, real_clips, sample_clips, shrink

MAX_SIDE_PIXELS = 16
"""Larger frames are downscaled to this side."""
MAX_CHUNK_VALUES = 2**22
"""Values of the training clips that are compared at once."""


class NearestClip(Metric):
    """RMS pixel distance of samples to the nearest parts of training clips; the reference is held-out clips.

    Samples have prompts of the held-out split, so that both sides show the same kind of content. Samples that are much
    nearer than held-out clips are copies. Copies that are shifted by a few pixels, or mirrored, are not recognized.
    """

    media = Clip
    compares_with_training = True

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``nearest_train`` (mean) and ``nearest_train_low`` (5 % quantile)."""
        samples = sample_clips(context)
        held_out = real_clips(context.val, samples.shape[1], context.n)
        clips = torch.cat([samples, held_out])
        distances = nearest_clip_distances(clips, context.train, context.model.method.device)
        description = f"to the nearest training clip at {MAX_SIDE_PIXELS} pixels, RMS in 0..1"
        return distance_results(distances[: len(samples)], distances[len(samples) :], description)


def nearest_clip_distances(clips: Tensor, train: PackedDataset, device: torch.device) -> NDArray[np.float64]:
    """Return the root-mean-square distance in 0..1 of each clip to the nearest part of equal length in ``train``.

    Args:
        clips: (clips, time, channels, height, width) uint8. Shorter training clips are ignored.

    Raises:
        UserError: all training clips are shorter.
    """
    flat = shrink(clips, MAX_SIDE_PIXELS).flatten(1).to(device)
    best = torch.full((len(flat),), torch.inf, device=device)
    nearest = torch.zeros_like(flat)
    for chunk in _chunks(train, clips.shape[1], max(1, MAX_CHUNK_VALUES // flat.shape[1])):
        parts = chunk.to(device)
        distances, neighbors = squared_distances(flat, parts).min(1)
        is_closer = distances < best
        best = torch.where(is_closer, distances, best)
        nearest[is_closer] = parts[neighbors[is_closer]]
    if best.isinf().any():
        raise UserError(f"'nearest' finds no training clip of {clips.shape[1]} frames: frames=.")
    # again without the rounding of matrix products, so that copies have distance 0
    return (flat.double() - nearest.double()).square().mean(1).sqrt().cpu().numpy()


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
