"""Items that are drawn by weights, in an order that is a function of (seed, position) alone."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genai.core.batch import Batch
from genai.core.data import ItemRandom, PackedDataset, packed_prompts

MAX_EPOCHS = 2
"""Epochs whose order is held in memory."""


class WeightedOrder:
    """An endless order of items in which each is drawn in proportion to its weight.

    An epoch has as many positions as there are items. In it an item that should be drawn 2.3 times is drawn 2 or 3
    times (systematic sampling, Madow and Madow 1944), in random order.

    Args:
        weights: (items,), above 0.
        seed: of the order.
    """

    def __init__(self, weights: NDArray[np.float64], seed: int) -> None:
        self.weights, self.seed = weights, seed
        self._epochs: OrderedDict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = OrderedDict()

    def indices(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the items at ``positions``: (positions,)."""
        return self._lookup(positions)[0]

    def repeats(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many times the items at ``positions`` were in their epoch before: (positions,)."""
        return self._lookup(positions)[1]

    def _lookup(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        epochs, offsets = np.divmod(positions, len(self.weights))
        rows = [
            [column[offset] for column in self._epoch(epoch)]
            for epoch, offset in zip(epochs.tolist(), offsets.tolist(), strict=True)
        ]
        items, repeats = np.array(rows, np.int64).reshape(-1, 2).T
        return items, repeats

    def _epoch(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the items of an epoch in order, and how many times each was in it before."""
        if epoch not in self._epochs:
            self._epochs[epoch] = draw_epoch(self.weights, self.seed, epoch)
            while len(self._epochs) > MAX_EPOCHS:
                self._epochs.popitem(last=False)
        return self._epochs[epoch]


def draw_epoch(weights: NDArray[np.float64], seed: int, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw as many items as there are weights, by systematic sampling; and number the times of each."""
    count, rng = len(weights), np.random.default_rng([seed, epoch])
    shuffled = rng.permutation(count)
    ends = weights[shuffled].cumsum()
    ends = ends / ends[-1] * count + rng.random()
    times = np.diff(np.floor(ends).astype(np.int64), prepend=0)
    items = np.repeat(shuffled, times)
    repeats = np.arange(count) - np.repeat(times.cumsum() - times, times)
    order = rng.permutation(count)
    return items[order], repeats[order]


@dataclass(frozen=True)
class WeightedItems:
    """A packed data set whose items are drawn by weights, (items,)."""

    packed: PackedDataset
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.packed)

    @property
    def prompts(self) -> Sequence[str]:
        """One prompt for each item; empty if there are none."""
        return packed_prompts(self.packed)

    def order(self, seed: int) -> WeightedOrder:
        """Return the order of the items in training."""
        return WeightedOrder(self.weights, seed)

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> Batch:
        """Return items ``indices``, as the data set does."""
        return self.packed.batch(indices, random)
