"""Tests of the order of items in shards."""

import numpy as np
import pytest

from genai.core.shard_order import WINDOW, ShardOrder, permute


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 17, 64, 1000, 4097])
def test_permutation_has_each_item_once(count: int) -> None:
    permuted = permute(np.arange(count), count, [0, 1, 2])
    assert sorted(permuted.tolist()) == list(range(count))


def test_permutations_of_other_keys_are_independent() -> None:
    count = 1024
    first, second = (permute(np.arange(count), count, [seed]) for seed in (0, 1))
    assert (first == second).sum() < 10  # one is expected
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1
    assert abs(np.corrcoef(first, np.arange(count))[0, 1]) < 0.1
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.1


def test_permutation_spreads_neighbors_evenly() -> None:
    """Where item 0 goes is uniform over keys: chi-square of 16 cells, 15 degrees of freedom."""
    count, keys = 16, 4000
    places = [int(permute(np.array([0]), count, [key])[0]) for key in range(keys)]
    expected = keys / count
    chi_square = (((np.bincount(places, minlength=count) - expected) ** 2) / expected).sum()
    assert chi_square < 45  # p = 1e-4


def test_each_epoch_has_each_item_once_in_another_order() -> None:
    order = ShardOrder([5, 3, 0, 7, 1] * 12, seed=4)
    count = len(order)
    epochs = [order.indices(np.arange(epoch * count, (epoch + 1) * count)) for epoch in (0, 1)]
    for indices in epochs:
        assert sorted(indices.tolist()) == list(range(count))
    assert (epochs[0] != epochs[1]).any()


def test_items_at_some_positions_are_those_of_the_whole_order() -> None:
    order = ShardOrder([11] * 40, seed=4)
    whole = order.indices(np.arange(3 * len(order)))
    positions = np.array([439, 0, 17, 1200, 17, 440])
    assert (ShardOrder([11] * 40, seed=4).indices(positions) == whole[positions]).all()


def test_only_shards_of_a_window_are_read_at_a_time() -> None:
    order = ShardOrder([10] * 50, seed=0)
    for start in range(0, 500, 10 * WINDOW):
        shards = order.window_shards(start)
        read = order.indices(np.arange(start, min(start + 10 * WINDOW, 500))) // 10
        assert set(read.tolist()) == set(shards[: len(set(read.tolist()))])
        assert order.window_shards(min(start + 10 * WINDOW, 500))[0] in shards  # the next ones are named as well


def test_place_in_a_long_order_needs_no_memory() -> None:
    order = ShardOrder([2**16] * 20_000, seed=0)  # 1.3e9 items
    assert len(set(order.indices(np.arange(10**9, 10**9 + 64)).tolist())) == 64
