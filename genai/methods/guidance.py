"""Guidance: from what a network predicts without a prompt towards what it predicts with it, and beyond."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

Factor = Annotated[float, Ge(0), Le(100)]
Share = Annotated[float, Ge(0), Le(1)]

Lane = tuple[float, bool, bool]
"""A prediction of several that are summed up: (its factor, with the prompt, with the known frames)."""

EARLY = 0.95
"""Down to this time guidance is early."""


@dataclass(frozen=True, kw_only=True)
class GuidanceOptions:
    """How far samples go towards their prompt, and when.

    Time falls from 1, noise, to 0, data. Above ``EARLY`` it is ``early_guidance`` that counts, if there is one,
    whatever the interval; else ``guidance``, from ``guidance_from`` until ``guidance_until``; outside of that 1, the
    prompt alone. Where it is 1 nothing is predicted without the prompt, which saves half of the work.

    Attributes:
        guidance: how far to go from the unprompted prediction to the prompted one, and beyond (Ho and Salimans 2022,
            arXiv:2207.12598); 1 is the prompt alone, more obeys it better and varies less.
        guidance_from, guidance_until: the times between which ``guidance`` counts (Kynkäänniemi et al. 2024,
            arXiv:2404.07724); 1 and 0: always.
        guidance_rescale: how much of the contrast that guidance adds is taken away again (Lin et al. 2023,
            arXiv:2305.08891, eq. 15 and 16, of the predicted data): 0 nothing, 1 all.
        early_guidance: while nearly all is noise, when it is decided what goes where; ``None``: as at other times.
        context_guidance: likewise of the frames of a clip that are known, at all times; 1: as learnt.

    Raises:
        ValueError: an interval that ends before it begins.
    """

    guidance: Factor = 2.0
    guidance_from: Share = 1.0
    guidance_until: Share = 0.0
    guidance_rescale: Share = 0.0
    early_guidance: Factor | None = None
    context_guidance: Factor = 1.0

    def __post_init__(self) -> None:
        first, last = self.guidance_from, self.guidance_until
        if first < last:
            raise ValueError(
                f"guidance_from={first:g} comes after guidance_until={last:g} (time falls from 1 to 0): give both"
            )

    def at(self, t: float) -> float:
        """The guidance by the prompt that counts at time ``t``."""
        if self.early_guidance is not None and t > EARLY:
            return self.early_guidance
        return self.guidance if self.guidance_until <= t <= self.guidance_from else 1.0


def lanes(prompt: float, context: float) -> list[Lane]:
    """What is to be predicted for guidance by the prompt and by known frames; the first knows most."""
    summed = [(prompt, True, True), (context - prompt, False, True), (1 - context, False, False)]
    return [lane for lane in summed if lane[0]]


def combined(summed: Sequence[Lane], predicted: Sequence[Tensor], rescale: float) -> Tensor:
    """The sum of what was ``predicted`` (batch, ..., channels, height, width) in each lane.

    With ``rescale`` every image of it, a frame of a clip likewise, is brought nearer to its standard deviation in the
    first lane.
    """
    total = sum((lane[0] * each for lane, each in zip(summed, predicted, strict=True)), torch.zeros_like(predicted[0]))
    if rescale == 0 or len(summed) == 1:
        return total
    wanted, found = (x.std((-3, -2, -1), keepdim=True) for x in (predicted[0], total))
    return total * (1 + rescale * (wanted / found.clamp(min=1e-6) - 1))
