"""Batches in an order that is a function of (seed, step): where a run stands is one number.

Workers, restarts and the number of processes change nothing: position ``p`` of the endless stream is item ``p % n`` of
the permutation of epoch ``p // n``, and step ``s`` of ``world`` processes takes the next ``world x batch`` positions.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from genai.core.batch import Batch, batch_ranges
from genai.core.data import ItemRandom, PackedDataset


class Batches(Dataset[Batch]):
    """Batch ``step`` of this process, for every step from 0 on."""

    def __init__(self, packed: PackedDataset, batch: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.packed, self.batch, self.seed, self.rank, self.world = packed, batch, seed, rank, world

    def __getitem__(self, step: int) -> Batch:
        start = (step * self.world + self.rank) * self.batch
        positions = range(start, start + self.batch)
        items = len(self.packed)
        epochs = [position // items for position in positions]
        indices = [int(order(self.seed, position // items, items)[position % items]) for position in positions]
        return self.packed.batch(indices, ItemRandom(self.seed, epochs, indices))


@lru_cache(maxsize=2)
def order(seed: int, epoch: int, items: int) -> NDArray[np.int64]:
    """The permutation of ``items`` in an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(items)


def train_loader(batches: Batches, step: int, workers: int = 0, pin: bool = False) -> DataLoader[Batch]:
    """An endless loader from ``step`` on."""
    steps: Any = count(step)  # DataLoader wants no more of a sampler than that it can be iterated
    return DataLoader(batches, batch_size=None, sampler=steps, num_workers=workers, pin_memory=pin)


def held_out(
    packed: PackedDataset, batch: int, limit: int | None, rank: int = 0, world: int = 1
) -> Iterator[tuple[Batch, float]]:
    """``limit`` evenly spaced items (``None``: all) in batches, those of this process, and how much each batch counts.

    Every process makes as many batches; one for which nothing is left gets an item that counts nothing.
    """
    kept = len(packed) if limit is None else min(limit, len(packed))
    spaced = [position * len(packed) // kept for position in range(kept)]
    for rows in batch_ranges(-(-kept // world), batch):
        indices = spaced[rank::world][rows.start : rows.stop]
        drawn = packed.batch(indices or spaced[:1], None)
        yield drawn, drawn.weight if indices else 0.0
