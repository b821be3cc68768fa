"""Diffusion: a network learns to remove noise; samples start as noise and are denoised step by step.

Time runs from 0 (data) to 1 (noise) along the straight path ``x_t = (1 - t) x + t n`` of rectified flow (Liu et al.
2022, arXiv:2209.03003). Any network that takes (x, time, pooled prompt) fits, whatever the shape of an item; samplers
are functions of a denoiser.
"""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from genai.core.batch import Batch, Chunk, Request
from genai.core.errors import UserError
from genai.methods.base import Method, NetworkCall, call_each, check_output, map_steps
from genai.methods.denoiser import Denoiser, NetworkInput, add_step_size
from genai.methods.guidance import GuidanceOptions, GuidanceTerm, combine_terms, guidance_terms
from genai.methods.interpolation import Prompt, initial_noise, interpolated_prompts, noise_sampler
from genai.methods.noisy_batch import NoisyBatch
from genai.methods.preservation import Preservation
from genai.methods.samplers import (
    Denoise,
    NoiseSampler,
    SamplerOptions,
    SamplerStep,
    get_sampler,
    without_step_size,
)
from genai.methods.scaling import Scaling
from genai.methods.shortcut import LEARNED_STEPS, guided_target, num_consistency_rows, sample_triples, shift_time
from genai.networks.layers import PromptEmbedding, append_dims, fast_bfloat16

REFINER_SHARE = 8
"""The refiner learns from one example in so many, as pixels cost more than coefficients."""
REFINER_NOISE = 0.3
"""Largest standard deviation of the noise that it learns to remove: samples are not free of it."""


@dataclass(frozen=True, kw_only=True)
class DiffusionOptions(SamplerOptions, GuidanceOptions):
    """Options of sampling, with those of ``SamplerOptions`` and ``GuidanceOptions``.

    Attributes:
        strength: noise level of ``init``: 0 leaves it unchanged, 1 ignores it. It has no effect with a mask, where
            white areas are generated from noise.
    """

    strength: Annotated[float, Ge(0), Le(1)] = 0.6


