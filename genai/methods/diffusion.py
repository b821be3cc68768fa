"""Diffusion: a network learns to take noise away; samples start as noise and are cleaned step by step.

Time runs from 0 (data) to 1 (noise) along the straight path ``x_t = (1 - t) x + t n`` of rectified flow (Liu et al.
2022, arXiv:2209.03003). Any network that takes (x, time, pooled prompt) will do; samplers are free functions of a
denoiser.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from genai.batch import Batch, Piece, Request
from genai.methods.base import Method

Denoise = Callable[[Tensor, float], Tensor]
"""(x_t, t) -> a prediction of the data x."""


@dataclass(frozen=True)
class DiffusionOptions:
    """How samples are drawn.

    Attributes:
        steps: of the sampler, from noise to data.
        guidance: how far to go from the unprompted prediction to the prompted one, and beyond (arXiv:2207.12598);
            1 is the prompt alone, more obeys it better and varies less.
        sampler: ``euler``, ``heun`` (two evaluations a step) or ``dpmpp_2m`` (arXiv:2211.01095).
        strength: of the noise that is put on ``init``: 0 leaves it as it is, 1 forgets it. With a mask it has no say:
            what is white there is painted from nothing.
    """

    steps: Annotated[int, Ge(1), Le(1000)] = 10
    guidance: Annotated[float, Ge(0), Le(100)] = 2.0
    sampler: Literal["euler", "heun", "dpmpp_2m"] = "euler"
    strength: Annotated[float, Ge(0), Le(1)] = 0.6


class Denoiser(nn.Module):
    """The network and the encoder of its prompts: what learns, is averaged, and samples."""

    def __init__(self, network: nn.Module, prompt: nn.Module | None) -> None:
        super().__init__()
        self.network, self.prompt = network, prompt

    def forward(self, x: Tensor, time: Tensor, prompts: Sequence[str]) -> Tensor:
        """(batch, channels, height, width), (batch,), a prompt a row -> the network's output, in float32."""
        pooled = None if self.prompt is None else self.prompt(list(prompts)).pooled
        return self.network(x, time, pooled).float()


