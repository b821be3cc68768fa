"""Copies of training pictures among samples."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from genai.core.data import PackedDataset
from genai.media.picture import Picture
from genai.metrics.base import EvalContext
from genai.metrics.copying import ItemFeatures, NearestCopying
from genai.modalities.base import Modality
from genai.modalities.image import Image


class CopiedPictures(NearestCopying):
    """Copies among samples, by the RMS distance of pixels; mirrored ones, if training mirrors pictures."""

    media = Picture

    def item_features(self, context: EvalContext, samples: Sequence[Any]) -> "PictureFeatures":
        return PictureFeatures(context.model.modality, context.model.method.device)


class PictureFeatures(ItemFeatures):
    """Pixels in 0..1."""

    def __init__(self, modality: Modality, device: torch.device) -> None:
        self.modality, self.device = modality, device
        self.flip = isinstance(modality, Image) and modality.flip

    def of_samples(self, samples: Sequence[Any]) -> Tensor:
        return self._flatten(torch.stack([self.modality.encode(sample) for sample in samples]))

    def of_items(self, packed: PackedDataset, indices: Sequence[int]) -> list[Tensor]:
        pixels = packed.batch(indices, None).x
        variants = [pixels, pixels.flip(-1)] if self.flip else [pixels]
        return list(torch.stack([self._flatten(each) for each in variants], 1))

    def _flatten(self, pixels: Tensor) -> Tensor:
        rows = pixels.to(self.device).flatten(1).float() / 255
        return rows / rows.shape[1] ** 0.5
