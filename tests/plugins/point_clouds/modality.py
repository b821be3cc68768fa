"""The modality of point clouds: points as float32 tensors of one size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from genai.core.batch import Batch, Request
from genai.core.cache import cache_key, cached_file, write_json
from genai.core.data import ItemRandom, Split
from genai.media.picture import Picture, contact_sheet
from genai.modalities.base import Decoder, Modality
from genai.modalities.memmap_dataset import MemmapDataset
from genai.modalities.preview import Preview, PromptSamples
from tests.plugins.point_clouds.media import PointCloud


@dataclass(frozen=True)
class PointCloudOptions:
    """There are no options."""


class PointClouds(Modality):
    """Clouds of a fixed number of points.

    Args:
        points: number of points.
    """

    media = PointCloud
    Options = PointCloudOptions

    def __init__(self, points: Annotated[int, Ge(1)] = 64) -> None:
        self.points, self.std = points, 1.0

    @property
    def interface(self) -> dict[str, Any]:
        return {"scaling": {"_target_": "genai.methods.scaling.Scaling", "std": self.std}}

    def fit(self, split: Split, cache: Path) -> None:
        self.std = round(float(self.pack(split, cache).points.std()), 4)

    def state(self) -> dict[str, Any]:
        return {"std": self.std}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.std = float(state["std"])

    def encode(self, media: Any) -> Tensor:
        """Convert a cloud to (points, 2) float32; points are repeated or left out."""
        return torch.from_numpy(media.points[np.arange(self.points) * len(media.points) // self.points])

    def decode(self, x: Tensor) -> PointCloud:
        return PointCloud(x.numpy())

    def decoder(self, init: Tensor | None, options: Any) -> Decoder:
        return PointCloudDecoder(self)

    def pack(self, split: Split, cache: Path) -> "PackedPoints":
        key = cache_key(split.content_hash, "points", self.points)

        def write(path: Path) -> None:
            np.stack([self.encode(example.media).numpy() for example in split]).tofile(path)
            write_json(path.with_suffix(".json"), [example.prompt for example in split])

        return PackedPoints(cached_file(cache / f"{key}.f4", write, ".json"), self.points)

    def request(self, prompts: list[str], seeds: list[int], init: Any, options: Any) -> Request:
        encoded = None if init is None else [self.encode(init)] * len(prompts)
        return Request(prompts, seeds, (self.points, 2), init=encoded)

    def preview(self) -> Preview:
        return PointCloudPreview()


class PointCloudPreview(Preview):
    """Presents clouds, side by side."""

    def contact_sheet(self, samples: PromptSamples) -> Picture:
        return contact_sheet([(prompt, Picture(cloud.draw())) for prompt, cloud in samples])


class PointCloudDecoder:
    """A ``Decoder`` whose ``push`` returns the whole cloud so far."""

    done = False

    def __init__(self, modality: PointClouds) -> None:
        self.modality = modality
        self.initial = self.latest = PointCloud(np.zeros((0, 2), np.float32))

    def push(self, start: int, x: Tensor) -> PointCloud:
        self.latest = self.modality.decode(x)
        return self.latest

    def result(self) -> PointCloud:
        return self.latest


class PackedPoints(MemmapDataset):
    """A split as one memory-mapped array (items, points, 2), and its prompts."""

    def __init__(self, path: Path, count: int) -> None:
        super().__init__(path, count)
        self.points, self.prompts = self.memmap(np.float32, (count, 2)), self.read_index()

    def __len__(self) -> int:
        return len(self.points)

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> Batch:
        """Return a batch whose ``x`` is (batch, points, 2) float32, with prompts."""
        return Batch(torch.from_numpy(self.points[np.asarray(indices)]), [self.prompts[index] for index in indices])
