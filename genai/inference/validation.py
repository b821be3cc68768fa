"""Validation losses of a method with fixed noise, for training runs and for ``genai.evaluate``."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from genai.core.data import PackedDataset
from genai.core.loader import validation_batches
from genai.core.seeding import seed_noise
from genai.methods.base import Method

BATCH_ELEMENTS = 16_384
"""Elements of a validation batch, approximately; larger batches use more memory and are not faster."""


def validation_batch_size(dataset: PackedDataset, min_size: int = 1) -> int:
    """Return the number of examples per batch: ``min_size`` or, for small examples, more."""
    return max(min_size, min(128, BATCH_ELEMENTS // max(1, dataset.batch([0], None).x[0].numel())))


@torch.no_grad()
def validation_losses(
    method: Method,
    dataset: PackedDataset,
    *,
    max_items: int | None = None,
    batch_size: int = 1,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
    precision: Callable[[], AbstractContextManager[None]] = nullcontext,
    before_batch: Callable[[], object] = lambda: None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Sum the method's validation losses over ``max_items`` evenly spaced examples (``None``: all).

    Args:
        batch_size: minimum number of examples per batch; small examples use larger batches.
        precision: context of the computation, such as autocast.
        before_batch: called before each batch; an exception from it ends the validation.

    Returns:
        Weighted sums by name, and the total weight, both of this process alone: divide the sums by the weight to get
        means.
    """
    sums: dict[str, Tensor] = {}
    dtype = torch.float32 if method.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
    total_weight = torch.zeros((), device=method.device, dtype=dtype)
    size = validation_batch_size(dataset, batch_size)
    with torch.random.fork_rng([method.device] if method.device.type == "cuda" else []):
        for index, (batch, weight) in enumerate(validation_batches(dataset, size, max_items, rank, world_size)):
            before_batch()
            seed_noise(seed, -1 - index, rank)
            with precision():
                losses = method.validation_loss(batch.to(method.device))
            for name, value in losses.items():
                sums[name] = sums.get(name, torch.zeros_like(total_weight)) + value.to(dtype) * weight
            total_weight += weight
    return sums, total_weight
