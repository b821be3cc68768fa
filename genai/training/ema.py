"""The average of the weights over training, which sampling and validation use."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged(module: nn.Module, decay: float) -> AveragedModel:
    """A copy of ``module`` that follows it with decay ``min(decay, (1 + n) / (10 + n))`` at its n-th update.

    The warm-up lets it forget the random start, which a fixed decay would show for thousands of steps.
    """
    average = AveragedModel(module, multi_avg_fn=_warmed_up(decay), use_buffers=True)
    return average.requires_grad_(False)


@contextmanager
def swapped(module: nn.Module, average: AveragedModel) -> Iterator[None]:
    """Within it ``module`` has the averaged weights. No number changes: the two trade places, and back."""
    pairs = list(zip(_tensors(module), _tensors(average.module), strict=True))
    _swap(pairs)
    try:
        yield
    finally:
        _swap(pairs)


@torch.no_grad()
def _swap(pairs: list[tuple[Tensor, Tensor]]) -> None:
    """By value, as a shard's storage is known elsewhere, too."""
    for ours, theirs in pairs:
        kept = ours.clone()
        ours.copy_(theirs)
        theirs.copy_(kept)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _warmed_up(decay: float) -> Callable[..., None]:
    @torch.no_grad()
    def update(averages: Any, currents: Any, count: Any) -> None:
        n = int(count)
        weight = 1 - min(decay, (1 + n) / (10 + n))
        if averages[0].is_floating_point():  # they come sorted by type
            torch._foreach_lerp_(averages, currents, weight)
        else:
            torch._foreach_copy_(averages, currents)

    return update
