"""Text to picture, with a scheduler of diffusers: a prompt becomes vectors, noise becomes a picture.

This file is a part of genai, MIT License, Copyright (c) genai contributors.
"""

import numpy as np
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler, ImagePipelineOutput, ModelMixin
from diffusers.utils.torch_utils import randn_tensor


class PicturePipeline(DiffusionPipeline):
    """Samples pictures.

    Args:
        denoiser: a ``PictureDenoiser``.
        scheduler: a ``FlowMatchEulerDiscreteScheduler``.
        steps, guidance: the model's own defaults.
    """

    def __init__(
        self,
        denoiser: ModelMixin,
        scheduler: FlowMatchEulerDiscreteScheduler,
        steps: int = 10,
        guidance: float = 2.0,
    ) -> None:
        super().__init__()
        self.register_modules(denoiser=denoiser, scheduler=scheduler)
        self.register_to_config(steps=steps, guidance=guidance)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] = "",
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
    ) -> ImagePipelineOutput:
        """Return one picture of each prompt.

        Args:
            prompt: one or several.
            num_inference_steps, guidance_scale: ``None``: the model's own.
            generator: of the noise; a list has one for each picture. ``torch.Generator().manual_seed(seed)`` gives the
                noise that ``genai.sample`` has for that seed.
            output_type: ``pil``, ``np`` or ``pt``.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        count = num_inference_steps or self.config.steps
        scale = self.config.guidance if guidance_scale is None else guidance_scale
        scale = scale if self.denoiser.prompt is not None else 1.0
        embedding = self.denoiser.encode(prompts if scale == 1 else [*prompts, *[""] * len(prompts)])
        shape = (len(prompts), *self.denoiser.config.input_shape)
        sample = randn_tensor(shape, generator=generator, device=self._execution_device)
        self.scheduler.set_timesteps(sigmas=[1 - step / count for step in range(count)], device=sample.device)
        for timestep in self.progress_bar(self.scheduler.timesteps):
            inputs = sample if scale == 1 else torch.cat([sample, sample])
            velocity = self.denoiser(inputs, timestep.expand(len(inputs)), embedding)
            if scale != 1:
                conditional, unconditional = velocity.chunk(2)
                velocity = scale * conditional + (1 - scale) * unconditional
            sample = self.scheduler.step(velocity, timestep, sample, return_dict=False)[0]
        pixels = self.denoiser.decode(sample).cpu()
        if output_type == "pt":
            return ImagePipelineOutput(images=pixels)
        arrays = pixels.permute(0, 2, 3, 1).numpy()
        images = arrays if output_type == "np" else self.numpy_to_pil(arrays.astype(np.float32) / 255)
        return ImagePipelineOutput(images=images)
