"""Order of items in shards: a function of (seed, position) that needs no memory, and reads a few shards at a time.

An epoch goes through the shards in a random order, ``WINDOW`` of them at a time; the items of such a window are mixed.
Both are computed position by position, so that a run starts anywhere without reading what comes before.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

WINDOW = 16
"""Shards whose items are mixed with each other."""
_ROUNDS = 6


class ShardOrder:
    """Permutation of the items of shards in each epoch.

    Args:
        counts: number of items of each shard.
        seed: of the order.
    """

    def __init__(self, counts: ArrayLike, seed: int) -> None:
        self.counts, self.seed = np.asarray(counts, np.int64), seed
        self.starts = self.counts.cumsum() - self.counts
        self._epochs: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def __len__(self) -> int:
        return int(self.counts.sum())

    def indices(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the items at ``positions`` of the endless stream: (positions,), numbered over all shards."""
        epochs, offsets = np.divmod(positions, len(self))
        indices = np.empty_like(offsets)
        for epoch in np.unique(epochs):
            indices[epochs == epoch] = self._epoch_indices(int(epoch), offsets[epochs == epoch])
        return indices

    def _epoch_indices(self, epoch: int, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the items at ``offsets`` of an epoch: (offsets,)."""
        shards, ends = self._epoch(epoch)
        windows = np.searchsorted(ends, offsets, side="right")
        indices = np.empty_like(offsets)
        for window in np.unique(windows):
            rows = windows == window
            members = shards[window * WINDOW : (window + 1) * WINDOW]
            begin = int(ends[window - 1]) if window else 0
            mixed = permute(offsets[rows] - begin, int(ends[window]) - begin, [self.seed, epoch, int(window)])
            last = self.counts[members].cumsum()
            places = np.searchsorted(last, mixed, side="right")
            indices[rows] = self.starts[members[places]] + mixed - (last - self.counts[members])[places]
        return indices

    def window_shards(self, position: int) -> list[int]:
        """Return the numbers of the shards that are read at a position of the endless stream, and the window after."""
        epoch, offset = divmod(position, len(self))
        shards, ends = self._epoch(epoch)
        window = int(np.searchsorted(ends, offset, side="right"))
        if window + 1 == len(ends):
            next_shards = self._epoch(epoch + 1)[0][:WINDOW]
        else:
            next_shards = shards[(window + 1) * WINDOW : (window + 2) * WINDOW]
        return [*map(int, shards[window * WINDOW : (window + 1) * WINDOW]), *map(int, next_shards)]

    def _epoch(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the shards in the order of an epoch, and the offset at which each window ends."""
        if epoch in self._epochs:
            return self._epochs[epoch]
        shards = np.random.default_rng([self.seed, epoch]).permutation(len(self.counts))
        ends = self.counts[shards].cumsum()
        last = np.minimum(np.arange(WINDOW, len(shards) + WINDOW, WINDOW), len(shards)) - 1
        self._epochs = {epoch: (shards, ends[last]), **dict(list(self._epochs.items())[:1])}  # a batch may touch two
        return self._epochs[epoch]


def permute(positions: NDArray[np.int64], count: int, key: Sequence[int]) -> NDArray[np.int64]:
    """Return where a permutation of ``count`` items, one for each ``key``, sends ``positions`` (any shape).

    A Feistel network permutes the numbers below a power of four; what leaves the range is sent through it again
    ("cycle walking"; Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002).
    """
    half = max(1, -(-(max(1, count - 1)).bit_length() // 2))
    mask = np.uint64(2**half - 1)
    keys = np.random.SeedSequence(list(key)).generate_state(_ROUNDS, np.uint64)
    result = positions.astype(np.uint64)
    outside = np.ones(result.shape, bool)
    while outside.any():
        left, right = result[outside] >> np.uint64(half), result[outside] & mask
        for round_key in keys:
            left, right = right, left ^ (_mix(right ^ round_key) & mask)
        result[outside] = (left << np.uint64(half)) | right
        outside = result >= np.uint64(count)
    return result.astype(np.int64)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits of 64-bit numbers (the finalizer of SplitMix64: Steele et al., 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
