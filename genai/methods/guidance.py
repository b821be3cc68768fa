"""Classifier-free guidance by the prompt and by known data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

Factor = Annotated[float, Ge(0), Le(100)]
Fraction = Annotated[float, Ge(0), Le(1)]

GuidanceTerm = tuple[float, bool, bool]
"""A term of the guided prediction: (factor, is conditioned on the prompt, is conditioned on known data)."""

EARLY_TIME = 0.95
"""``early_guidance`` applies above this time."""


@dataclass(frozen=True, kw_only=True)
class GuidanceOptions:
    """Strength of guidance and when it applies.

    Time decreases from 1 (noise) to 0 (data). Above ``EARLY_TIME``, ``early_guidance`` applies if it is set, regardless
    of the interval. Otherwise ``guidance`` applies from ``guidance_from`` until ``guidance_until``, and 1 outside of
    that. At 1 no unconditional prediction is needed, which saves half of the work.

    Attributes:
        guidance: guidance scale from the unconditional to the conditional prediction (Ho and Salimans 2022,
            arXiv:2207.12598); 1 is the conditional prediction; more follows the prompt better and varies less.
        guidance_from, guidance_until: interval of times in which ``guidance`` applies (Kynkäänniemi et al. 2024,
            arXiv:2404.07724); 1 and 0: always.
        guidance_rescale: how much of the contrast that guidance adds is removed (Lin et al. 2023, arXiv:2305.08891,
            eq. 15 and 16, applied to the predicted data): 0 nothing, 1 all.
        early_guidance: guidance scale at times above ``EARLY_TIME``, when the layout is decided; ``None``: as at other
            times.

    Raises:
        ValueError: the interval ends before it begins.
    """

    guidance: Factor = 2.0
    guidance_from: Fraction = 1.0
    guidance_until: Fraction = 0.0
    guidance_rescale: Fraction = 0.0
    early_guidance: Factor | None = None

    def __post_init__(self) -> None:
        first, last = self.guidance_from, self.guidance_until
        if first < last:
            raise ValueError(
                f"guidance_from={first:g} comes after guidance_until={last:g} (time falls from 1 to 0): give both"
            )

    def at(self, t: float) -> float:
        """Return the guidance scale of the prompt at time ``t``."""
        if self.early_guidance is not None and t > EARLY_TIME:
            return self.early_guidance
        return self.guidance if self.guidance_until <= t <= self.guidance_from else 1.0


def guidance_terms(prompt: float, context: float = 1.0) -> list[GuidanceTerm]:
    """Return the terms for the guidance scales of prompt and known data; the first term is fully conditional."""
    terms = [(prompt, True, True), (context - prompt, False, True), (1 - context, False, False)]
    return [term for term in terms if term[0]]


def combine_terms(
    terms: Sequence[GuidanceTerm], predicted: Sequence[Tensor], rescale: float, time_dims: int = 1
) -> Tensor:
    """Return the weighted sum of the ``predicted`` (batch, ...), one tensor per term.

    ``rescale`` moves the standard deviation of every item, which has the dimensions after the first ``time_dims``,
    toward that of the first, fully conditional term.
    """
    total = sum((term[0] * x for term, x in zip(terms, predicted, strict=True)), torch.zeros_like(predicted[0]))
    if rescale == 0 or len(terms) == 1:
        return total
    dims = tuple(range(time_dims, total.ndim))
    conditional_std, guided_std = (x.std(dims, keepdim=True) for x in (predicted[0], total))
    return total * (1 + rescale * (conditional_std / guided_std.clamp(min=1e-6) - 1))
