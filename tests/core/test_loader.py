from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor

from genai.core.batch import Batch
from genai.core.data import ItemRandom
from genai.core.loader import TrainBatches, epoch_permutation, train_loader, validation_batches


@dataclass(frozen=True)
class Numbers:
    """``count`` items; a row holds its index and a number drawn for it."""

    count: int

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> Batch:
        noise = np.zeros((len(indices), 1)) if random is None else random.uniform()
        return Batch(torch.from_numpy(np.concatenate([np.asarray(indices)[:, None], noise], 1)))


def rows(batches: TrainBatches, steps: int) -> Tensor:
    return torch.cat([batches[step].x for step in range(steps)])


@pytest.mark.parametrize(("items", "batch"), [(12, 4), (10, 4), (3, 8), (1, 2)])
def test_every_epoch_is_a_permutation_of_its_own(items: int, batch: int) -> None:
    steps = -(-4 * items // batch)
    stream = rows(TrainBatches(Numbers(items), batch, seed=5), steps)[:, 0].long()
    epochs = stream[: 3 * items].view(3, items).tolist()
    assert all(sorted(epoch) == list(range(items)) for epoch in epochs)
    assert items < 4 or len({tuple(epoch) for epoch in epochs}) == 3


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    assert epoch_permutation(1, 0, 50).tolist() == epoch_permutation(1, 0, 50).tolist()
    assert len({tuple(epoch_permutation(seed, epoch, 50)) for seed in (1, 2) for epoch in (0, 1)}) == 4


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("start", [0, 3])
def test_a_step_depends_on_neither_workers_nor_restarts(workers: int, start: int) -> None:
    batches = TrainBatches(Numbers(10), 4, seed=0)
    loaded = [batch.x for batch in islice(train_loader(batches, start, workers), 5)]
    assert torch.stack(loaded).equal(torch.stack([batches[start + step].x for step in range(5)]))


@pytest.mark.parametrize("world", [2, 3])
def test_more_processes_take_what_one_with_a_larger_batch_takes(world: int) -> None:
    """With the same random numbers for the same items, too."""
    one = TrainBatches(Numbers(10), 2 * world, seed=0)
    parts = [TrainBatches(Numbers(10), 2, seed=0, rank=rank, world_size=world) for rank in range(world)]
    for step in range(7):
        assert one[step].x.equal(torch.cat([part[step].x for part in parts]))


def test_random_numbers_belong_to_the_item() -> None:
    together = ItemRandom(0, [0, 0, 1], [4, 5, 4]).uniform(3)
    assert together[1].tolist() == ItemRandom(0, [0], [5]).uniform(3)[0].tolist()
    assert len({tuple(row) for row in together}) == 3
    assert ItemRandom(1, [0], [4]).uniform(3)[0].tolist() != together[0].tolist()
    assert ((together >= 0) & (together < 1)).all()
    assert ItemRandom(0, [], []).uniform(3).shape == (0, 3)


def test_each_purpose_has_random_numbers_of_its_own() -> None:
    random = ItemRandom(0, [0] * 500, range(500))
    crop, flip = random.uniform(purpose="crop")[:, 0], random.uniform(purpose="flip")[:, 0]
    assert (flip == random.uniform(purpose="flip")[:, 0]).all()
    assert abs(np.corrcoef(crop, flip)[0, 1]) < 0.15


@pytest.mark.parametrize("limit", [None, 1, 7, 12, 100])
@pytest.mark.parametrize("world", [1, 2, 5])
def test_held_out_items_are_taken_once_by_all_processes_together(limit: int | None, world: int) -> None:
    shares = [list(validation_batches(Numbers(12), 2, limit, rank, world)) for rank in range(world)]
    weighted_rows = [
        (row, weight) for share in shares for batch, weight in share if weight for row in batch.x[:, 0].tolist()
    ]
    expected_count = min(12, limit or 12)
    assert len(weighted_rows) == expected_count == len({row for row, _ in weighted_rows})
    assert sum(weight for share in shares for _, weight in share) == expected_count
    assert all(len(batch) for share in shares for batch, _ in share)
    assert len({len(share) for share in shares}) == 1, "sums over processes need as many batches in each"


@pytest.mark.parametrize(("limit", "spaced"), [(4, [0, 3, 6, 9]), (5, [0, 2, 4, 7, 9]), (1, [0])])
def test_a_limit_takes_evenly_spaced_items(limit: int, spaced: list[int]) -> None:
    taken = torch.cat([batch.x[:, 0] for batch, _ in validation_batches(Numbers(12), 3, limit)])
    assert taken.tolist() == spaced
