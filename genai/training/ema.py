"""Exponential moving average of the weights, which sampling and validation use."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def create_ema(module: nn.Module, decay: float) -> AveragedModel:
    """Create the EMA of ``module``, with decay ``min(decay, (1 + n) / (10 + n))`` at the n-th update.

    The warm-up forgets the initial weights, which would remain visible for thousands of steps with a constant decay.
    """
    average = AveragedModel(nn.Identity(), multi_avg_fn=_warmup_average(decay), use_buffers=True)
    frozen = {id(parameter): parameter for parameter in module.parameters() if not parameter.requires_grad}
    average.module = copy.deepcopy(module, frozen)  # what is not trained, as below an adapter, is shared
    return average.requires_grad_(False)


@contextmanager
def use_averaged_weights(module: nn.Module, average: AveragedModel) -> Iterator[None]:
    """Swap the weights of ``module`` and ``average``, and swap them back at the end, bit for bit."""
    pairs = list(zip(_tensors(module), _tensors(average.module), strict=True))
    _swap(pairs)
    try:
        yield
    finally:
        _swap(pairs)


@torch.no_grad()
def _swap(pairs: list[tuple[Tensor, Tensor]]) -> None:
    """Swap values, not storage: FSDP keeps references to the storage of shards."""
    for first, second in pairs:
        if first is second:
            continue
        values = first.clone()
        first.copy_(second)
        second.copy_(values)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _warmup_average(decay: float) -> Callable[..., None]:
    @torch.no_grad()
    def update(averages: Any, currents: Any, count: Any) -> None:
        n = int(count)
        weight = 1 - min(decay, (1 + n) / (10 + n))
        if averages[0].is_floating_point():  # AveragedModel groups tensors by type
            torch._foreach_lerp_(averages, currents, weight)
        else:
            torch._foreach_copy_(averages, currents)

    return update
