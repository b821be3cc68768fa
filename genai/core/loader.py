"""Batches whose order is a function of (seed, step), so that the step number is the whole state of the loader.

The order does not depend on workers, restarts or the number of processes. Position ``p`` of the endless stream is item
``p % n`` of the permutation of epoch ``p // n``; step ``s`` takes the next ``world_size * batch_size`` positions. Data
in shards have an order of their own, ``genai.core.shard_order``, as have weighted items, ``genai.core.weighted_order``.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from genai.core.batch import Batch, batch_ranges
from genai.core.data import ItemRandom, PackedDataset
from genai.core.shard_order import ShardOrder
from genai.core.weighted_order import WeightedOrder


class TrainBatches(Dataset[Batch]):
    """The batches of this process, indexed by step; endless."""

    def __init__(self, dataset: PackedDataset, batch_size: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.dataset, self.batch_size, self.seed, self.rank, self.world_size = (
            dataset,
            batch_size,
            seed,
            rank,
            world_size,
        )

    def __getitem__(self, step: int) -> Batch:
        start = (step * self.world_size + self.rank) * self.batch_size
        positions = np.arange(start, start + self.batch_size)
        epochs = (positions // len(self.dataset)).tolist()
        indices = self._order.indices(positions).tolist()
        if isinstance(self._order, ShardOrder):
            self.dataset.prefetch(self._order.window_shards(start))  # type: ignore[attr-defined]
        is_weighted = isinstance(self._order, WeightedOrder)  # an item can be several times in an epoch
        repeats = self._order.repeats(positions).tolist() if is_weighted else ()  # type: ignore[attr-defined]
        return self.dataset.batch(indices, ItemRandom(self.seed, epochs, indices, repeats))

    @cached_property
    def _order(self) -> "ItemOrder":
        order: Callable[[int], ItemOrder] | None = getattr(self.dataset, "order", None)
        return order(self.seed) if order else Permutations(len(self.dataset), self.seed)


class ItemOrder(Protocol):
    """An endless order of items."""

    def indices(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the items at ``positions``: (positions,)."""
        ...


@dataclass(frozen=True)
class Permutations:
    """A random permutation of ``count`` items in each epoch, which is held in memory."""

    count: int
    seed: int

    def indices(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the items at ``positions``: (positions,)."""
        rows = zip(*divmod(positions, self.count), strict=True)
        return np.array([epoch_permutation(self.seed, int(epoch), self.count)[offset] for epoch, offset in rows])


class RankBatches(Dataset[list[Batch]]):
    """The batches of several ranks, indexed by step."""

    def __init__(self, ranks: Sequence[TrainBatches]) -> None:
        self.ranks = ranks

    def __getitem__(self, step: int) -> list[Batch]:
        return [rank[step] for rank in self.ranks]


@lru_cache(maxsize=2)
def epoch_permutation(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """Return the permutation of ``count`` items in an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def train_loader(
    batches: TrainBatches | RankBatches, step: int, num_workers: int = 0, pin_memory: bool = False
) -> DataLoader[Any]:
    """Return an endless loader that starts at ``step``."""
    steps: Any = itertools.count(step)  # DataLoader only iterates over its sampler
    return DataLoader(batches, batch_size=None, sampler=steps, num_workers=num_workers, pin_memory=pin_memory)


def validation_batches(
    dataset: PackedDataset, batch_size: int, max_items: int | None, rank: int = 0, world_size: int = 1
) -> Iterator[tuple[Batch, float]]:
    """Yield this process's batches of ``max_items`` evenly spaced items (``None``: all), each with its weight.

    All processes yield the same number of batches; one without items left yields an item of weight 0.
    """
    count = len(dataset) if max_items is None else min(max_items, len(dataset))
    selected = [position * len(dataset) // count for position in range(count)]
    for rows in batch_ranges(-(-count // world_size), batch_size):
        indices = selected[rank::world_size][rows.start : rows.stop]
        batch = dataset.batch(indices or selected[:1], None)
        yield batch, batch.weight if indices else 0.0
