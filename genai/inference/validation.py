"""The held-out losses of a method, with noise that is the same every time: of a run as it goes, and of ``evaluate``."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from genai.core.data import PackedDataset
from genai.core.loader import held_out
from genai.core.seeding import seed_noise
from genai.methods.base import Method

NUMBERS = 16_384
"""Of the examples of a batch, about: more are not faster, and take memory."""


def at_once(packed: PackedDataset, batch: int = 1) -> int:
    """Examples of a batch: ``batch`` at least, more where they are small."""
    return max(batch, min(128, NUMBERS // max(1, packed.batch([0], None).x[0].numel())))


@torch.no_grad()
def held_out_losses(
    method: Method,
    packed: PackedDataset,
    *,
    items: int | None = None,
    batch: int = 1,
    seed: int = 0,
    rank: int = 0,
    world: int = 1,
    precision: Callable[[], AbstractContextManager[None]] = nullcontext,
    between: Callable[[], object] = lambda: None,
) -> tuple[dict[str, Tensor], Tensor]:
    """The losses of the first player over ``items`` evenly spaced examples (``None``: all), and what they weigh.

    Args:
        batch: examples at once, at least; more where they are small.
        precision: the context of the computation, such as autocast.
        between: called before each batch; what it raises ends the validation.

    Returns:
        Weighted sums by name, and the weight: their quotients are means. Each is this process's share.
    """
    sums: dict[str, Tensor] = {}
    exact = torch.float32 if method.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
    weight = torch.zeros((), device=method.device, dtype=exact)
    size = at_once(packed, batch)
    with torch.random.fork_rng([method.device] if method.device.type == "cuda" else []):
        for number, (drawn, counts) in enumerate(held_out(packed, size, items, rank, world)):
            between()
            seed_noise(seed, -1 - number, rank)
            with precision():
                losses = method.held_out(drawn.to(method.device))
            for name, value in losses.items():
                sums[name] = sums.get(name, torch.zeros_like(weight)) + value.to(exact) * counts
            weight += counts
    return sums, weight
