"""Diffusion: a network learns to remove noise; samples start as noise and are denoised step by step.

Time runs from 0 (data) to 1 (noise) along the straight path ``x_t = (1 - t) x + t n`` of rectified flow (Liu et al.
2022, arXiv:2209.03003). Any network that takes (x, time, pooled prompt) fits; samplers are functions of a denoiser. In
clips every frame has its own time (Chen et al. 2024, Diffusion Forcing, arXiv:2407.01392), so known frames, such as the
first one or the end of the previous window, are frames with less noise.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from genai.core.batch import Batch, Chunk, Request
from genai.methods.frame_schedule import generation_order, uniform_indices
from genai.methods.guidance import GuidanceOptions, combine_terms, guidance_terms
from genai.methods.interpolation import Prompt, initial_noise, interpolated_prompts, noise_sampler, pool_prompts
from genai.methods.pixel_scaling import PixelMethod
from genai.methods.samplers import Denoise, NoiseSampler, SamplerName, get_sampler
from genai.networks.layers import append_dims, fast_bfloat16


@dataclass(frozen=True, kw_only=True)
class DiffusionOptions(GuidanceOptions):
    """Options of sampling, with those of ``GuidanceOptions``.

    Attributes:
        steps: number of sampler steps from noise to data.
        shift: shift of the steps towards noise (Esser et al. 2024, arXiv:2403.03206, eq. 23): 1 spaces them evenly,
            more improves the layout, less the details; ``None``: like the training times.
        sampler: ``euler``; ``euler_ancestral``, with new noise at each step; ``heun``, two evaluations per step;
            ``dpmpp_2m`` (arXiv:2211.01095).
        strength: noise level of ``init``: 0 leaves it unchanged, 1 ignores it. It has no effect with a mask, where
            white areas are generated from noise.
        keyframes: number of evenly spaced frames of a window that are generated first, after the first frame alone;
            few frames decide the motion; 0: all frames at once; ``None``: as in training.
        overlap: frames of a window that are known from the previous one, in a clip longer than the network's window;
            ``None``: half of them.
    """

    steps: Annotated[int, Ge(1), Le(1000)] = 10
    shift: Annotated[float, Gt(0), Le(1000)] | None = None
    sampler: SamplerName = "euler"
    strength: Annotated[float, Ge(0), Le(1)] = 0.6
    keyframes: Annotated[int, Ge(0), Le(1024)] | None = None
    overlap: Annotated[int, Ge(1)] | None = None


SINGLE_FRAME_SHIFT = 1.0
"""Subtracted from ``logit_mean`` for single frames: less noise hides one frame than many frames together."""
CONTEXT_TIME = 0.02
"""Time of known frames: slightly noisy, because generated frames are never as clean as data."""


class Denoiser(nn.Module):
    """A denoising network with its prompt encoder."""

    def __init__(self, network: nn.Module, prompt: nn.Module | None) -> None:
        super().__init__()
        self.network, self.prompt = network, prompt

    def forward(self, x: Tensor, time: Tensor, prompts: Sequence[Prompt], seconds: Tensor | None = None) -> Tensor:
        """Return the network's output in float32.

        Args:
            x: (batch, channels, height, width), or (batch, frames, ...) for clips.
            time: (batch,), or (batch, frames).
            prompts: one per row.
            seconds: (batch, frames), times of the frames of clips.
        """
        pooled = pool_prompts(self.prompt, prompts)
        frame_times = () if seconds is None else (seconds,)
        return self.network(x, time, pooled, *frame_times).float()


class Diffusion(PixelMethod):
    """Learns from uint8 images or clips.

    Args:
        network: (x, time, pooled) -> the shape of x; for clips (x, time, pooled, seconds).
        prompt: prompt encoder; ``None``: unconditional.
        mean, std: mean and standard deviation of the data in [-1, 1]; the network sees zero mean and unit variance.
        objective: the network predicts the data (``x0``) or the velocity n - x (``velocity``).
        logit_mean, logit_std: mean and standard deviation of the logit-normal training times (P_mean and P_std in EDM);
            the mean shifts them, and the sampler's steps, to where the layout is decided.
        floor: smallest time in the loss weight 1 / time^2.
        prompt_drop: fraction of prompts that are replaced by ""; needed for guidance.
        frames: number of frames that the network sees at once; 1: images.
        keyframes: number of evenly spaced frames that are sometimes known in training, and generated first; 0: none.
        horizon: largest time in seconds of a frame in training; ``None``: no limit.
        per_frame_prob: fraction of clips in which every frame has its own time.
        context_prob: fraction of clips with known frames: the first, the first few, or evenly spaced ones.
        sampling: this model's own defaults for ``DiffusionOptions``.
    """

    Options = DiffusionOptions
    supports_interpolation = True

    def __init__(
        self,
        network: nn.Module,
        prompt: nn.Module | None = None,
        mean: float = 0.0,
        std: Annotated[float, Gt(0)] = 0.5,
        objective: Literal["x0", "velocity"] = "velocity",
        logit_mean: float = 2.0,
        logit_std: Annotated[float, Gt(0)] = 1.3,
        floor: Annotated[float, Gt(0), Le(1)] = 0.1,
        prompt_drop: Annotated[float, Ge(0), Le(1)] = 0.1,
        frames: Annotated[int, Ge(1)] = 1,
        keyframes: Annotated[int, Ge(0)] = 0,
        horizon: Annotated[float, Ge(0)] | None = None,
        per_frame_prob: Annotated[float, Ge(0), Le(1)] = 0.2,
        context_prob: Annotated[float, Ge(0), Le(1)] = 0.5,
        sampling: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.ema_module = Denoiser(network, prompt)
        self.mean, self.std = mean, std
        self.objective, self.logit_mean, self.logit_std = objective, logit_mean, logit_std
        self.floor, self.prompt_drop, self.sampling = floor, prompt_drop, sampling or {}
        self.frames, self.keyframes, self.horizon = frames, keyframes, horizon
        self.per_frame_prob, self.context_prob = per_frame_prob, context_prob

    @property
    def has_unused_parameters(self) -> bool:
        return self.frames > 1  # single frames do not use the temporal layers

    def denoise(self, x: Tensor, time: Tensor, prompts: Sequence[Prompt], seconds: Tensor | None = None) -> Tensor:
        """Predict the data from ``x`` (batch, ...) at ``time`` (batch,) or (batch, frames)."""
        t = append_dims(time, x.ndim)
        predicted = self.ema_module(x / ((1 - t) ** 2 + t**2).sqrt(), time, prompts, seconds)
        return predicted if self.objective == "x0" else x - t * predicted

    def loss(self, batch: Batch, network_name: str = "model") -> dict[str, Tensor]:
        """Return the squared error of the predicted data, weighted by ``1 / max(t, floor)^2``.

        This is the squared error of the velocity with a bounded weight.
        """
        x = self.scale(batch.x)
        time, mask = self._sample_times(x.shape[:-3], x.device)
        prompts = list(batch.prompts) or [""] * len(x)
        if self.training:
            dropped = (torch.rand(len(x)) < self.prompt_drop).tolist()
            prompts = ["" if drop else prompt for drop, prompt in zip(dropped, prompts, strict=True)]
        t = append_dims(time, x.ndim)
        noisy = (1 - t) * x + t * torch.randn_like(x)
        predicted = self.denoise(noisy, time, prompts, None if batch.local is None else batch.local[..., 0])
        error = (predicted - x).square().flatten(-3).mean(-1) / time.clamp(min=self.floor) ** 2
        if batch.valid is not None:
            mask = mask * batch.valid
        return {"loss": (error * mask).sum() / mask.sum().clamp(min=1)}

    def _sample_times(self, shape: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
        """Sample training times of images (batch,) or clips (batch, frames).

        Also return the mask of the loss, which is 0 for known frames.
        """

        def logit_normal(*size: int, mean: float = self.logit_mean) -> Tensor:
            return torch.sigmoid(torch.randn(*size, device=device) * self.logit_std + mean)

        mask = torch.ones(*shape, device=device)
        if len(shape) == 1:
            return logit_normal(shape[0]), mask
        batch, frames = shape
        if frames == 1:
            return logit_normal(batch, 1, mean=self.logit_mean - SINGLE_FRAME_SHIFT), mask
        time = logit_normal(batch, 1).expand(batch, frames)
        per_frame = torch.rand(batch, 1, device=device) < self.per_frame_prob
        time = torch.where(per_frame, logit_normal(batch, frames), time)
        first, spaced = torch.zeros(2, frames, dtype=torch.bool, device=device)
        first[0] = True
        spaced[uniform_indices(frames, self.keyframes if 0 < self.keyframes < frames else 1)] = True
        prefix = torch.arange(frames, device=device) <= torch.rand(batch, 1, device=device) * (frames / 2)
        kind, prob = torch.rand(batch, 1, device=device), self.context_prob
        known = torch.where(kind < 0.6 * prob, spaced, torch.where(kind < 0.8 * prob, prefix, first)) & (kind < prob)
        return torch.where(known, CONTEXT_TIME, time), mask * ~known

    @torch.inference_mode()
    def stream(self, request: Request, options: DiffusionOptions) -> Iterator[Chunk]:
        """Yield all samples (batch, ...), uint8, as predicted at each step.

        Clips longer than the network's window are generated window by window.
        """
        noise, prompts = initial_noise(request, request.size).to(self.device), interpolated_prompts(request)
        sample_noise = noise_sampler(request)
        is_video = len(request.size) == 4
        init = None if request.init is None else torch.stack(request.init).to(self.device)
        mask = None if request.init_mask is None else torch.stack(request.init_mask).to(self.device)
        if not is_video:
            for progress, x in self._denoise_loop(noise, init, mask, None, prompts, options, sample_noise):
                yield Chunk(0, x, progress)
            return
        seconds = torch.stack(request.local or []).to(self.device)[..., 0]
        clips = torch.zeros_like(noise, dtype=torch.uint8) if init is None else init.clone()
        known = torch.zeros_like(noise, dtype=torch.bool) if mask is None else mask.clone()
        known_frames = known.flatten(-3).all(-1).all(0)
        keyframes = self.keyframes if options.keyframes is None else options.keyframes
        order = generation_order(known_frames, self._window_frames(seconds[0]), keyframes, options.overlap)
        for number, (end, group) in enumerate(order):
            group_seconds = seconds[:, group]
            if self.horizon is not None:  # shift times back into the range of training
                offset = (seconds[:, end - 1 : end] - self.horizon).clamp(min=0)
                group_seconds = group_seconds - torch.minimum(offset, group_seconds[:, :1])
            inputs = noise[:, group], clips[:, group], known[:, group], group_seconds
            for progress, x in self._denoise_loop(*inputs, prompts, options, sample_noise):
                clips[:, group] = x.to(clips.device)
                yield Chunk(0, clips[:, :end].cpu(), (number + progress) / len(order))
            known[:, group] = True

    def _window_frames(self, seconds: Tensor) -> int:
        """Return the window size for frames at ``seconds`` (total,): at most ``frames``, and within ``horizon``."""
        if self.horizon is None:
            return self.frames
        frames_in_horizon = int((seconds - seconds[0] <= self.horizon + 1e-3).sum())
        return min(self.frames, max(2, frames_in_horizon))

    def _denoise_loop(
        self,
        noise: Tensor,
        init: Tensor | None,
        mask: Tensor | None,
        seconds: Tensor | None,
        prompts: Sequence[Prompt],
        options: DiffusionOptions,
        sample_noise: NoiseSampler,
    ) -> Iterator[tuple[float, Tensor]]:
        """Yield the progress, 0 to 1, and the samples as predicted so far, uint8 on the CPU.

        Where ``mask`` is true the samples are ``init``, bit for bit.
        """
        times, x = self.times(options), noise
        if init is not None and mask is None:
            start = [options.strength] if options.strength > 0 else []
            times = [*start, *(time for time in times if time < options.strength)] or [0.0]
            x = (1 - times[0]) * self.scale(init) + times[0] * noise
        context = None if init is None or mask is None else (self.scale(init), mask, noise)
        if len(times) == 1:
            yield 1.0, self._to_uint8(x, init, mask)
        denoise = self._guided_denoiser(prompts, seconds, context, options)
        steps = get_sampler(options.sampler, sample_noise)(denoise, x, times)
        for step, (time, x_t, predicted) in enumerate(steps, 1):
            if context is not None:  # in place, because the sampler continues from x_t
                x_t.copy_(torch.where(context[1], (1 - time) * context[0] + time * noise, x_t))
            yield step / (len(times) - 1), self._to_uint8(predicted if time else x_t, init, mask)

    def sample(self, request: Request, options: DiffusionOptions) -> list[Tensor]:
        x = torch.empty(0)
        for chunk in self.stream(request, options):
            x = chunk.x
        return list(x)

    def times(self, options: DiffusionOptions) -> list[float]:
        """Return the sampler's times from 1 to 0, one more than steps."""
        shift, steps = math.exp(self.logit_mean) if options.shift is None else options.shift, options.steps
        even = [1 - step / steps for step in range(steps + 1)]
        return [shift * t / (1 + (shift - 1) * t) for t in even]

    def _guided_denoiser(
        self,
        prompts: Sequence[Prompt],
        seconds: Tensor | None,
        context: tuple[Tensor, Tensor, Tensor] | None,
        options: DiffusionOptions,
    ) -> Denoise:
        """Return a denoiser with guidance by ``prompts`` and, for clips, by known frames.

        Args:
            context: (data, mask of what is known, noise); known frames are presented at ``CONTEXT_TIME``.
        """

        def denoise(x: Tensor, t: float) -> Tensor:
            inputs: list[Tensor] = []
            times: list[Tensor] = []
            term_prompts: list[Prompt] = []
            prompt_scale = 1.0 if self.ema_module.prompt is None else options.at(t)
            context_scale = 1.0 if context is None or seconds is None else options.context_guidance
            terms = guidance_terms(prompt_scale, context_scale)
            for _, use_prompt, use_context in terms:
                x_t, time = x, torch.full(x.shape[:-3], t, device=x.device)
                if context is not None and seconds is not None and use_context:
                    data, mask, noise = context
                    x_t = torch.where(mask, (1 - CONTEXT_TIME) * data + CONTEXT_TIME * noise, x)
                    time = torch.where(mask.flatten(-3).all(-1), CONTEXT_TIME, time)
                inputs, times = [*inputs, x_t], [*times, time]
                term_prompts += prompts if use_prompt else [""] * len(x)
            term_seconds = None if seconds is None else seconds.repeat(len(terms), 1)
            device = x.device.type
            with torch.autocast(device, torch.bfloat16, enabled=fast_bfloat16(device)):
                predicted = self.denoise(torch.cat(inputs), torch.cat(times), term_prompts, term_seconds)
            return combine_terms(terms, predicted.chunk(len(terms)), options.guidance_rescale)

        return denoise

    def _to_uint8(self, x: Tensor, init: Tensor | None, mask: Tensor | None) -> Tensor:
        """Convert to uint8 on the CPU; where ``mask`` is true, return ``init`` bit for bit."""
        output = self.unscale(x)
        return (torch.where(mask, init, output) if mask is not None and init is not None else output).cpu()
