"""Numbers of the model that training begins with: computed once, cached, and joined to the batches of a packed split.

So no second model is in memory while training, and a resumed run compares with the same numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genai.core.batch import Batch, PairBatch, batch_ranges
from genai.core.cache import cache_dir, cache_key, cached_file, track_progress
from genai.core.data import ItemRandom, PackedDataset
from genai.inference.validation import validation_batch_size
from genai.methods.base import Method
from genai.modalities.memmap_dataset import MemmapDataset


class WithReference(MemmapDataset):
    """A packed split whose batches have ``reference``.

    Args:
        path: file of float32 numbers, equally many for each item.
        packed: the split.
    """

    def __init__(self, path: Path, packed: PackedDataset) -> None:
        super().__init__(path, packed)
        self.packed = packed
        self.values = self.memmap(np.float32).reshape(len(packed), -1)

    def __len__(self) -> int:
        return len(self.packed)

    @property
    def summary(self) -> str:
        """What is in the rows, for people."""
        return str(getattr(self.packed, "summary", ""))

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> Batch:
        """Return the batch of the split with its reference."""
        batch = self.packed.batch(indices, random)
        assert isinstance(batch, PairBatch)
        return replace(batch, reference=torch.from_numpy(self.values[indices].copy()))


def add_reference(
    packed: PackedDataset,
    digest: str,
    model: Any,
    load_base: Callable[[], Method],
    device: torch.device | None = None,
) -> WithReference:
    """Return a packed split with the numbers of ``Method.reference``, which are cached.

    Args:
        packed: the split, in a file of the cache.
        digest: hash of the weights that training begins with.
        model: config node of the method.
        load_base: returns the method with these weights; called only if the numbers are not in the cache.
        device: to compute them on; ``None``: where the method is.

    Raises:
        UserError: what ``load_base`` raises.
    """
    assert isinstance(packed, MemmapDataset)
    network = {key: value for key, value in (model or {}).items() if key in ("_target_", "network")}
    key = cache_key("reference", 1, packed.path.name, digest, network)

    def write(path: Path) -> None:
        method = load_base()
        home = method.device
        values = compute_reference(method.to(device or home), packed)
        method.to(home)
        with path.open("wb") as file:
            file.write(values.tobytes())

    return WithReference(cached_file(cache_dir() / f"{key}.f4", write), packed)


@torch.no_grad()
def compute_reference(method: Method, packed: PackedDataset) -> Any:
    """Return what ``Method.reference`` gives for all items, (items, n) float32, computed in float32."""
    is_training, ranges = method.training, list(batch_ranges(len(packed), validation_batch_size(packed)))
    method.eval()
    parts = [
        method.reference(packed.batch(list(rows), None).to(method.device)).float().cpu().numpy()
        for rows in track_progress(ranges, "reference log-probabilities", len(ranges))
    ]
    method.train(is_training)
    return np.concatenate(parts)
