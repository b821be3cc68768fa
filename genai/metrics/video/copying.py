"""Copies of training clips among samples."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from genai.core.data import PackedDataset
from genai.media.clip import Clip
from genai.metrics.base import EvalContext
from genai.metrics.copying import ItemFeatures, NearestCopying
from genai.metrics.video.clips import ClipDataset, check_frame_rate, shrink, stack_clips
from genai.metrics.video.nearest import MAX_SIDE_PIXELS


class CopiedClips(NearestCopying):
    """Copies of clips, or of parts of them, by the RMS distance of pixels of small frames."""

    media = Clip
    quick_items = 2**11

    def item_features(self, context: EvalContext, samples: Sequence[Any]) -> "ClipFeatures":
        check_frame_rate(context)
        return ClipFeatures(min(len(sample.frames) for sample in samples), context.model.method.device)


class ClipFeatures(ItemFeatures):
    """Pixels in 0..1 of parts of ``num_frames`` frames, at every start."""

    def __init__(self, num_frames: int, device: torch.device) -> None:
        self.num_frames, self.device = num_frames, device

    def of_samples(self, samples: Sequence[Any]) -> Tensor:
        return self._flatten(shrink(stack_clips(samples)[:, : self.num_frames], MAX_SIDE_PIXELS))

    def of_items(self, packed: PackedDataset, indices: Sequence[int]) -> list[Tensor]:
        return [self._parts(cast(ClipDataset, packed), index) for index in indices]

    def _parts(self, packed: ClipDataset, index: int) -> Tensor:
        clip = shrink(torch.from_numpy(np.array(packed.clip(index)))[None], MAX_SIDE_PIXELS)[0]
        if len(clip) < self.num_frames:
            return self._flatten(clip.new_zeros(0, self.num_frames, *clip.shape[1:]))
        return self._flatten(clip.unfold(0, self.num_frames, 1).movedim(-1, 1))

    def _flatten(self, clips: Tensor) -> Tensor:
        rows = clips.flatten(1).to(self.device)
        return rows / max(1, rows.shape[1]) ** 0.5
