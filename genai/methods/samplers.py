"""Ways from noise to data, along the path ``x_t = (1 - t) x + t n``: free functions of a denoiser."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from torch import Tensor

Denoise = Callable[[Tensor, float], Tensor]
"""(x_t, t) -> a prediction of the data x."""

Step = tuple[float, Tensor, Tensor]
"""(time after the step, x there, the data as predicted)"""


def euler(denoise: Denoise, x: Tensor, times: Sequence[float]) -> Iterator[Step]:
    """Straight steps along the velocity."""
    for start, end in pairwise(times):
        predicted = denoise(x, start)
        x = x + (end - start) * (x - predicted) / start
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
        return math.log((1 - t) / t) if 0 < t < 1 else math.copysign(7.0, 0.5 - t)

    before: Tensor | None = None
    width_before = 0.0
    for start, end in pairwise(times):
        predicted = denoise(x, start)
        width = log_ratio(end) - log_ratio(start)
        blend = predicted
        if before is not None and end > 0:
            blend = predicted + (predicted - before) * (width / (2 * width_before))
        x = x * (end / start) + blend * (1 - end / start)
        before, width_before = predicted, width
        yield end, x, predicted


SAMPLERS: dict[str, Callable[[Denoise, Tensor, Sequence[float]], Iterator[Step]]] = {
    "euler": euler,
    "heun": heun,
    "dpmpp_2m": dpmpp_2m,
}
