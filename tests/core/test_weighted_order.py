"""Items drawn by weights: how often, in what order, and that repeats have other random numbers."""

import pickle

import numpy as np
import pytest
import torch

from genai.core.batch import Batch
from genai.core.data import ItemRandom
from genai.core.loader import TrainBatches
from genai.core.weighted_order import WeightedItems, WeightedOrder, draw_epoch

WEIGHTS = np.array([1.0, 1, 1, 1, 3, 3, 0.5, 0.5])
FLIPS = [0.9244399471817533, 0.7475738099005471, 0.807317983038768]
"""Random numbers of runs without weights, which stay: a run that is resumed has them."""


class NumberedItems:
    """Items that tell their number and a random number."""

    def __len__(self) -> int:
        return len(WEIGHTS)

    def batch(self, indices: list[int], random: ItemRandom | None) -> Batch:
        assert random is not None
        return Batch(torch.tensor(np.stack([indices, random.uniform(purpose="flip")[:, 0]], 1)))


def test_items_are_drawn_in_proportion_to_their_weights() -> None:
    counts = np.zeros(len(WEIGHTS))
    expected = WEIGHTS / WEIGHTS.sum() * len(WEIGHTS)
    for epoch in range(400):
        items, repeats = draw_epoch(WEIGHTS, 0, epoch)
        times = np.bincount(items, minlength=len(WEIGHTS))
        assert len(items) == len(WEIGHTS) and (np.abs(times - expected) < 1).all()
        for item in range(len(WEIGHTS)):
            assert sorted(repeats[items == item]) == [*range(times[item])]
        counts += times
    np.testing.assert_allclose(counts / 400, expected, atol=0.08)


def test_equal_weights_draw_each_item_once_an_epoch() -> None:
    items, repeats = draw_epoch(np.full(11, 0.3), 1, 2)
    assert sorted(items) == [*range(11)] and not repeats.any()


def test_any_position_is_known_without_the_others() -> None:
    order, positions = WeightedOrder(WEIGHTS, 3), np.arange(60)
    whole = order.indices(positions)
    for start in (0, 8, 21, 59):
        assert (WeightedOrder(WEIGHTS, 3).indices(positions[start:]) == whole[start:]).all()
    assert (WeightedOrder(WEIGHTS, 4).indices(positions) != whole).any()
    assert (pickle.loads(pickle.dumps(order)).indices(positions) == whole).all()


def test_no_repeat_has_the_random_numbers_of_another_epoch() -> None:
    weights = np.ones(1000)
    weights[0] = 1000
    order, epochs = WeightedOrder(weights, 0), np.arange(2000) // 1000
    items, repeats = order.indices(np.arange(2000)), order.repeats(np.arange(2000))
    numbers = ItemRandom(0, epochs.tolist(), items.tolist(), repeats.tolist()).uniform(purpose="flip")[:, 0]
    assert repeats.max() > 400 and len(set(numbers)) == 2000


def test_without_repeats_the_random_numbers_are_those_of_the_first_time() -> None:
    random = ItemRandom(3, [0, 1, 1], [5, 5, 6], [0, 0, 2])
    without = ItemRandom(3, [0, 1, 1], [5, 5, 6]).uniform(purpose="flip")
    assert (random.uniform(purpose="flip")[:2] == without[:2]).all() and random.uniform()[2] != without[2]
    assert (random.select([2, 0]).uniform() == random.uniform()[[2, 0]]).all()
    assert without[:, 0].tolist() == FLIPS


@pytest.mark.parametrize("world_size", [1, 2])
def test_batches_are_a_function_of_the_step_and_repeats_are_random_again(world_size: int) -> None:
    data = WeightedItems(NumberedItems(), WEIGHTS)

    def batches(steps: range) -> torch.Tensor:
        ranks = [TrainBatches(data, 8 // world_size, 0, rank, world_size) for rank in range(world_size)]
        return torch.cat([rank[step].x for step in steps for rank in ranks])

    rows = batches(range(6))
    assert torch.equal(batches(range(3, 6)), rows[24:])
    assert torch.equal(rows, torch.cat([TrainBatches(data, 8, 0)[step].x for step in range(6)]))
    epoch = rows[:8].tolist()  # with weights of 3 of 11, an item is there twice
    repeated = [value for item, value in epoch if item in (4, 5)]
    assert len(repeated) >= 4 and len(set(repeated)) == len(repeated)
