"""Scaling between stored data and the zero-mean, unit-variance inputs of networks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

import torch
from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional as F

LATENT_STRIDE = 8
"""Pixels per side of a position of latents."""


@dataclass(frozen=True)
class Scaling:
    """Scaling of floating-point data.

    Attributes:
        mean, std: mean and standard deviation of the data.
    """

    mean: float = 0.0
    std: Annotated[float, Gt(0)] = 1.0

    @property
    def network(self) -> nn.Module | None:
        """The frozen network of a learned codec, which a method keeps among its modules."""
        return None

    def scale(self, x: Tensor) -> Tensor:
        """Convert stored data to what networks see: zero mean, unit variance. Raises ``TypeError`` for integers."""
        return self.compress(self.normalize(x))

    def unscale(self, x: Tensor) -> Tensor:
        """Invert ``scale``."""
        return self.denormalize(self.expand(x))

    def normalize(self, x: Tensor) -> Tensor:
        """Convert stored data to zero mean and unit variance, in their own shape."""
        if not x.is_floating_point():
            raise TypeError(f"data of type {x.dtype} needs a scaling of its own, such as PixelScaling")
        return (x.float() - self.mean) / self.std

    def denormalize(self, x: Tensor) -> Tensor:
        """Invert ``normalize``."""
        return x * self.std + self.mean

    def compress(self, x: Tensor) -> Tensor:
        """Convert normalized data to fewer numbers, if a codec does that."""
        return x

    def expand(self, x: Tensor) -> Tensor:
        """Convert what ``compress`` returns to normalized data."""
        return x

    def scaled_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape that ``scale`` makes of ``shape``."""
        return tuple(shape)

    def scale_mask(self, mask: Tensor) -> Tensor:
        """Return weights of pixels (..., 1, height, width) as weights of what ``scale`` makes of them."""
        return mask

    def blend(self, x: Tensor, known: Tensor, mask: Tensor) -> Tensor:
        """Replace scaled data ``x`` by ``known`` where ``mask``, in the shape of stored data, is true."""
        return torch.where(mask, known, x)


@dataclass(frozen=True)
class PixelScaling(Scaling):
    """Scaling of uint8 pixels.

    Attributes:
        mean, std: mean and standard deviation of the pixels in [-1, 1].
    """

    mean: float = 0.0
    std: Annotated[float, Gt(0)] = 0.5

    def normalize(self, x: Tensor) -> Tensor:
        return (x.float() / 127.5 - 1 - self.mean) / self.std

    def denormalize(self, x: Tensor) -> Tensor:
        """Invert ``normalize``, rounded and clipped."""
        return ((x * self.std + self.mean + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True, eq=False)
class PatchScaling(PixelScaling):
    """Scaling of uint8 pixels to coefficients of square patches: a picture becomes smaller and has more channels.

    The basis is orthonormal, so noise in coefficients is noise in pixels, and known pixels stay known.

    Attributes:
        mean, std: mean and standard deviation of the pixels in [-1, 1].
        basis: (coefficients, channels, patch, patch), of scaled pixels.
        centers, scales: (coefficients,), mean of each coefficient and what it is divided by.
    """

    basis: Sequence[Sequence[Sequence[Sequence[float]]]] = ()
    centers: Sequence[float] = ()
    scales: Sequence[float] = ()

    def compress(self, x: Tensor) -> Tensor:
        """Convert pixels (..., channels, height, width) to (..., coefficients, height / patch, width / patch)."""
        return (self._project(x) - self._column(self.centers, x)) / self._column(self.scales, x)

    def expand(self, x: Tensor) -> Tensor:
        """Return the pixels that are nearest to what has these coefficients."""
        return self._combine(x * self._column(self.scales, x) + self._column(self.centers, x))

    def scaled_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        count, _, patch, _ = self._filters.shape
        return (*shape[:-3], count, shape[-2] // patch, shape[-1] // patch)

    def scale_mask(self, mask: Tensor) -> Tensor:
        """Average the weights of the pixels of each patch."""
        return F.avg_pool2d(mask, self._filters.shape[-1])

    def blend(self, x: Tensor, known: Tensor, mask: Tensor) -> Tensor:
        """Replace pixels: a patch of which a part is known keeps the other part."""
        scales = self._column(self.scales, x)
        difference = self._combine((known - x) * scales)
        return x + self._project(torch.where(mask, difference, 0.0)) / scales

    @cached_property
    def _filters(self) -> Tensor:
        return torch.tensor(self.basis)

    def _project(self, pixels: Tensor) -> Tensor:
        filters = self._filters.to(pixels.device)
        with torch.autocast(pixels.device.type, enabled=False):  # 8 bits of bfloat16 would change pixels
            output = F.conv2d(pixels.float().flatten(0, -4), filters, stride=filters.shape[-1])
        return output.unflatten(0, pixels.shape[:-3])

    def _combine(self, coefficients: Tensor) -> Tensor:
        filters = self._filters.to(coefficients.device)
        with torch.autocast(coefficients.device.type, enabled=False):
            output = F.conv_transpose2d(coefficients.float().flatten(0, -4), filters, stride=filters.shape[-1])
        return output.unflatten(0, coefficients.shape[:-3])

    def _column(self, values: Sequence[float], like: Tensor) -> Tensor:
        return torch.tensor(values, device=like.device)[:, None, None]


@dataclass(frozen=True, eq=False)
class LearnedScaling(PixelScaling):
    """Scaling of uint8 pixels to the latents of a frozen autoencoder, which are normalized by channel.

    Attributes:
        mean, std: mean and standard deviation of the pixels in [-1, 1].
        autoencoder: ``encode`` and ``decode`` of pixels in [-1, 1], for 8 x 8 pixels a position.
    """

    autoencoder: nn.Module = field(kw_only=True)

    def __post_init__(self) -> None:
        self._codec.freeze()

    @property
    def network(self) -> nn.Module:
        return self.autoencoder

    @property
    def _codec(self) -> Any:
        return self.autoencoder

    def compress(self, x: Tensor) -> Tensor:
        """Convert pixels (..., channels, height, width) to latents (..., latents, height / 8, width / 8)."""
        with torch.no_grad():
            latents: Tensor = self._codec.encode((x * self.std + self.mean).flatten(0, -4))
        return latents.unflatten(0, x.shape[:-3])

    def expand(self, x: Tensor) -> Tensor:
        """Return the normalized pixels that are decoded from latents."""
        pixels: Tensor = self._codec.decode(x.flatten(0, -4))
        return ((pixels - self.mean) / self.std).unflatten(0, x.shape[:-3])

    def scaled_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (*shape[:-3], len(self._codec.means), shape[-2] // LATENT_STRIDE, shape[-1] // LATENT_STRIDE)

    def scale_mask(self, mask: Tensor) -> Tensor:
        """Average the weights of the pixels of each position."""
        return F.avg_pool2d(mask, LATENT_STRIDE)

    def blend(self, x: Tensor, known: Tensor, mask: Tensor) -> Tensor:
        """Replace latents of which all pixels are known."""
        unknown = F.max_pool2d((~mask).float().amax(-3, keepdim=True).flatten(0, -4), LATENT_STRIDE)
        return torch.where(unknown.unflatten(0, mask.shape[:-3]) > 0, x, known)
