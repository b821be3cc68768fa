"""Diffusion samplers on the path ``x_t = (1 - t) x + t n`` from noise n to data x, as functions of a denoiser."""

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor

Denoise = Callable[[Tensor, float, float], Generator[Any, Any, Tensor]]
"""(x_t, t, step size) -> predicted data x, returned by a generator that may yield network calls (``methods.base``).

The prediction is that of the velocity (x_t - x) / t, at the time t or, for a step size above 0, as the mean of a step.
"""

SamplerStep = tuple[float, Tensor, Tensor]
"""(time after the step, x_t at that time, predicted data)"""

Sampler = Callable[[Denoise, Tensor, Sequence[float]], Generator[Any, Any, None]]
"""(denoise, x_t at the first time, times that decrease to 0) -> the steps, and what ``denoise`` yields."""

NoiseSampler = Callable[[Tensor], Tensor]
"""Draws normal noise in the shape of a tensor, new at each call, like ``torch.randn_like``."""

SamplerName = Literal["euler", "euler_ancestral", "heun", "dpmpp_2m"]

MIN_LOG_RATIO = -7.0
"""Log ratio of data to noise at t = 1; its limit, minus infinity, could not be extrapolated from."""


@dataclass(frozen=True, kw_only=True)
class SamplerOptions:
    """Options of the steps from noise to data.

    Attributes:
        steps: number of sampler steps from noise to data.
        shift: shift of the steps toward noise (Esser et al. 2024, arXiv:2403.03206, eq. 23): 1 spaces them evenly,
            more improves the layout, less the details; ``None``: like the training times.
        sampler: ``euler``; ``euler_ancestral``, with new noise at each step; ``heun``, two network calls per step;
            ``dpmpp_2m`` (arXiv:2211.01095).
    """

    steps: Annotated[int, Ge(1), Le(1000)] = 10
    shift: Annotated[float, Ge(0.001), Le(1000)] | None = None
    sampler: SamplerName = "euler"


def as_generator(denoise: Callable[[Tensor, float], Tensor]) -> Denoise:
    """Return a function (x_t, t) -> predicted data as a ``Denoise`` that yields nothing."""

    def generator(x: Tensor, t: float, step_size: float) -> Generator[Any, Any, Tensor]:
        return denoise(x, t)
        yield

    return generator


def without_step_size(denoise: Denoise) -> Denoise:
    """Return a denoiser that follows the velocity in steps of any size."""
    return lambda x, t, step_size: denoise(x, t, 0.0)


def euler(denoise: Denoise, x: Tensor, times: Sequence[float]) -> Generator[Any, Any, None]:
    """Euler steps along the velocity; a denoiser that knows the size of a step may give its mean."""
    for start, end in pairwise(times):
        predicted = yield from denoise(x, start, start - end)
        x = x + (end - start) * (x - predicted) / start
        yield end, x, predicted


def euler_ancestral(
    denoise: Denoise, x: Tensor, times: Sequence[float], sample_noise: NoiseSampler
) -> Generator[Any, Any, None]:
    """Euler steps that replace a part of the noise (Ho et al. 2020, arXiv:2006.11239, eq. 7, on this path).

    With the predicted data d, x_t = (1 - t) d + t n. The step to s < t is
    x_s = (1 - s) d + s (r n + sqrt(1 - r^2) n'), r = s (1 - t) / (t (1 - s)), where n' is new noise. So x_s has the
    mean and the variance of the posterior q(x_s | x_t, d), and r n + sqrt(1 - r^2) n' has those of noise.
    """
    for start, end in pairwise(times):
        predicted = yield from denoise(x, start, 0.0)
        ratio = end * (1 - start) / (start * (1 - end))
        noise = ratio * (x - (1 - start) * predicted) / start
        if end > 0:
            noise = noise + math.sqrt(1 - ratio**2) * sample_noise(x)
        x = (1 - end) * predicted + end * noise
        yield end, x, predicted


def heun(denoise: Denoise, x: Tensor, times: Sequence[float]) -> Generator[Any, Any, None]:
    """Heun steps, with the mean velocity of both ends of a step (Karras et al. 2022, arXiv:2206.00364, algorithm 1)."""
    for start, end in pairwise(times):
        predicted = yield from denoise(x, start, 0.0)
        velocity = (x - predicted) / start
        x_end = x + (end - start) * velocity
        if end > 0:
            predicted_end = yield from denoise(x_end, end, 0.0)
            velocity = (velocity + (x_end - predicted_end) / end) / 2
        x = x + (end - start) * velocity
        yield end, x, predicted


def dpmpp_2m(denoise: Denoise, x: Tensor, times: Sequence[float]) -> Generator[Any, Any, None]:
    """Second-order multistep solver, one network call per step (DPM-Solver++(2M), arXiv:2211.01095, alg. 2)."""

    def log_ratio(t: float) -> float:
        return math.log((1 - t) / t) if t < 1 else MIN_LOG_RATIO

    previous: Tensor | None = None
    previous_width = 0.0
    for start, end in pairwise(times):
        predicted = yield from denoise(x, start, 0.0)
        blend = predicted
        if end > 0:  # the last step is of first order, as its width is infinite
            width = log_ratio(end) - log_ratio(start)
            if previous is not None:
                blend = predicted + (predicted - previous) * (width / (2 * previous_width))
            previous_width = max(width, 1.0) if start == 1 else width  # the next log ratio may be below MIN_LOG_RATIO
        x = x * (end / start) + blend * (1 - end / start)
        previous = predicted
        yield end, x, predicted


def get_sampler(name: SamplerName, sample_noise: NoiseSampler = torch.randn_like) -> Sampler:
    """Return the sampler of that name; a stochastic one draws its noise with ``sample_noise``."""
    ancestral = partial(euler_ancestral, sample_noise=sample_noise)
    samplers: dict[SamplerName, Sampler]
    samplers = {"euler": euler, "euler_ancestral": ancestral, "heun": heun, "dpmpp_2m": dpmpp_2m}
    return samplers[name]
