"""A convolutional autoencoder: 8 x 8 pixels become one position of a few channels, and pixels again.

The layout is that of ``AutoencoderTiny`` of diffusers: strided convolutions, residual blocks, nearest upsampling.
"""

from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

FOLD = 2
"""Pixels per side that are folded into channels; no convolution works on single pixels."""
MIN_STD = 1e-3


class Autoencoder(nn.Module):
    """Encoder and decoder, with three resolutions each, of ``width``, 2 ``width`` and 3 ``width`` channels.

    Buffers hold mean and standard deviation of each channel of the latents of a data set, by which latents are
    normalized; 0 and 1 until they are measured.

    Args:
        color_channels: of the pictures, 1 or 3.
        latents: channels of a position.
        width: channels at half of the sides.
        blocks: residual blocks at each resolution.
    """

    means: Tensor
    stds: Tensor
    is_frozen = False
    """Whether it is a part of a model that is trained without it."""

    def __init__(
        self,
        color_channels: Annotated[int, Ge(1), Le(4)],
        latents: Annotated[int, Ge(1), Le(64)] = 8,
        width: Annotated[int, Ge(4), Le(512)] = 32,
        blocks: Annotated[int, Ge(1), Le(16)] = 1,
    ) -> None:
        super().__init__()
        self.color_channels = color_channels
        self.settings = {"latents": latents, "width": width, "blocks": blocks}
        folded, (fine, middle, coarse) = color_channels * FOLD**2, (width, 2 * width, 3 * width)
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(FOLD),
            nn.Conv2d(folded, fine, 3, padding=1),
            *(AutoencoderBlock(fine) for _ in range(blocks)),
            nn.Conv2d(fine, middle, 3, stride=2, padding=1),
            *(AutoencoderBlock(middle) for _ in range(blocks)),
            nn.Conv2d(middle, coarse, 3, stride=2, padding=1),
            *(AutoencoderBlock(coarse) for _ in range(blocks)),
            nn.SiLU(),
            nn.Conv2d(coarse, latents, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latents, coarse, 3, padding=1),
            *(AutoencoderBlock(coarse) for _ in range(blocks)),
            nn.Conv2d(coarse, middle, 1),  # before upsampling, where it is cheaper
            nn.Upsample(scale_factor=2),
            *(AutoencoderBlock(middle) for _ in range(blocks)),
            nn.Conv2d(middle, fine, 1),
            nn.Upsample(scale_factor=2),
            *(AutoencoderBlock(fine) for _ in range(blocks)),
            nn.SiLU(),
            nn.Conv2d(fine, folded, 3, padding=1),
            nn.PixelShuffle(FOLD),
        )
        self.register_buffer("means", torch.zeros(latents))
        self.register_buffer("stds", torch.ones(latents))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return pixels (batch, color_channels, height, width) in [-1, 1] as decoded from their latents."""
        return self.decode(self.encode(pixels))

    def encode(self, pixels: Tensor) -> Tensor:
        """Return the normalized latents (batch, latents, height / 8, width / 8) of pixels in [-1, 1]."""
        latents = self.encoder(pixels).float()
        return (latents - self._column(self.means)) / self._column(self.stds).clamp(min=MIN_STD)

    def decode(self, latents: Tensor) -> Tensor:
        """Return pixels (batch, color_channels, height, width), about in [-1, 1], of normalized latents."""
        pixels: Tensor = self.decoder(latents * self._column(self.stds).clamp(min=MIN_STD) + self._column(self.means))
        return pixels.float()

    def freeze(self) -> None:
        """Exclude it from training, and from adapters."""
        self.is_frozen = True
        self.requires_grad_(requires_grad=False)

    def _column(self, values: Tensor) -> Tensor:
        return values[:, None, None]


class AutoencoderBlock(nn.Module):
    """Two convolutions around which the input passes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, width, height, width) in the same shape."""
        return x + self.second(F.silu(self.first(F.silu(x))))