class Diffusion(Method):
    """Learns from items of one shape.

    Args:
        network: (x, time, pooled) -> the shape of x.
        prompt: prompt encoder; ``None``: unconditional.
        scaling: from stored data to zero mean and unit variance, which the network sees.
        objective: the network predicts the data (``x0``) or the velocity n - x (``velocity``).
        logit_mean, logit_std: mean and standard deviation of the logit-normal training times (P_mean and P_std in EDM);
            the mean shifts them, and the sampler's steps, to where the layout is decided.
        floor: smallest time in the loss weight 1 / time^2.
        prompt_drop: fraction of prompts that are replaced by ""; needed for guidance.
        sampling: this model's own defaults for ``Options``.
        shortcut: the network also learns large steps (arXiv:2410.12557), for samples in 1, 2 or 4 steps. They
            have the ``guidance`` of ``sampling`` in them.
        refiner: improves what ``scaling`` expands; ``None``: nothing does.

    Raises:
        ValueError: ``shortcut`` with a network that cannot know the size of a step, or without guidance.
    """

    Options = DiffusionOptions
    supports_interpolation = True
    supports_masks = True
    ema_module: Denoiser

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
        sampling: dict[str, Any] | None = None,
        shortcut: bool = False,
        refiner: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if shortcut:
            add_step_size(network)
        self.ema_module = Denoiser(network, prompt, refiner)
        self.scaling = scaling or Scaling()
        self.codec = self.scaling.network  # it is saved with the model, and moves with it
        self.preservation: Preservation | None = None
        self.objective, self.logit_mean, self.logit_std = objective, logit_mean, logit_std
        self.floor, self.prompt_drop, self.sampling = floor, prompt_drop, sampling or {}
        self.shortcut = shortcut
        self.step_guidance = float(self.sampling.get("guidance", self.Options.guidance)) if prompt else 1.0
        if shortcut and not self.step_guidance > 0:
            raise ValueError("shortcut=true learns steps with sampling.guidance, which has to be above 0.")
        self._average: tuple[nn.Module, ...] = ()  # a tuple, so that it is no part of this module

    @property
    def uses_average(self) -> bool:
        return self.shortcut

    def set_average(self, average: nn.Module) -> None:
        self._average = (average,)

    def unused_options(self, request: Request, options: DiffusionOptions) -> dict[str, str]:
        """``strength`` is the noise of an image that is changed as a whole; learned steps are those of ``euler``."""
        is_learned = self._has_learned_steps(request, options)
        unused = {"sampler": "1, 2 and 4 steps have a learned size"} if is_learned else {}
        if request.init is None:
            return unused | {"strength": "there is no init="}
        return unused | ({"strength": "what is not kept is generated from noise"} if request.init_mask else {})

    def _has_learned_steps(self, request: Request, options: DiffusionOptions) -> bool:
        """Return whether steps go between times that large steps were learned for; ``strength`` is another time."""
        is_variation = request.init is not None and request.init_mask is None
        shift = self.sampling.get("shift")
        is_grid = options.steps in LEARNED_STEPS and options.shift in (None, shift)
        return self.shortcut and is_grid and not is_variation

    def denoise(
        self,
        x: Tensor,
        time: Tensor,
        prompts: Sequence[Prompt],
        *conditioning: Tensor,
        step_size: Tensor | None = None,
        module: nn.Module | None = None,
    ) -> Tensor:
        """Predict the data from ``x`` (batch, ...) at ``time``, of the leading dimensions of x.

        Args:
            step_size: (batch,), see ``Denoise``, for a network that knows it.
            module: the ``Denoiser``; ``None``: the one that is trained.
        """
        named = {} if step_size is None else {"step_size": step_size}
        module = module or self.ema_module
        return self._denoise(x, time, lambda scaled: module(scaled, time, prompts, *conditioning, **named))

    def denoise_embedded(self, x: Tensor, time: Tensor, embedding: PromptEmbedding | None) -> Tensor:
        """Predict the data like ``denoise``, from encoded prompts."""
        return self._denoise(x, time, lambda scaled: self.ema_module.predict(scaled, time, embedding))

    def _denoise(self, x: Tensor, time: Tensor, predict: Callable[[Tensor], Tensor]) -> Tensor:
        """Predict the data with a function of the network's input, which has unit variance at each time."""
        t = append_dims(time, x.ndim)
        predicted = predict(x / ((1 - t) ** 2 + t**2).sqrt())
        return predicted if self.objective == "x0" else x - t * predicted

    def loss(self, batch: Batch, network_name: str = "model") -> dict[str, Tensor]:
        """Return the loss of the denoiser plus that of the refiner, if there is one, and both by name."""
        losses = self.data_losses(batch)
        if "refiner" in losses:
            losses |= {"loss": losses["loss"] + losses["refiner"], "denoiser": losses["loss"]}
        return losses

    def validation_loss(self, batch: Batch) -> dict[str, Tensor]:
        return self.data_losses(batch)

    def data_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of the denoiser with its parts, and that of the refiner if it is trained.

        With ``shortcut``, a part of the batch learns large steps while training. With a ``Preservation`` each noisy
        item is denoised twice while training.
        """
        noisy = self.add_noise(batch)
        if self.training and self.preservation:
            losses = self.preservation.losses(noisy, self.denoise, self.ema_module)
        elif self.training and self.shortcut:
            losses = {"loss": self._shortcut_loss(noisy)}
        else:
            losses = {"loss": noisy.loss(self.denoise(noisy.x, noisy.time, noisy.prompts, *noisy.conditioning))}
        refiner = self.ema_module.refiner
        if refiner is not None and any(parameter.requires_grad for parameter in refiner.parameters()):
            losses["refiner"] = self._refiner_loss(batch, noisy.data)
        return losses

    def add_noise(self, batch: Batch) -> NoisyBatch:
        """Draw times and noise for a batch; in training some prompts are dropped."""
        x, conditioning = self._inputs(batch)
        time, mask = self._sample_times(self._time_shape(x), x.device)
        prompts = list(batch.prompts) or [""] * len(x)
        if self.training and not self.preservation:  # which keeps what "" generates
            dropped = (torch.rand(len(x)) < self.prompt_drop).tolist()
            prompts = ["" if drop else prompt for drop, prompt in zip(dropped, prompts, strict=True)]
        if batch.valid is not None:
            mask = mask * batch.valid
        loss_mask = None if batch.loss_mask is None else self.scaling.scale_mask(batch.loss_mask)
        return NoisyBatch(x, torch.randn_like(x), time, prompts, conditioning, mask, loss_mask, self.floor)

    def _shortcut_loss(self, noisy: NoisyBatch) -> Tensor:
        """Return the loss of a batch of which the first rows learn large steps."""
        rows, shift = num_consistency_rows(len(noisy.data)), self.sampling.get("shift")
        shift = math.exp(self.logit_mean) if shift is None else shift
        steps = sample_triples(rows, shift, noisy.data.device)
        noisy = noisy.with_start_times(steps.start)
        target = noisy.data
        if rows:
            denoise = partial(self.denoise, module=next(iter(self._average), self.ema_module))
            large = guided_target(denoise, noisy.x[:rows], noisy.prompts[:rows], steps, self.step_guidance)
            target = torch.cat([large, noisy.data[rows:]])
        size = torch.cat([steps.size, torch.zeros_like(noisy.time[rows:])])
        predicted = self.denoise(noisy.x, noisy.time, noisy.prompts, *noisy.conditioning, step_size=size)
        return noisy.loss(predicted, target)

    def preserve_outputs(self, preservation: Preservation) -> None:
        if self.ema_module.prompt is None:
            raise UserError("adapter.preserve= keeps the answers to other prompts, and this model takes none: null.")
        if self.shortcut:
            raise UserError(
                "adapter.preserve= does not know the learned steps of model.shortcut=true: give another base, or null."
            )
        self.preservation = preservation

    def _refiner_loss(self, batch: Batch, x: Tensor) -> Tensor:
        """Return the mean absolute error of normalized data that are refined from a little noise."""
        count = -(-len(x) // REFINER_SHARE)
        std = REFINER_NOISE * torch.rand(count, *[1] * (x.ndim - 1), device=x.device)
        output = self._expand(x[:count] + std * torch.randn_like(x[:count]))
        return (output - self.scaling.normalize(batch.x[:count])).abs().mean()

    def _expand(self, x: Tensor) -> Tensor:
        """Convert scaled data to normalized data, refined."""
        expanded, refiner = self.scaling.expand(x), self.ema_module.refiner
        if refiner is None:
            return expanded
        output: Tensor = refiner(expanded.flatten(0, -4), x.flatten(0, -4))  # the frames of clips one by one
        return output.view_as(expanded)

    def _time_shape(self, x: Tensor) -> torch.Size:
        """Return the leading dimensions of ``x`` (batch, ...) that have noise levels of their own."""
        return x.shape[:1]

    def _inputs(self, batch: Batch) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the data as the network sees them without noise, and its further inputs."""
        return self.scaling.scale(batch.x), self._conditioning(batch)

    def _conditioning(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return further inputs of the network, after the pooled prompts."""
        return ()

    def _sample_times(self, shape: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
        """Sample training times of ``shape``, and return the mask of the loss, which is 0 for known data."""
        return self._logit_normal(shape, device), torch.ones(*shape, device=device)

    def _logit_normal(self, shape: Sequence[int], device: torch.device, shift: float = 0.0) -> Tensor:
        return torch.sigmoid(torch.randn(*shape, device=device) * self.logit_std + (self.logit_mean - shift))

    def stream(self, request: Request, options: DiffusionOptions) -> Iterator[Chunk]:
        """Yield all samples (batch, ...), in storage type, as predicted at each step."""
        return call_each(self.steps(request, options), self.call_network)

    @torch.inference_mode()
    def steps(self, request: Request, options: DiffusionOptions) -> Generator[Chunk | NetworkCall, Any, None]:
        """Yield what ``stream`` does, and the network calls of the denoiser."""
        noise = initial_noise(request, self.scaling.scaled_shape(request.size)).to(self.device)
        init, mask = self._stack(request.init), self._stack(request.init_mask)
        denoise = self._guided_denoiser(interpolated_prompts(request), options)
        if self._has_learned_steps(request, options):
            options = replace(options, sampler="euler")
        elif self.shortcut:
            denoise = without_step_size(denoise)
        loop = self._denoise_loop(denoise, noise, init, mask, options, noise_sampler(request))
        yield from map_steps(loop, lambda step: Chunk(0, step[1], step[0]))

    def call_network(self, inputs: Sequence[NetworkInput]) -> list[Tensor]:
        """Return the predicted data of each input; those of the same shapes are one batch."""
        outputs: dict[int, Tensor] = {}
        groups: dict[tuple[Any, ...], list[int]] = {}
        for number, each in enumerate(inputs):
            groups.setdefault(each.shapes, []).append(number)
        for numbers in groups.values():
            parts = [inputs[number] for number in numbers]
            x, time = torch.cat([part.x for part in parts]), torch.cat([part.time for part in parts])
            prompts = [prompt for part in parts for prompt in part.prompts]
            conditioning = [torch.cat(each) for each in zip(*(part.conditioning for part in parts), strict=True)]
            sizes = [part.step_size for part in parts if part.step_size is not None]
            named: dict[str, Any] = {"step_size": torch.cat(sizes)} if sizes else {}
            with (
                torch.inference_mode(),
                torch.autocast(x.device.type, torch.bfloat16, enabled=fast_bfloat16(x.device.type)),
            ):
                predicted = self.denoise(x, time, prompts, *conditioning, **named)
            outputs.update(zip(numbers, predicted.split([len(part.x) for part in parts]), strict=True))
        return [outputs[number] for number in range(len(inputs))]

    def sample(self, request: Request, options: DiffusionOptions) -> list[Tensor]:
        x = torch.empty(0)
        for chunk in self.stream(request, options):
            x = chunk.x
        return list(x)

    def times(self, options: SamplerOptions) -> list[float]:
        """Return the sampler's times from 1 to 0, one more than steps."""
        shift, steps = math.exp(self.logit_mean) if options.shift is None else options.shift, options.steps
        return [shift_time(1 - step / steps, shift) for step in range(steps + 1)]

    def decode(self, x: Tensor) -> Tensor:
        """Convert scaled data to stored data, refined."""
        return self.scaling.denormalize(self._expand(x).float())

    def _stack(self, items: Sequence[Tensor] | None) -> Tensor | None:
        return None if items is None else torch.stack([*items]).to(self.device)

    def _denoise_loop(
        self,
        denoise: Denoise,
        noise: Tensor,
        init: Tensor | None,
        mask: Tensor | None,
        options: DiffusionOptions,
        sample_noise: NoiseSampler,
    ) -> Generator[Any, Any, None]:
        """Yield network calls, and the progress, 0 to 1, with the samples as predicted so far, as stored, on the CPU.

        Where ``mask`` is true the samples are ``init``, bit for bit.
        """

        def stored(x: Tensor, is_last: bool = True) -> Tensor:
            with torch.autocast(x.device.type, torch.bfloat16, enabled=fast_bfloat16(x.device.type)):
                output = self.decode(check_output(x)) if is_last else self.scaling.unscale(check_output(x))
            return (torch.where(mask, init, output) if mask is not None and init is not None else output).cpu()

        times, x = self.times(options), noise
        data = None if init is None else self.scaling.scale(init)
        if data is not None and mask is None:
            start = [options.strength] if options.strength > 0 else []
            times = [*start, *(time for time in times if time < options.strength)] or [0.0]
            x = (1 - times[0]) * data + times[0] * noise
        if len(times) == 1 and init is not None:  # strength=0: not even a codec changes it
            yield 1.0, init.cpu()
        numbers = count(1)

        def output(step: SamplerStep) -> tuple[float, Tensor]:
            time, x_t, predicted = step
            if data is not None and mask is not None:  # in place, because the sampler continues from x_t
                x_t.copy_(self.scaling.blend(x_t, (1 - time) * data + time * noise, mask))
            return next(numbers) / (len(times) - 1), stored(predicted if time else x_t, not time)

        yield from map_steps(get_sampler(options.sampler, sample_noise)(denoise, x, times), output)

    def _guided_denoiser(self, prompts: Sequence[Prompt], options: DiffusionOptions) -> Denoise:
        """Return a denoiser with guidance by ``prompts``, which learned steps already have."""

        def denoise(x: Tensor, t: float, step_size: float) -> Generator[Any, Any, Tensor]:
            time = torch.full(self._time_shape(x), t, device=x.device)
            size = step_size if self.shortcut else 0.0
            terms = guidance_terms(self._prompt_scale(options, t) / (self.step_guidance if size else 1.0))
            sizes = torch.full_like(time, size) if self.shortcut else None
            inputs = [(x, time)] * len(terms)
            return (yield from self._guided_prediction(terms, inputs, prompts, options, step_size=sizes))

        return denoise

    def _prompt_scale(self, options: DiffusionOptions, t: float) -> float:
        return 1.0 if self.ema_module.prompt is None else options.at(t)

    def _guided_prediction(
        self,
        terms: Sequence[GuidanceTerm],
        inputs: Sequence[tuple[Tensor, Tensor]],
        prompts: Sequence[Prompt],
        options: DiffusionOptions,
        *conditioning: Tensor,
        step_size: Tensor | None = None,
    ) -> Generator[Any, Any, Tensor]:
        """Combine the predictions of all terms, made in one network call from ``inputs``, an (x, time) per term."""
        x, time = (torch.cat(part) for part in zip(*inputs, strict=True))
        term_prompts = [
            prompt for _, use_prompt, _ in terms for prompt in (prompts if use_prompt else [""] * len(prompts))
        ]
        repeated = tuple(each.repeat(len(terms), 1) for each in conditioning)
        sizes = None if step_size is None else step_size.repeat(len(terms))
        predicted = yield NetworkInput(x, time, term_prompts, repeated, sizes)
        return combine_terms(terms, predicted.chunk(len(terms)), options.guidance_rescale, time.ndim)
