"""Numbers of the model that training begins with: computed once, cached, and joined to the batches of a packed split.

So no second model is in memory while training, and a resumed run compares with the same numbers.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genai.core.batch import Batch, PairBatch, batch_ranges
from genai.core.cache import cache_dir, cache_key, cached_file, track_progress
from genai.core.data import ItemRandom, PackedDataset
from genai.core.errors import UserError, short_repr
from genai.inference.build import SkipInit, assign_weights, build_method
from genai.inference.stored_model import read_model
from genai.inference.validation import validation_batch_size
from genai.methods.base import Method
from genai.modalities.base import Modality
from genai.modalities.memmap_dataset import MemmapDataset
from genai.runs.checkpoint import CheckpointHeader


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


def with_stored_reference(
    method: Method,
    modality: Modality,
    header: CheckpointHeader | None,
    packed: PackedDataset,
    plugins: Sequence[str] = (),
) -> PackedDataset:
    """Return a packed split with the numbers that a trained method compares with, if it needs any.

    Args:
        method, modality: trained.
        header: of their checkpoint, which names the model that training began with.
        packed: the split.
        plugins: packages besides genai whose classes are allowed.

    Raises:
        UserError: that model is needed, and is not there or has changed.
    """
    if not method.needs_reference or not isinstance(packed.batch([0], None), PairBatch):
        return packed
    base = (header and header.base) or {}
    path, digest, node = base.get("path", ""), base.get("digest", ""), (header and header.model) or {}

    def load_base() -> Method:
        stored = read_model(path, None, "ema", "cpu", Path("runs"), plugins) if os.path.exists(path) else None
        if stored is None or stored.digest != digest:
            raise UserError(f"the loss compares with {short_repr(path)}, which is not there or has changed.")
        with SkipInit():
            reference = build_method(node, modality, plugins)
        assign_weights(reference, stored.method)
        return reference

    return add_reference(packed, digest, node, load_base)


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