class Diffusion(Method):
    """Learns from uint8 images.

    Args:
        network: (x, time, pooled) -> the shape of x.
        prompt: the encoder of prompts; ``None``: unprompted.
        mean, std: of the data in [-1, 1], so that the network sees zero mean and unit variance.
        objective: the network predicts the data (``x0``) or the velocity n - x (``velocity``).
        time_mean, time_std: training times are the sigmoid of a normal variable; the mean shifts them, and the
            sampler's steps, to where layout is decided.
        prompt_drop: share of prompts that are replaced by "", which guidance needs.
        sampling: this model's own defaults among ``DiffusionOptions``.
    """

    Options = DiffusionOptions

    def __init__(
        self,
        network: nn.Module,
        prompt: nn.Module | None = None,
        mean: float = 0.0,
        std: Annotated[float, Gt(0)] = 0.5,
        objective: Literal["x0", "velocity"] = "velocity",
        time_mean: float = 2.0,
        time_std: Annotated[float, Gt(0)] = 1.3,
        prompt_drop: Annotated[float, Ge(0), Le(1)] = 0.1,
        sampling: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.sampled = Denoiser(network, prompt)
        self.mean, self.std = mean, std
        self.objective, self.time_mean, self.time_std = objective, time_mean, time_std
        self.prompt_drop, self.sampling = prompt_drop, sampling or {}

    def scale(self, x: Tensor) -> Tensor:
        """uint8 -> zero mean, unit variance."""
        return (x.float() / 127.5 - 1 - self.mean) / self.std

    def unscale(self, x: Tensor) -> Tensor:
        """The inverse of ``scale``, rounded and clipped."""
        return ((x * self.std + self.mean + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)

    def denoise(self, x: Tensor, time: Tensor, prompts: Sequence[str]) -> Tensor:
        """The data that ``x`` (batch, ...) at ``time`` (batch,) is predicted to come from."""
        t = append_dims(time, x.ndim)
        predicted = self.sampled(x / ((1 - t) ** 2 + t**2).sqrt(), time, prompts)
        return predicted if self.objective == "x0" else x - t * predicted

    def loss(self, batch: Batch, player: str = "model") -> dict[str, Tensor]:
        """Squared error of the predicted data, weighted by ``1 / max(t, 0.1)^2``: that of the velocity, bounded."""
        x = self.scale(batch.x)
        time = torch.sigmoid(torch.randn(len(x), device=x.device) * self.time_std + self.time_mean)
        prompts = list(batch.prompts) or [""] * len(x)
        if self.training:
            dropped = (torch.rand(len(x)) < self.prompt_drop).tolist()
            prompts = ["" if drop else prompt for drop, prompt in zip(dropped, prompts, strict=True)]
        t = append_dims(time, x.ndim)
        noisy = (1 - t) * x + t * torch.randn_like(x)
        error = (self.denoise(noisy, time, prompts) - x).square() / t.clamp(min=0.1) ** 2
        return {"loss": error.mean()}

    @torch.inference_mode()
    def stream(self, request: Request, options: DiffusionOptions) -> Iterator[Piece]:
        """At each step the whole images as predicted so far, (batch, channels, height, width) uint8."""
        noise = torch.stack(
            [torch.randn(request.size, generator=torch.Generator().manual_seed(s)) for s in request.seeds]
        )
        noise = noise.to(self.device)
        times = self.times(options.steps)
        x, given, known = noise, None, None
        if request.init is not None:
            given = torch.stack(request.init).to(self.device)
            if request.known is not None:
                known = torch.stack(request.known).to(self.device)
            else:
                start = [options.strength] if options.strength > 0 else []
                times = [*start, *(time for time in times if time < options.strength)] or [0.0]
                x = (1 - times[0]) * self.scale(given) + times[0] * noise
        if len(times) == 1:
            yield Piece(0, self._finished(x, given, known))
        for end, moved, predicted in SAMPLERS[options.sampler](self._guided(request, options), x, times):
            if known is not None and given is not None:  # in place: the sampler goes on from here
                moved.copy_(torch.where(known, (1 - end) * self.scale(given) + end * noise, moved))
            yield Piece(0, self._finished(predicted if end else moved, given, known))

    def sample(self, request: Request, options: DiffusionOptions) -> list[Tensor]:
        x = torch.empty(0)
        for piece in self.stream(request, options):
            x = piece.x
        return list(x)

    def times(self, steps: int) -> list[float]:
        """From 1 to 0, shifted as the training times are (Esser et al. 2024, arXiv:2403.03206, eq. 23)."""
        shift = math.exp(self.time_mean)
        even = [1 - step / steps for step in range(steps + 1)]
        return [shift * t / (1 + (shift - 1) * t) for t in even]

    def _guided(self, request: Request, options: DiffusionOptions) -> Denoise:
        prompts, nothing = request.prompts, [""] * len(request.prompts)

        def denoise(x: Tensor, t: float) -> Tensor:
            time = torch.full((len(x),), t, device=x.device)
            if options.guidance == 1 or self.sampled.prompt is None:
                return self.denoise(x, time, prompts)
            both = self.denoise(torch.cat([x, x]), torch.cat([time, time]), [*prompts, *nothing])
            prompted, free = both.chunk(2)
            return free + options.guidance * (prompted - free)

        return denoise

    def _finished(self, x: Tensor, given: Tensor | None, known: Tensor | None) -> Tensor:
        """As uint8 on the CPU, with what was given where it is known, bit for bit."""
        made = self.unscale(x)
        return (torch.where(known, given, made) if known is not None and given is not None else made).cpu()


# ------------------------------------------------------------------------------------------------------- samplers

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


def append_dims(x: Tensor, ndim: int) -> Tensor:
    """``x`` with dimensions of size 1 behind its own, up to ``ndim`` of them."""
    return x.reshape(*x.shape, *[1] * (ndim - x.ndim))
