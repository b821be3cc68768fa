"""Sampling of classes from logits: temperature, filters, and a random number of each item."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor


@dataclass(frozen=True)
class AutoregressiveOptions:
    """Options of sampling the next class.

    Attributes:
        temperature: below 1 sharper, above 1 flatter; 0 takes the most probable class.
        top_k: keep only the k most probable classes; 0: all.
        top_p: keep only the most probable classes whose sum reaches p (nucleus sampling, arXiv:1904.09751).
        min_p: keep only classes with at least this probability relative to the most probable one (arXiv:2407.01082).
        repetition_penalty: divides positive logits of classes that occurred before (CTRL, arXiv:1909.05858, sec. 4.1).
        presence_penalty: is subtracted from the logits of classes that were generated before.
    """

    temperature: Annotated[float, Ge(0), Le(100)] = 1.0
    top_k: Annotated[int, Ge(0)] = 0
    top_p: Annotated[float, Gt(0), Le(1)] = 1.0
    min_p: Annotated[float, Ge(0), Le(1)] = 0.0
    repetition_penalty: Annotated[float, Gt(0), Le(100)] = 1.0
    presence_penalty: Annotated[float, Ge(-100), Le(100)] = 0.0


class UniformSampler:
    """Draws uniform numbers for each item from its own generator."""

    def __init__(self, seeds: list[int], device: torch.device, buffer_size: int = 256) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.device, self.buffer_size = device, buffer_size
        self.numbers = torch.empty(len(seeds), 0)

    def take(self, count: int) -> Tensor:
        """Return the next ``count`` numbers of each item (items, count). Buffering changes only the speed."""
        while self.numbers.shape[1] < count:
            rows = [torch.rand(self.buffer_size, generator=generator) for generator in self.generators]
            self.numbers = torch.cat([self.numbers, torch.stack(rows)], 1)
        numbers, self.numbers = self.numbers[:, :count], self.numbers[:, count:]
        return numbers.to(self.device)


def sample_categorical(logits: Tensor, uniform: Tensor, options: AutoregressiveOptions) -> Tensor:
    """Sample classes (batch,) from ``logits`` (batch, classes) by inverting the CDF at ``uniform`` (batch,)."""
    if options.temperature < 1e-6:  # any lower, and float32 overflows
        return logits.argmax(-1)
    probabilities = (logits.float() / options.temperature).softmax(-1)
    probabilities = probabilities * filter_mask(probabilities, options)
    exact = torch.float32 if logits.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
    cumulative = probabilities.to(exact).cumsum(-1)
    target = uniform.to(exact)[:, None] * cumulative[:, -1:]
    classes = torch.searchsorted(cumulative, target, right=True)[:, 0]
    last = logits.shape[-1] - 1 - (probabilities > 0).flip(-1).int().argmax(-1)  # rounding must not pass the last one
    return torch.minimum(classes, last)


def filter_mask(probabilities: Tensor, options: AutoregressiveOptions) -> Tensor:
    """Return the mask (batch, classes) of classes that top-k, top-p and min-p keep; always the most probable one."""
    best = probabilities.amax(-1, keepdim=True)
    keep = probabilities >= options.min_p * best
    if 0 < options.top_k < probabilities.shape[-1]:
        keep &= probabilities >= probabilities.topk(options.top_k).values[:, -1:]
    if options.top_p < 1:
        ordered = probabilities.sort(-1, descending=True).values
        needed = ordered.cumsum(-1) - ordered < options.top_p
        threshold = ordered.masked_fill(~needed, 2).amin(-1, keepdim=True)
        keep &= probabilities >= threshold
    return keep | (probabilities == best)
