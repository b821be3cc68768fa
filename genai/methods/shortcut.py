"""Shortcut models: a network that also knows the size of a step, so one large step ends where two small ones do.

Frans et al. 2024, arXiv:2410.12557. A step goes from a time to a smaller one, with the mean velocity between them. The
target of a large step is two steps of half its size with the averaged weights; the smallest steps follow the velocity
itself (step size 0), guided by the prompt. So a large step has the guidance in it and needs no second prediction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from genai.methods.interpolation import Prompt
from genai.networks.layers import append_dims

T = TypeVar("T", float, Tensor)

SELF_CONSISTENCY = 0.25
"""Fraction of a batch that learns large steps (k in the paper)."""
LEVELS = 3
"""Doublings from the smallest learned step, of a grid of ``2**(LEVELS - 1)`` steps, to a single one."""
LEARNED_STEPS = tuple(2**level for level in range(LEVELS))
"""Numbers of a sampler's steps that have a learned size; others follow the velocity."""


@dataclass(frozen=True)
class StepTriples:
    """Times of two successive steps, of which one large step should make one.

    Attributes:
        start, middle, end: times (rows,), which decrease.
        is_smallest: (rows,) bool, True where the two steps follow the velocity.
    """

    start: Tensor
    middle: Tensor
    end: Tensor
    is_smallest: Tensor

    @property
    def size(self) -> Tensor:
        """Size of the large step, (rows,)."""
        return self.start - self.end


def num_consistency_rows(count: int) -> int:
    """Return how many of ``count`` examples learn large steps: the fraction, rounded up or down at random."""
    return int(count * SELF_CONSISTENCY + float(torch.rand(())))


def sample_triples(rows: int, shift: float, device: torch.device) -> StepTriples:
    """Draw a level for each row, all levels equally often, and one of its steps, spaced as a sampler's steps are."""
    level = (torch.arange(rows, device=device) + torch.randint(LEVELS, (), device=device)) % LEVELS
    count = 2**level  # steps of the grid
    even = 1 - (torch.rand(rows, device=device) * count).floor() / count
    start, middle, end = (shift_time(even - part / count, shift) for part in (0.0, 0.5, 1.0))
    return StepTriples(start, middle, end, level == LEVELS - 1)


def shift_time(even: T, shift: float) -> T:
    """Move evenly spaced times toward noise (Esser et al. 2024, arXiv:2403.03206, eq. 23)."""
    return shift * even / (1 + (shift - 1) * even)


def two_step_target(predict: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, steps: StepTriples) -> Tensor:
    """Return the data that one large step from ``x`` (rows, ...) should predict: it ends where two steps end (eq. 4).

    Args:
        predict: (x_t, t, step size) -> the predicted data; a step follows the velocity (x_t - data) / t.
        x: noisy data at ``steps.start``.
        steps: times of the two steps.
    """
    start, middle, end = (append_dims(time, x.ndim) for time in (steps.start, steps.middle, steps.end))
    first, second = (
        torch.where(steps.is_smallest, 0.0, size) for size in (steps.start - steps.middle, steps.middle - steps.end)
    )
    x_middle = x + (middle - start) * (x - predict(x, steps.start, first)) / start
    x_end = x_middle + (end - middle) * (x_middle - predict(x_middle, steps.middle, second)) / middle
    return x - start * (x - x_end) / (start - end)


@torch.no_grad()
def guided_target(
    denoise: Callable[..., Tensor], x: Tensor, prompts: Sequence[Prompt], steps: StepTriples, guidance: float
) -> Tensor:
    """Return what large steps from ``x`` (rows, ...) should predict.

    Only the smallest steps are guided: larger ones learn from them.

    Args:
        denoise: (x_t, times, prompts, step_size=) -> the predicted data, by the averaged network.
        x: noisy data at ``steps.start``.
        prompts: one per row.
        steps: times of the two steps.
        guidance: guidance scale of rows with a prompt.
    """
    guided = steps.is_smallest & torch.tensor([prompt != "" for prompt in prompts], device=x.device, dtype=torch.bool)
    rows = guided.nonzero()[:, 0] if guidance != 1 else torch.empty(0, dtype=torch.long, device=x.device)
    all_prompts = [*prompts, *[""] * len(rows)]

    def predict(x: Tensor, time: Tensor, step_size: Tensor) -> Tensor:
        noisy, times, sizes = (torch.cat([each, each[rows]]) for each in (x, time, step_size))
        predicted = denoise(noisy, times, all_prompts, step_size=sizes)
        output, unconditional = predicted[: len(x)], predicted[len(x) :]
        return output.index_copy(0, rows, torch.lerp(unconditional, output[rows], guidance))

    return two_step_target(predict, x, steps)
