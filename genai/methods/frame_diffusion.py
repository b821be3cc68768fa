"""Diffusion of images and clips: every frame of a clip has its own noise level.

So known frames, such as the first one or the end of the previous window, are frames with less noise (Chen et al. 2024,
Diffusion Forcing, arXiv:2407.01392). A clip is generated window by window, and in a window keyframes first.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from genai.core.batch import Batch, Chunk, Request
from genai.methods.base import NetworkCall, map_steps
from genai.methods.diffusion import Diffusion, DiffusionOptions
from genai.methods.frame_schedule import generation_order, uniform_indices
from genai.methods.guidance import Factor, guidance_terms
from genai.methods.interpolation import Prompt, initial_noise, interpolated_prompts, noise_sampler
from genai.methods.samplers import Denoise
from genai.methods.scaling import Scaling

SINGLE_FRAME_SHIFT = 1.0
"""Subtracted from ``logit_mean`` for single frames: less noise hides one frame than many frames together."""
CONTEXT_TIME = 0.02
"""Time of known frames: slightly noisy, because generated frames are never as clean as data."""


@dataclass(frozen=True, kw_only=True)
class FrameDiffusionOptions(DiffusionOptions):
    """Options of sampling, with those of ``DiffusionOptions``.

    Attributes:
        keyframes: number of evenly spaced frames of a window that are generated first, after the first frame alone;
            few frames decide the motion; 0: all frames at once; ``None``: as in training.
        keyframes_until: time down to which keyframes stay as they are while the frames between them are generated.
            After it they change with the others, so that they fit; 0: they never change.
        overlap: frames of a window that are known from the previous one, in a clip longer than the network's window;
            ``None``: half of them.
        context_guidance: guidance scale of the known frames of a clip, at all times; 1: no guidance.
        later_guidance: guidance scale of the prompt in the windows after the first one, at all times, instead of
            ``guidance`` and ``early_guidance``. A prompt that says how a clip begins should not be asked for again as
            strongly where the frames before say how it goes on; 0: they alone do; ``None``: as in the first window.
    """

    keyframes: Annotated[int, Ge(0), Le(1024)] | None = None
    keyframes_until: Annotated[float, Ge(0), Le(1)] = 0.0
    overlap: Annotated[int, Ge(1)] | None = None
    context_guidance: Factor = 1.0
    later_guidance: Factor | None = None

    def in_window(self, start: int) -> "FrameDiffusionOptions":
        """Return the options of the window that begins at frame ``start``."""
        if start == 0 or self.later_guidance is None:
            return self
        scale = self.later_guidance
        return replace(self, guidance=scale, guidance_from=1.0, guidance_until=0.0, early_guidance=None)


@dataclass(frozen=True)
class KnownFrames:
    """Known frames of clips while others are generated.

    Attributes:
        data: (batch, frames, channels, height, width), scaled.
        mask: (batch, frames, 1, 1, 1) bool, the frames that never change.
        keyframes: the same, with the frames that stay as they are down to ``keyframes_until``.
        noise: as ``data``.
    """

    data: Tensor
    mask: Tensor
    keyframes: Tensor
    noise: Tensor


class FrameDiffusion(Diffusion):
    """Learns from images (channels, height, width), clips (frames, channels, height, width), or both.

    Args:
        network: (x, time, pooled) -> the shape of x; for clips (x, time, pooled, seconds), where ``time`` and
            ``seconds``, the times of the frames in the clip, are (batch, frames).
        frames: number of frames that the network sees at once; 1: images.
        keyframes: number of evenly spaced frames that are sometimes known in training, and generated first; 0: none.
        horizon: largest time in seconds of a frame in training; ``None``: no limit.
        per_frame_prob: fraction of clips in which every frame has its own noise level.
        context_prob: fraction of clips with known frames: the first, the first few, or evenly spaced ones.
        prompt, scaling, objective, logit_mean, logit_std, floor, prompt_drop, sampling, refiner: see ``Diffusion``.
    """

    Options = FrameDiffusionOptions

    def __init__(
        self,
        network: nn.Module,
        prompt: nn.Module | None = None,
        scaling: Scaling | None = None,
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
        refiner: nn.Module | None = None,
    ) -> None:
        super().__init__(
            network, prompt, scaling, objective, logit_mean, logit_std, floor, prompt_drop, sampling, refiner=refiner
        )
        self.frames, self.keyframes, self.horizon = frames, keyframes, horizon
        self.per_frame_prob, self.context_prob = per_frame_prob, context_prob

    @property
    def has_unused_parameters(self) -> bool:
        return self.frames > 1  # single frames do not use the temporal layers

    def _time_shape(self, x: Tensor) -> torch.Size:
        return x.shape[:-3]  # (batch,) of images, (batch, frames) of clips

    def _conditioning(self, batch: Batch) -> tuple[Tensor, ...]:
        return () if batch.local is None else (batch.local[..., 0],)  # seconds (batch, frames)

    def _sample_times(self, shape: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
        if len(shape) == 1:
            return super()._sample_times(shape, device)
        mask = torch.ones(*shape, device=device)
        batch, frames = shape
        if frames == 1:
            return self._logit_normal((batch, 1), device, SINGLE_FRAME_SHIFT), mask
        time = self._logit_normal((batch, 1), device).expand(batch, frames)
        per_frame = torch.rand(batch, 1, device=device) < self.per_frame_prob
        time = torch.where(per_frame, self._logit_normal((batch, frames), device), time)
        first, spaced = torch.zeros(2, frames, dtype=torch.bool, device=device)
        first[0] = True
        spaced[uniform_indices(frames, self.keyframes if 0 < self.keyframes < frames else 1)] = True
        prefix = torch.arange(frames, device=device) <= torch.rand(batch, 1, device=device) * (frames / 2)
        kind, prob = torch.rand(batch, 1, device=device), self.context_prob
        known = torch.where(kind < 0.6 * prob, spaced, torch.where(kind < 0.8 * prob, prefix, first)) & (kind < prob)
        return torch.where(known, CONTEXT_TIME, time), mask * ~known

    @torch.inference_mode()
    def steps(  # type: ignore[override]
        self, request: Request, options: FrameDiffusionOptions
    ) -> Generator[Chunk | NetworkCall, Any, None]:
        """Yield images as ``Diffusion`` does, or clips, of which those longer than a window grow window by window."""
        if len(request.size) == 3:
            yield from super().steps(request, options)
            return
        noise = initial_noise(request, self.scaling.scaled_shape(request.size)).to(self.device)
        prompts = interpolated_prompts(request)
        sample_noise = noise_sampler(request)
        init, mask = self._stack(request.init), self._stack(request.init_mask)
        seconds = torch.stack(request.local or []).to(self.device)[..., 0]
        shape = (len(noise), *request.size)
        clips = noise.new_zeros(shape, dtype=torch.uint8) if init is None else init.clone()
        known = noise.new_zeros(*shape[:2], 1, 1, 1, dtype=torch.bool)  # whole frames
        if mask is not None:
            known = mask.flatten(2).all(-1)[..., None, None, None]
        known_frames = known.flatten(1).all(0)
        keyframes = self.keyframes if options.keyframes is None else options.keyframes
        order = generation_order(known_frames, self._window_frames(seconds[0]), keyframes, options.overlap)
        fixed, window_end = known, 0
        for number, (end, group) in enumerate(order):
            if end > window_end or not options.keyframes_until:  # what an earlier window generated never changes
                fixed, window_end = known.clone(), end
            x, data, mask = noise[:, group], clips[:, group], fixed[:, group]
            group_seconds = self._seconds_in_horizon(seconds[:, group], seconds[:, end - 1 : end])
            context = KnownFrames(self.scaling.scale(data), mask, known[:, group], x)
            denoise = self._guided_denoiser(prompts, options.in_window(int(group[0])), group_seconds, context)

            def chunk(step: tuple[float, Tensor], number: int = number, end: int = end, group: Any = group) -> Chunk:
                progress, predicted = step
                clips[:, group] = predicted.to(clips.device)
                return Chunk(0, clips[:, :end].cpu(), (number + progress) / len(order))

            yield from map_steps(self._denoise_loop(denoise, x, data, mask, options, sample_noise), chunk)
            known[:, group] = True

    def _window_frames(self, seconds: Tensor) -> int:
        """Return the window size for frames at ``seconds`` (total,): at most ``frames``, and within ``horizon``."""
        if self.horizon is None:
            return self.frames
        frames_in_horizon = int((seconds - seconds[0] <= self.horizon + 1e-3).sum())
        return min(self.frames, max(2, frames_in_horizon))

    def _seconds_in_horizon(self, seconds: Tensor, end: Tensor) -> Tensor:
        """Shift times (batch, frames) in a window that ends at ``end`` (batch, 1) back into the range of training."""
        if self.horizon is None:
            return seconds
        return seconds - torch.minimum((end - self.horizon).clamp(min=0), seconds[:, :1])

    def _guided_denoiser(
        self,
        prompts: Sequence[Prompt],
        options: DiffusionOptions,
        seconds: Tensor | None = None,
        context: KnownFrames | None = None,
    ) -> Denoise:
        """Return a denoiser with guidance by ``prompts`` and, for clips, by known frames.

        Args:
            prompts, options: see ``Diffusion``; for clips ``FrameDiffusionOptions``.
            seconds: (batch, frames), the times of the frames of clips; ``None``: images.
            context: what is known of clips, which is presented at ``CONTEXT_TIME``.
        """
        if seconds is None or context is None or not isinstance(options, FrameDiffusionOptions):
            return super()._guided_denoiser(prompts, options)
        data = context.data
        known = (1 - CONTEXT_TIME) * data + CONTEXT_TIME * context.noise

        def denoise(x: Tensor, t: float, step_size: float) -> Generator[Any, Any, Tensor]:
            mask = context.keyframes if t > options.keyframes_until else context.mask
            time = torch.full(self._time_shape(x), t, device=x.device)
            with_context = torch.where(mask, known, x), torch.where(mask[..., 0, 0, 0], CONTEXT_TIME, time)
            terms = guidance_terms(self._prompt_scale(options, t), options.context_guidance)
            inputs = [with_context if use_context else (x, time) for _, _, use_context in terms]
            predicted = yield from self._guided_prediction(terms, inputs, prompts, options, seconds)
            return torch.where(mask, data, predicted)

        return denoise
