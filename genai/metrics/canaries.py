"""Does a model remember its canaries? The loss of planted ones is compared with that of those left out."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from genai.core.data import Example, PackedDataset, Split
from genai.core.seeding import seed_noise
from genai.data.canaries import WithCanaries
from genai.inference.model import Model
from genai.methods.base import Method
from genai.metrics.exact_tests import rank_sum_p

NOISES = 16
"""Random numbers of a loss that are averaged, the same for all canaries."""


def canary_p(
    model: Model, source: WithCanaries, seed: int = 0, before_item: Callable[[], object] = lambda: None
) -> float | None:
    """Return the p-value of planted canaries having no lower loss; ``None`` if the method has no loss of single items.

    Chance has decided which canaries are planted, so that the test is exact.
    """
    losses = canary_losses(model, source.twins, seed, before_item)
    return None if losses is None else rank_sum_p(losses[::2], losses[1::2])


@torch.no_grad()
def canary_losses(
    model: Model, canaries: Split, seed: int, before_item: Callable[[], object] = lambda: None
) -> list[float] | None:
    """Return the loss of each example, with the same random numbers; ``None`` if the method has none."""
    losses, count = list[float](), NOISES
    device = model.method.device
    with TemporaryDirectory() as folder, torch.random.fork_rng([device] if device.type == "cuda" else []):
        for index in range(len(canaries)):
            before_item()
            one = Split("val", 1, partial(_item, canaries, index), f"{canaries.content_hash}{index}")
            packed = model.modality.pack(one, Path(folder))
            if index == 0 and _loss(model.method, packed, 1, seed) == _loss(model.method, packed, 1, seed + 1):
                count = 1  # it has no noise
            loss = _loss(model.method, packed, count, seed)
            if loss is None:
                return None
            losses.append(loss)
    return losses


def _item(canaries: Split, index: int, _: int) -> Example:
    return canaries[index]


def _loss(method: Method, packed: PackedDataset, count: int, seed: int) -> float | None:
    """Return the mean loss of a single item with ``count`` random numbers."""
    seed_noise(seed, -1, 0)
    loss = method.item_loss(packed.batch([0] * count, None).to(method.device))
    return None if loss is None else float(loss)
