"""The network of an image model as a component of diffusers.

``python -m genai export format=diffusers`` writes this file with all of genai that it needs, see ``source_bundle``.
It is a part of genai, MIT License, Copyright (c) genai contributors.
"""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from genai.methods.scaling import LearnedScaling, PatchScaling, PixelScaling
from genai.networks.autoencoder import Autoencoder
from genai.networks.layers import PromptEmbedding, append_dims
from genai.networks.refiner import Refiner
from genai.networks.text_encoder import PromptEncoder
from genai.networks.unet import UNet


class PictureDenoiser(ModelMixin, ConfigMixin):
    """Predicts the velocity, noise minus data, on the path of ``FlowMatchEulerDiscreteScheduler``.

    Args:
        network_config: arguments of ``UNet``.
        prompt_config: arguments of ``PromptEncoder``; ``None``: it takes no prompts.
        objective: what the network predicts, the data (``x0``) or the ``velocity``.
        mean, std: of pixels in [-1, 1].
        input_shape: (channels, height, width) of the network's input.
        codec_shape: (coefficients, channels, patch, patch), if that input is coefficients of patches; ``None``: pixels.
        refiner_config: arguments of ``Refiner``, for coefficients.
        autoencoder_config: arguments of ``Autoencoder``, if the input is its latents.
        num_train_timesteps: time of pure noise, as the scheduler counts.
    """

    @register_to_config
    def __init__(
        self,
        network_config: dict,
        prompt_config: dict | None,
        objective: str,
        mean: float,
        std: float,
        input_shape: list[int],
        codec_shape: list[int] | None = None,
        refiner_config: dict | None = None,
        autoencoder_config: dict | None = None,
        num_train_timesteps: int = 1000,
    ) -> None:
        super().__init__()
        self.network = UNet(**network_config)
        self.prompt = PromptEncoder(**prompt_config) if prompt_config else None
        self.refiner = Refiner(**refiner_config) if refiner_config else None
        self.autoencoder = Autoencoder(**autoencoder_config) if autoencoder_config else None
        if codec_shape:
            self.register_buffer("basis", torch.empty(codec_shape))
            self.register_buffer("centers", torch.empty(codec_shape[0]))
            self.register_buffer("scales", torch.empty(codec_shape[0]))

    def encode(self, prompts: list[str]) -> PromptEmbedding | None:
        """Encode prompts; "" is the null prompt of guidance."""
        return self.prompt(prompts) if self.prompt is not None else None

    def forward(self, sample: Tensor, timestep: Tensor, embedding: PromptEmbedding | None = None) -> Tensor:
        """Return the velocity at ``sample`` (batch, channels, height, width).

        Args:
            sample: (1 - t) data + t noise.
            timestep: (batch,), t times ``num_train_timesteps``.
            embedding: encoded prompts.
        """
        time = timestep / self.config.num_train_timesteps
        t = append_dims(time, sample.ndim)
        words = {"words": embedding} if self.network.word_width else {}
        pooled = None if embedding is None else embedding.pooled
        predicted = self.network(sample / ((1 - t) ** 2 + t**2).sqrt(), time, pooled, **words)
        return (sample - predicted) / t if self.config.objective == "x0" else predicted

    def decode(self, sample: Tensor) -> Tensor:
        """Return pixels (batch, channels, height, width), uint8."""
        mean, std = self.config.mean, self.config.std
        if self.autoencoder is not None:
            return LearnedScaling(mean, std, autoencoder=self.autoencoder).unscale(sample)
        if not self.config.codec_shape:
            return PixelScaling(mean, std).unscale(sample)
        scaling = PatchScaling(mean, std, self.basis.tolist(), self.centers.tolist(), self.scales.tolist())
        pixels = scaling.expand(sample)
        return scaling.denormalize(pixels if self.refiner is None else self.refiner(pixels, sample))
