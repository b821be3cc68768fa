"""Diffusion: a network learns to take noise away; samples start as noise and are cleaned step by step.

Time runs from 0 (data) to 1 (noise) along the straight path ``x_t = (1 - t) x + t n`` of rectified flow (Liu et al.
2022, arXiv:2209.03003). Any network that takes (x, time, pooled prompt) will do; samplers are free functions of a
denoiser. Of clips every frame has a time of its own (Chen et al. 2024, Diffusion Forcing, arXiv:2407.01392): so what is
known of a clip, such as its first frame or the end of the window before, is just less noisy than the rest.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from genai.core.batch import Batch, Chunk, Request
from genai.methods import interpolation as between
from genai.methods.frame_schedule import parts, spaced
from genai.methods.guidance import GuidanceOptions, combined, lanes
from genai.methods.interpolation import Prompt
from genai.methods.pixel_scaling import PixelMethod
from genai.methods.samplers import Denoise, Fresh, Name, sampler
from genai.networks.layers import append_dims, fast_bfloat16


@dataclass(frozen=True, kw_only=True)
class DiffusionOptions(GuidanceOptions):
    """How samples are drawn; how far they go towards their prompt is said in ``GuidanceOptions``.

    Attributes:
        steps: of the sampler, from noise to data.
        shift: of the steps towards noise (Esser et al. 2024, arXiv:2403.03206, eq. 23): 1 spreads them evenly, more
            decides better what goes where, less draws it better; ``None``: as training times are.
        sampler: ``euler``; ``euler_ancestral``, which takes fresh noise at each step; ``heun``, two evaluations a
            step; ``dpmpp_2m`` (arXiv:2211.01095).
        strength: of the noise that is put on ``init``: 0 leaves it as it is, 1 forgets it. With a mask it has no say:
            what is white there is painted from nothing.
        keyframes: of a window, that are made first of all, spread over it, the very first one alone before them: where
            things go is decided among few frames; 0: all frames at once; ``None``: as many as the model learnt from.
        overlap: frames of a window that are known from the one before, in a clip longer than the network sees at once;
            ``None``: half of them.
    """

    steps: Annotated[int, Ge(1), Le(1000)] = 10
    shift: Annotated[float, Gt(0), Le(1000)] | None = None
    sampler: Name = "euler"
    strength: Annotated[float, Ge(0), Le(1)] = 0.6
    keyframes: Annotated[int, Ge(0), Le(1024)] | None = None
    overlap: Annotated[int, Ge(1)] | None = None


ALONE = 1.0
"""How much lower the mean of training times is, before the sigmoid, for single frames: one alone hides behind less
noise than many that are seen together."""
CONTEXT = 0.02
"""Time of known frames: a little noise, for what was made before is never as clean as data."""


class Denoiser(nn.Module):
    """The network and the encoder of its prompts: what learns, is averaged, and samples."""

    def __init__(self, network: nn.Module, prompt: nn.Module | None) -> None:
        super().__init__()
        self.network, self.prompt = network, prompt

    def forward(self, x: Tensor, time: Tensor, prompts: Sequence[Prompt], seconds: Tensor | None = None) -> Tensor:
        """A prompt a row -> the network's output, in float32.

        Args:
            x: (batch, channels, height, width), or (batch, frames, ...) of clips.
            time: (batch,), or (batch, frames).
            seconds: (batch, frames), when the frames of clips are.
        """
        pooled = between.pooled(self.prompt, prompts)
        timed = () if seconds is None else (seconds,)
        return self.network(x, time, pooled, *timed).float()


class Diffusion(PixelMethod):
    """Learns from uint8 images, and clips of them.

    Args:
        network: (x, time, pooled) -> the shape of x; of clips (x, time, pooled, seconds).
        prompt: the encoder of prompts; ``None``: unprompted.
        mean, std: of the data in [-1, 1], so that the network sees zero mean and unit variance.
        objective: the network predicts the data (``x0``) or the velocity n - x (``velocity``).
        time_mean, time_std: training times are the sigmoid of a normal variable; the mean shifts them, and the
            sampler's steps, to where layout is decided.
        floor: times below it weigh as if they were it: 1 / time^2 at most 1 / floor^2.
        prompt_drop: share of prompts that are replaced by "", which guidance needs.
        frames: of clips, that the network sees at once; 1: images.
        keyframes: of a clip, spread over it, that are known to the network at times, and made first; 0: none.
        horizon: seconds, the latest time of a frame in training; ``None``: whatever comes.
        independent: share of clips whose frames have a time each, rather than one for all.
        context: share of clips of which some frames are known: the first, the first few, or some spread over all.
        sampling: this model's own defaults among ``DiffusionOptions``.
    """

    Options = DiffusionOptions
    blends = True

    def __init__(
        self,
        network: nn.Module,
        prompt: nn.Module | None = None,
        mean: float = 0.0,
        std: Annotated[float, Gt(0)] = 0.5,
        objective: Literal["x0", "velocity"] = "velocity",
        time_mean: float = 2.0,
        time_std: Annotated[float, Gt(0)] = 1.3,
        floor: Annotated[float, Gt(0), Le(1)] = 0.1,
        prompt_drop: Annotated[float, Ge(0), Le(1)] = 0.1,
        frames: Annotated[int, Ge(1)] = 1,
        keyframes: Annotated[int, Ge(0)] = 0,
        horizon: Annotated[float, Ge(0)] | None = None,
        independent: Annotated[float, Ge(0), Le(1)] = 0.2,
        context: Annotated[float, Ge(0), Le(1)] = 0.5,
        sampling: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.sampled = Denoiser(network, prompt)
        self.mean, self.std = mean, std
        self.objective, self.time_mean, self.time_std = objective, time_mean, time_std
        self.floor, self.prompt_drop, self.sampling = floor, prompt_drop, sampling or {}
        self.frames, self.keyframes, self.horizon = frames, keyframes, horizon
        self.independent, self.context = independent, context

    @property
    def partial(self) -> bool:
        return self.frames > 1  # single frames have no use for what sees time

    def denoise(self, x: Tensor, time: Tensor, prompts: Sequence[Prompt], seconds: Tensor | None = None) -> Tensor:
        """The data that ``x`` (batch, ...) at ``time`` (batch,) or (batch, frames) is predicted to come from."""
        t = append_dims(time, x.ndim)
        predicted = self.sampled(x / ((1 - t) ** 2 + t**2).sqrt(), time, prompts, seconds)
        return predicted if self.objective == "x0" else x - t * predicted

    def loss(self, batch: Batch, player: str = "model") -> dict[str, Tensor]:
        """Squared error of the predicted data, weighted by ``1 / max(t, floor)^2``: that of the velocity, bounded."""
        x = self.scale(batch.x)
        time, counts = self._levels(x.shape[:-3], x.device)
        prompts = list(batch.prompts) or [""] * len(x)
        if self.training:
            dropped = (torch.rand(len(x)) < self.prompt_drop).tolist()
            prompts = ["" if drop else prompt for drop, prompt in zip(dropped, prompts, strict=True)]
        t = append_dims(time, x.ndim)
        noisy = (1 - t) * x + t * torch.randn_like(x)
        predicted = self.denoise(noisy, time, prompts, None if batch.local is None else batch.local[..., 0])
        error = (predicted - x).square().flatten(-3).mean(-1) / time.clamp(min=self.floor) ** 2
        if batch.valid is not None:
            counts = counts * batch.valid
        return {"loss": (error * counts).sum() / counts.sum().clamp(min=1)}

    def _levels(self, shape: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
        """Times to train at of images (batch,) or clips (batch, frames); and which of them count, those of known
        frames do not."""

        def drawn(*sides: int, mean: float = self.time_mean) -> Tensor:
            return torch.sigmoid(torch.randn(*sides, device=device) * self.time_std + mean)

        counts = torch.ones(*shape, device=device)
        if len(shape) == 1:
            return drawn(shape[0]), counts
        batch, frames = shape
        if frames == 1:
            return drawn(batch, 1, mean=self.time_mean - ALONE), counts
        time = drawn(batch, 1).expand(batch, frames)
        time = torch.where(torch.rand(batch, 1, device=device) < self.independent, drawn(batch, frames), time)
        first, spread = torch.zeros(2, frames, dtype=torch.bool, device=device)
        first[0] = True
        spread[spaced(frames, self.keyframes if 0 < self.keyframes < frames else 1)] = True
        few = torch.arange(frames, device=device) <= torch.rand(batch, 1, device=device) * (frames / 2)
        kind, share = torch.rand(batch, 1, device=device), self.context
        known = torch.where(kind < 0.6 * share, spread, torch.where(kind < 0.8 * share, few, first)) & (kind < share)
        return torch.where(known, CONTEXT, time), counts * ~known

    @torch.inference_mode()
    def stream(self, request: Request, options: DiffusionOptions) -> Iterator[Chunk]:
        """At each step all that there is of the samples, as predicted so far, (batch, ...) uint8.

        Clips longer than the network sees at once are made window by window.
        """
        noise, prompts = between.noise(request, request.size).to(self.device), between.prompts(request)
        fresh = between.fresh_noise(request)
        clips = len(request.size) == 4
        given = None if request.init is None else torch.stack(request.init).to(self.device)
        known = None if request.known is None else torch.stack(request.known).to(self.device)
        if not clips:
            for share, x in self._drawn(noise, given, known, None, prompts, options, fresh):
                yield Chunk(0, x, share)
            return
        seconds = torch.stack(request.local or []).to(self.device)[..., 0]
        made = torch.zeros_like(noise, dtype=torch.uint8) if given is None else given.clone()
        done = torch.zeros_like(noise, dtype=torch.bool) if known is None else known.clone()
        few = self.keyframes if options.keyframes is None else options.keyframes
        order = parts(done.flatten(-3).all(-1).all(0), self._at_once(seconds[0]), few, options.overlap)
        for number, (end, part) in enumerate(order):
            here = seconds[:, part]
            if self.horizon is not None:  # no network knows a time that it never saw
                late = (seconds[:, end - 1 : end] - self.horizon).clamp(min=0)
                here = here - torch.minimum(late, here[:, :1])
            inputs = noise[:, part], made[:, part], done[:, part], here
            for share, x in self._drawn(*inputs, prompts, options, fresh):
                made[:, part] = x.to(made.device)
                yield Chunk(0, made[:, :end].cpu(), (number + share) / len(order))
            done[:, part] = True

    def _at_once(self, seconds: Tensor) -> int:
        """How many frames at ``seconds`` (total,) the network sees at once: of slow clips as many as last no longer
        than what it learnt from."""
        if self.horizon is None:
            return self.frames
        fits = int((seconds - seconds[0] <= self.horizon + 1e-3).sum())
        return min(self.frames, max(2, fits))

    def _drawn(
        self,
        noise: Tensor,
        given: Tensor | None,
        known: Tensor | None,
        seconds: Tensor | None,
        prompts: Sequence[Prompt],
        options: DiffusionOptions,
        fresh: Fresh,
    ) -> Iterator[tuple[float, Tensor]]:
        """What is made of ``noise`` so far, and which share of the work that was.

        It is uint8 on the CPU; where ``known``, what was ``given``, bit for bit.
        """
        times, x = self.times(options), noise
        if given is not None and known is None:
            start = [options.strength] if options.strength > 0 else []
            times = [*start, *(time for time in times if time < options.strength)] or [0.0]
            x = (1 - times[0]) * self.scale(given) + times[0] * noise
        context = None if given is None or known is None else (self.scale(given), known, noise)
        if len(times) == 1:
            yield 1.0, self._finished(x, given, known)
        denoise = self._guided(prompts, seconds, context, options)
        steps = sampler(options.sampler, fresh)(denoise, x, times)
        for step, (end, moved, predicted) in enumerate(steps, 1):
            if context is not None:  # in place: the sampler goes on from here
                moved.copy_(torch.where(context[1], (1 - end) * context[0] + end * noise, moved))
            yield step / (len(times) - 1), self._finished(predicted if end else moved, given, known)

    def sample(self, request: Request, options: DiffusionOptions) -> list[Tensor]:
        x = torch.empty(0)
        for piece in self.stream(request, options):
            x = piece.x
        return list(x)

    def times(self, options: DiffusionOptions) -> list[float]:
        """Of the sampler, from 1 to 0: one more than steps."""
        shift, steps = math.exp(self.time_mean) if options.shift is None else options.shift, options.steps
        even = [1 - step / steps for step in range(steps + 1)]
        return [shift * t / (1 + (shift - 1) * t) for t in even]

    def _guided(
        self,
        prompts: Sequence[Prompt],
        seconds: Tensor | None,
        context: tuple[Tensor, Tensor, Tensor] | None,
        options: DiffusionOptions,
    ) -> Denoise:
        """A denoiser that obeys ``prompts``, and, of clips, sees the known frames of ``context`` (data, known, noise)
        as they are at ``CONTEXT``."""

        def denoise(x: Tensor, t: float) -> Tensor:
            inputs: list[Tensor] = []
            times: list[Tensor] = []
            said: list[Prompt] = []
            guided = 1.0 if self.sampled.prompt is None else options.at(t)
            summed = lanes(guided, 1.0 if context is None or seconds is None else options.context_guidance)
            for _, prompted, held in summed:
                seen, time = x, torch.full(x.shape[:-3], t, device=x.device)
                if context is not None and seconds is not None and held:
                    data, known, noise = context
                    seen = torch.where(known, (1 - CONTEXT) * data + CONTEXT * noise, x)
                    time = torch.where(known.flatten(-3).all(-1), CONTEXT, time)
                inputs, times = [*inputs, seen], [*times, time]
                said += prompts if prompted else [""] * len(x)
            when = None if seconds is None else seconds.repeat(len(summed), 1)
            device = x.device.type
            with torch.autocast(device, torch.bfloat16, enabled=fast_bfloat16(device)):
                predicted = self.denoise(torch.cat(inputs), torch.cat(times), said, when).chunk(len(summed))
            return combined(summed, predicted, options.guidance_rescale)

        return denoise

    def _finished(self, x: Tensor, given: Tensor | None, known: Tensor | None) -> Tensor:
        """As uint8 on the CPU, with what was given where it is known, bit for bit."""
        made = self.unscale(x)
        return (torch.where(known, given, made) if known is not None and given is not None else made).cpu()
