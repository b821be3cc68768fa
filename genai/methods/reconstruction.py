"""Reconstruction: an autoencoder learns to give pictures back. A diffusion model can work on its latents.

Noise on the latents makes the decoder forgive the errors of a sampler; a penalty keeps latents near unit scale, without
which they would grow until the noise says nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from genai.core.batch import Batch, Chunk, Request
from genai.core.errors import UserError
from genai.methods.base import Method, check_output
from genai.methods.scaling import LATENT_STRIDE, PixelScaling, Scaling
from genai.networks.layers import fast_bfloat16

MIN_ERROR = 1e-8
"""Smallest squared error of a picture in decibels: -80 dB."""


@dataclass(frozen=True)
class ReconstructionOptions:
    """A picture is given back in one way."""


class Reconstruction(Method):
    """Learns from pictures alone.

    Args:
        network: encodes and decodes pixels in [-1, 1], as ``Autoencoder`` does.
        shape: (channels, height, width) of a picture.
        scaling: of pixels; the network sees them in [-1, 1], whatever their mean is.
        noise: standard deviation of the noise on latents in training.
        penalty: weight of the squared differences of mean and standard deviation of the latents from 0 and 1.
        frames: of a clip, which it is not for.
        sampling: this model's own defaults for ``ReconstructionOptions``.

    Raises:
        ValueError: a side is not a multiple of 8, there is a codec, or items are clips.
    """

    Options = ReconstructionOptions
    metrics = ("val_loss",)
    can_sample = False

    def __init__(
        self,
        network: nn.Module,
        shape: Sequence[int],
        scaling: Scaling | None = None,
        noise: Annotated[float, Ge(0), Le(10)] = 0.1,
        penalty: Annotated[float, Ge(0), Le(1000)] = 0.1,
        frames: Annotated[int, Ge(1)] = 1,
        sampling: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if frames > 1:
            raise ValueError("an autoencoder is for images, but this modality is video. Choose another model=.")
        if scaling is not None and type(scaling) is not PixelScaling:
            raise ValueError("an autoencoder learns from pixels: codec=null.")
        if any(side % LATENT_STRIDE for side in shape[1:]):
            raise ValueError(
                f"an autoencoder needs sides that are multiples of {LATENT_STRIDE}, not {shape[2]} x {shape[1]} pixels."
            )
        self.ema_module, self.pixels = network, PixelScaling(0.0, 1.0)
        self.noise, self.penalty, self.sampling = noise, penalty, sampling or {}

    def loss(self, batch: Batch, network_name: str = "model") -> dict[str, Tensor]:
        """Return the mean absolute error of pixels in [-1, 1] plus the penalty, and both by name."""
        pixels = self.pixels.normalize(batch.x)
        latents = self.network.encode(pixels)
        error = (self.network.decode(latents + self.noise * torch.randn_like(latents)) - pixels).abs().mean()
        std, mean = torch.std_mean(latents, (0, 2, 3), correction=0)
        penalty = (mean.square() + (std - 1).square()).mean()
        return {"loss": error + self.penalty * penalty, "error": error, "penalty": penalty}

    def validation_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the mean absolute error without noise, and the mean PSNR of the pictures in dB."""
        pixels = self.pixels.normalize(batch.x)
        output = self.network(pixels)
        squared = ((output.clamp(-1, 1) - pixels) / 2).square().flatten(1).mean(1)
        return {"loss": (output - pixels).abs().mean(), "psnr": -10 * squared.clamp(min=MIN_ERROR).log10().mean()}

    def degrade(self, x: Tensor) -> Tensor:
        """Return ``x``: pictures are given back from their latents alone."""
        return x

    @property
    def has_previews(self) -> bool:
        return True

    @property
    def network(self) -> Any:
        return self.ema_module

    @torch.inference_mode()
    def stream(self, request: Request, options: ReconstructionOptions) -> Iterator[Chunk]:
        """Give the pictures ``request.init`` back. Raises ``UserError`` if there are none."""
        if request.init is None:
            raise UserError("an autoencoder makes no pictures of its own, it gives one back: init=FILE.")
        pixels = self.pixels.normalize(torch.stack(request.init).to(self.device))
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=fast_bfloat16(pixels.device.type)):
            output = self.network(pixels)
        yield Chunk(0, self.pixels.denormalize(check_output(output)).cpu(), 1.0)

    def sample(self, request: Request, options: ReconstructionOptions) -> list[Tensor]:
        """Return what ``stream`` yields."""
        (chunk,) = self.stream(request, options)
        return list(chunk.x)
