"""Ways from noise to data, along the path ``x_t = (1 - t) x + t n``: free functions of a denoiser."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

Denoise = Callable[[Tensor, float], Tensor]
"""(x_t, t) -> a prediction of the data x."""

Step = tuple[float, Tensor, Tensor]
"""(time after the step, x there, the data as predicted)"""

Sampler = Callable[[Denoise, Tensor, Sequence[float]], Iterator[Step]]
"""(denoise, x at the first time, times that fall to 0) -> the steps."""

Fresh = Callable[[Tensor], Tensor]
"""Normal noise in the shape of a tensor, other noise at each call, as ``torch.randn_like``."""

Name = Literal["euler", "euler_ancestral", "heun", "dpmpp_2m"]

FARTHEST = -7.0
"""Log ratio of data to noise where there is no data: minus infinity would leave nothing to extrapolate from."""


def euler(denoise: Denoise, x: Tensor, times: Sequence[float]) -> Iterator[Step]:
    """Straight steps along the velocity."""
    for start, end in pairwise(times):
        predicted = denoise(x, start)
        x = x + (end - start) * (x - predicted) / start
        yield end, x, predicted


def euler_ancestral(denoise: Denoise, x: Tensor, times: Sequence[float], fresh: Fresh) -> Iterator[Step]:
    """Steps that put other noise in the place of some (Ho et al. 2020, arXiv:2006.11239, eq. 7, on this path).

    Of x_t = (1 - t) d + t n, with the data d as predicted, the noise n is kept as far as x_t follows from x_s, s < t:
    x_s = (1 - s) d + s (r n + sqrt(1 - r^2) n'), r = s (1 - t) / (t (1 - s)), n' being fresh. So x_s has the mean and
    the variance of the posterior q(x_s | x_t, d), and r n + sqrt(1 - r^2) n' those of noise: the marginal is right.
    """
    for start, end in pairwise(times):
        predicted = denoise(x, start)
        kept = end * (1 - start) / (start * (1 - end))
        noise = kept * (x - (1 - start) * predicted) / start
        if end > 0:
            noise = noise + math.sqrt(1 - kept**2) * fresh(x)
        x = (1 - end) * predicted + end * noise
        yield end, x, predicted


def heun(denoise: Denoise, x: Tensor, times: Sequence[float]) -> Iterator[Step]:
    """The mean of the velocities at both ends of a step (Karras et al. 2022, arXiv:2206.00364, algorithm 1)."""
    for start, end in pairwise(times):
        predicted = denoise(x, start)
        velocity = (x - predicted) / start
        ahead = x + (end - start) * velocity
        if end > 0:
            velocity = (velocity + (ahead - denoise(ahead, end)) / end) / 2
        x = x + (end - start) * velocity
        yield end, x, predicted


def dpmpp_2m(denoise: Denoise, x: Tensor, times: Sequence[float]) -> Iterator[Step]:
    """Second order from one evaluation a step and the one before (DPM-Solver++(2M), arXiv:2211.01095, alg. 2)."""

    def log_ratio(t: float) -> float:
        return math.log((1 - t) / t) if t < 1 else FARTHEST

    before: Tensor | None = None
    width_before = 0.0
    for start, end in pairwise(times):
        predicted = denoise(x, start)
        blend = predicted
        if end > 0:  # the last step is of first order: its width is infinite
            width = log_ratio(end) - log_ratio(start)
            if before is not None:
                blend = predicted + (predicted - before) * (width / (2 * width_before))
            width_before = max(width, 1.0) if start == 1 else width  # the next time may lie beyond the farthest
        x = x * (end / start) + blend * (1 - end / start)
        before = predicted
        yield end, x, predicted


def sampler(name: Name, fresh: Fresh = torch.randn_like) -> Sampler:
    """The one of that name; where it needs noise, it takes ``fresh`` noise."""
    ancestral = partial(euler_ancestral, fresh=fresh)
    samplers: dict[Name, Sampler]
    samplers = {"euler": euler, "euler_ancestral": ancestral, "heun": heun, "dpmpp_2m": dpmpp_2m}
    return samplers[name]
