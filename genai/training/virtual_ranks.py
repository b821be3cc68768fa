"""Gradients that do not depend on the number of processes.

A step consists of virtual ranks, each with its own examples and noise. A process works through its share of them, one
after the other. Gradients and losses are added in one fixed binary tree: neighbors first. So 1, 2, 4 ... processes
compute the same bits, if each virtual rank is computed alike.

Replicas work through neighbors, and add first inside a process, then between processes (recursive doubling). Shards
are reduced after each backward pass, so there neighbors are in different processes, which add first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from genai.core.device import DeviceConfig
from genai.core.errors import UserError


@dataclass(frozen=True)
class VirtualRanks:
    """The virtual ranks of a process.

    Attributes:
        count: number of all virtual ranks.
        rank, world_size: of this process.
        is_sharded: whether FSDP reduces gradients after each backward pass.
    """

    count: int
    rank: int
    world_size: int
    is_sharded: bool = False

    @property
    def own(self) -> range:
        """Those of this process."""
        if self.is_sharded:
            return range(self.rank, self.count, self.world_size)
        size = self.count // self.world_size
        return range(self.rank * size, (self.rank + 1) * size)


class TreeSum:
    """Adds lists of tensors in the order of a binary tree; holds one partial sum of each level."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, list[Tensor]]] = []

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Add tensors, which may be changed."""
        level, sums = 0, list(tensors)
        while self._parts and self._parts[-1][0] == level:
            before = self._parts.pop()[1]
            torch._foreach_add_(before, sums)
            level, sums = level + 1, before
        self._parts.append((level, sums))

    def total(self) -> list[Tensor]:
        """Return the sums of a number of lists that is a power of two."""
        ((_, sums),) = self._parts
        return sums


class RankSum:
    """Adds lists of tensors of all virtual ranks, which processes compute at the same time."""

    def __init__(self, ranks: VirtualRanks) -> None:
        self._ranks, self._tree = ranks, TreeSum()

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Add the tensors of the next virtual rank of each process; they may be changed."""
        self._tree.add(sum_over_processes(tensors, self._ranks) if self._ranks.is_sharded else tensors)

    def total(self) -> list[Tensor]:
        """Return the sums over all virtual ranks."""
        sums = self._tree.total()
        return sums if self._ranks.is_sharded else sum_over_processes(sums, self._ranks)


class OrderedReduceScatter:
    """Sums the gradients of all processes in the order of the tree, for ``FSDPModule.set_custom_reduce_scatter``.

    It does not divide them.
    """

    def allocate(self, size: Sequence[int], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return a buffer."""
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(
        self, output_tensor: Tensor, input_tensor: Tensor, group: Any, op: Any, async_op: bool = False
    ) -> None:
        parts, tree = torch.empty_like(input_tensor), TreeSum()
        distributed.all_to_all_single(parts, input_tensor, group=group)
        for part in parts.chunk(distributed.get_world_size(group)):
            tree.add([part])
        output_tensor.copy_(tree.total()[0])


def sum_over_processes(tensors: Sequence[Tensor], ranks: VirtualRanks) -> list[Tensor]:
    """Return the sums over processes, by recursive doubling: neighbors first, so the tree goes on where it ended.

    Args:
        tensors: of one data type, on one device; the same shapes in all processes.
        ranks: of this process.
    """
    flat, distance = torch.cat([tensor.reshape(-1) for tensor in tensors]), 1
    while distance < ranks.world_size:
        other, received = ranks.rank ^ distance, torch.empty_like(flat)
        operations = [
            distributed.P2POp(distributed.isend, flat, other),
            distributed.P2POp(distributed.irecv, received, other),
        ]
        for work in distributed.batch_isend_irecv(operations):
            work.wait()
        flat = flat + received  # a + b and b + a have the same bits
        distance *= 2
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.reshape(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def check_virtual_ranks(count: int, batch: int, hardware: DeviceConfig) -> None:
    """Raise ``UserError`` unless virtual ranks divide the batch, and the processes divide them."""
    if count == 1:
        return
    if count & (count - 1):
        raise UserError(f"virtual_ranks={count}: it should be a power of two, such as 8.")
    if batch % count:
        raise UserError(f"batch={batch} should be a multiple of virtual_ranks={count}.")
    if count % hardware.num_processes:
        allowed = ", ".join(str(2**power) for power in range(count.bit_length()))
        raise UserError(f"virtual_ranks={count} is shared by {allowed} processes, not {hardware.num_processes}.")
