"""Sums in the order of a tree, and what virtual ranks need."""

import pytest
import torch

from genai.core.device import DeviceConfig
from genai.core.errors import UserError
from genai.training.virtual_ranks import TreeSum, VirtualRanks, check_virtual_ranks, sum_over_processes
from tests.integration.test_distributed import assert_same_curve
from tests.integration.test_resume import go_on, run_to


def test_shares_of_a_tree_add_up_to_the_same_bits() -> None:
    values = torch.randn(8, 100, generator=torch.Generator().manual_seed(0)) * 10 ** torch.arange(8)[:, None]

    def tree(rows: torch.Tensor) -> torch.Tensor:
        total = TreeSum()
        for row in rows:
            total.add([row.clone()])
        return total.total()[0]

    whole = tree(values)
    for world_size in (1, 2, 4, 8):
        shares = [tree(values[list(VirtualRanks(8, rank, world_size).own)]) for rank in range(world_size)]
        assert torch.equal(tree(torch.stack(shares)), whole)
    assert not torch.equal(values.sum(0), whole) or not torch.equal(values.flip(0).sum(0), whole)
    torch.testing.assert_close(whole, values.sum(0))


def test_shards_add_neighbors_of_different_processes_first() -> None:
    values = torch.randn(8, 100, generator=torch.Generator().manual_seed(0)) * 10 ** torch.arange(8)[:, None]

    def tree(rows: torch.Tensor) -> torch.Tensor:
        total = TreeSum()
        for row in rows:
            total.add([row.clone()])
        return total.total()[0]

    for world_size in (1, 2, 4, 8):
        ranks = [list(VirtualRanks(8, rank, world_size, is_sharded=True).own) for rank in range(world_size)]
        assert sorted(number for each in ranks for number in each) == list(range(8))
        reduced = [tree(values[list(neighbors)]) for neighbors in zip(*ranks, strict=True)]
        assert torch.equal(tree(torch.stack(reduced)), tree(values))


def test_one_process_has_the_sum_already() -> None:
    tensors = [torch.ones(2, 3), torch.arange(4.0)]
    for actual, expected in zip(sum_over_processes(tensors, VirtualRanks(4, 0, 1)), tensors, strict=True):
        assert torch.equal(actual, expected)


@pytest.mark.parametrize(
    ("count", "batch", "hardware", "message"),
    [
        (6, 12, DeviceConfig(), "virtual_ranks=6: it should be a power of two"),
        (8, 12, DeviceConfig(), "batch=12 should be a multiple of virtual_ranks=8"),
        (8, 16, DeviceConfig(devices=3, strategy="ddp"), "shared by 1, 2, 4, 8 processes, not 3"),
        (8, 16, DeviceConfig(devices=3, strategy="fsdp"), "shared by 1, 2, 4, 8 processes, not 3"),
    ],
)
def test_what_does_not_fit_is_refused(count: int, batch: int, hardware: DeviceConfig, message: str) -> None:
    check_virtual_ranks(1, batch, hardware)
    with pytest.raises(UserError, match=message):
        check_virtual_ranks(count, batch, hardware)


def test_they_learn_what_one_batch_does(small: list[str]) -> None:
    one = run_to(small, "steps=6", "batch=8")
    assert_same_curve(one, run_to(small, "steps=6", "batch=8", "virtual_ranks=4"))


def test_a_run_keeps_its_virtual_ranks(small: list[str]) -> None:
    run = run_to(small, "steps=2", "batch=8", "virtual_ranks=4")
    with pytest.raises(UserError, match="this run began with virtual_ranks=4"):
        go_on(run, "virtual_ranks=2", "steps=4")
