"""Generator and discriminator of a text-conditional GAN for small and medium images.

Residual networks without normalization, in the spirit of R3GAN (Huang et al. 2024, arXiv:2501.05441, section 3), but
with plain 3 x 3 convolutions: grouped ones are slow on a CPU. The last convolution of each block starts at zero (Fixup,
arXiv:1901.09321), so both networks start almost linear.
"""

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import Readout, zero_module

Count = Annotated[int, Ge(1), Le(16_384)]
PATCH_SIZE = 2
"""Pixels per side that are folded into channels (pixel shuffle)."""
FINE_CHANNELS = 8
"""Channels of the one convolution at full resolution. Without it, the borders of pixel-shuffled patches are visible."""
MIN_SIDE = 4
"""Shorter side of the discriminator's last level, where the sides can be halved that often; the generator's first level
has twice that."""


class Generator(nn.Module):
    """Map a latent and a prompt to an image with zero mean and unit variance.

    The prompt has a spatial path of its own: the first feature map (8 x 8 for 32 or 64 pixels) is a linear function of
    the condition, and determines where objects are placed. Latent and prompt then scale and shift the features of every
    block (FiLM, arXiv:1709.07871).

    Args:
        shape: (channels, height, width) of an image.
        context: width of the pooled prompt embedding; 0: unconditional.
        latent: size of the latent.
        width: channels of the finest level; each coarser level has twice as many, up to ``4 * width``.
        blocks: residual blocks per level.

    Raises:
        ValueError: height or width is not a multiple of 4.
    """

    def __init__(
        self,
        shape: Sequence[int],
        context: Annotated[int, Ge(0), Le(65_536)] = 0,
        latent: Count = 64,
        width: Count = 32,
        blocks: Count = 2,
    ) -> None:
        super().__init__()
        self.latent = latent
        levels = level_sizes(shape, 2 * MIN_SIDE)[::-1]
        widths = level_channels(width, len(levels))[::-1]
        condition = 4 * width
        self.mapping = nn.Sequential(
            nn.Linear(latent + context, condition), nn.LeakyReLU(0.2), nn.Linear(condition, condition)
        )
        self.grid = (widths[0], *levels[0])
        self.start = nn.Linear(condition, math.prod(self.grid))
        self.levels = nn.ModuleList(
            nn.ModuleList(
                [
                    nn.Identity() if level == 0 else Upsample(widths[level - 1], out),
                    *(ConvBlock(out, condition) for _ in range(blocks)),
                ]
            )
            for level, out in enumerate(widths)
        )
        self.fine = nn.Conv2d(widths[-1], FINE_CHANNELS * PATCH_SIZE**2, 3, padding=1)
        self.out = nn.Conv2d(FINE_CHANNELS, shape[0], 3, padding=1)

    def forward(self, z: Tensor, pooled: Tensor | None = None) -> Tensor:
        """Generate images (batch, channels, height, width) from ``z`` (batch, latent), ``pooled`` (batch, context)."""
        condition = self.mapping(z if pooled is None else torch.cat([z, pooled], 1))
        condition = F.leaky_relu(condition, 0.2)
        x = self.start(condition).unflatten(1, self.grid)
        for level in self.levels:
            for layer in level:  # type: ignore[attr-defined]
                x = layer(x, condition) if isinstance(layer, ConvBlock) else layer(x)
        x = F.pixel_shuffle(self.fine(F.leaky_relu(x, 0.2)), PATCH_SIZE)
        return self.out(F.leaky_relu(x, 0.2))


class Discriminator(nn.Module):
    """Score how real an image looks and how well it fits its prompt (projection, arXiv:1802.05637, eq. 4).

    ``features`` do not depend on the prompt, so scoring an image with further prompts is almost free.

    Args:
        shape: (channels, height, width) of an image.
        context: width of the pooled prompt embedding; 0: unconditional.
        width: channels of the finest level; each coarser level has twice as many, up to ``4 * width``.
        blocks: residual blocks per level.

    Raises:
        ValueError: height or width is not a multiple of 4.
    """

    def __init__(
        self,
        shape: Sequence[int],
        context: Annotated[int, Ge(0), Le(65_536)] = 0,
        width: Count = 32,
        blocks: Count = 1,
    ) -> None:
        super().__init__()
        levels = level_sizes(shape, MIN_SIDE)
        widths = level_channels(width, len(levels))
        self.fine = nn.Conv2d(shape[0], FINE_CHANNELS, 3, padding=1)
        self.stem = nn.Conv2d(FINE_CHANNELS * PATCH_SIZE**2, width, 3, padding=1)
        self.levels = nn.ModuleList(
            nn.ModuleList(
                [
                    nn.Identity() if level == 0 else Downsample(widths[level - 1], out),
                    *(ConvBlock(out) for _ in range(blocks)),
                ]
            )
            for level, out in enumerate(widths)
        )
        self.flat = nn.Linear(widths[-1] * math.prod(levels[-1]), 4 * width)
        self.realism = Readout(4 * width, 1)
        self.fit = nn.Linear(context, 4 * width, bias=False) if context else None

    def features(self, x: Tensor) -> Tensor:
        """Map images (batch, channels, height, width) to features (batch, 4 * width)."""
        x = self.stem(F.pixel_unshuffle(F.leaky_relu(self.fine(x), 0.2), PATCH_SIZE))
        for level in self.levels:
            for layer in level:  # type: ignore[attr-defined]
                x = layer(x)
        return F.leaky_relu(self.flat(x.flatten(1)), 0.2)

    def scores(self, features: Tensor, pooled: Tensor | None = None) -> Tensor:
        """Score ``features`` (batch, 4 * width), each with its prompt ``pooled`` (batch, context): (batch,)."""
        score = self.realism(features)[:, 0]
        if self.fit is None or pooled is None:
            return score
        return score + (self.fit(pooled) * features).sum(1) / features.shape[1] ** 0.5

    def prompt_scores(self, features: Tensor, pooled: Tensor) -> Tensor:
        """Return the prompt's part of the score of each image (batch, 4 * width) with each prompt (prompts, context).

        Returns:
            (batch, prompts)
        """
        assert self.fit is not None
        return features @ self.fit(pooled).mT / features.shape[1] ** 0.5

    def forward(self, x: Tensor, pooled: Tensor | None = None) -> Tensor:
        """Score images (batch, channels, height, width), each with its prompt: (batch,)."""
        return self.scores(self.features(x), pooled)


class ConvBlock(nn.Module):
    """A residual block of two convolutions; a ``condition`` scales and shifts the features between them (FiLM)."""

    def __init__(self, width: int, condition: int = 0) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = zero_module(nn.Conv2d(width, width, 3, padding=1))
        self.film = nn.Linear(condition, 2 * width) if condition else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map (batch, channels, height, width) to the same shape."""
        h = self.first(F.leaky_relu(x, 0.2))
        if self.film is not None:
            gain, bias = self.film(condition)[:, :, None, None].chunk(2, 1)
            h = h * (1 + gain) + bias
        return x + self.second(F.leaky_relu(h, 0.2))


class Upsample(nn.Module):
    """Change the number of channels, then double height and width."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to (batch, out, 2 height, 2 width)."""
        return F.interpolate(self.conv(x), scale_factor=2.0, mode="bilinear")


class Downsample(nn.Module):
    """Halve height and width, then change the number of channels."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to (batch, out, height / 2, width / 2)."""
        return self.conv(F.avg_pool2d(x, 2))


def level_sizes(shape: Sequence[int], min_side: int) -> list[tuple[int, int]]:
    """Return (height, width) of each level, finest first: halved while both are even and not below ``min_side``.

    Raises:
        ValueError: height or width is not a multiple of 4.
    """
    _, height, width = shape
    if height % (2 * PATCH_SIZE) or width % (2 * PATCH_SIZE):
        raise ValueError(f"sides of {height} x {width} pixels have to be multiples of {2 * PATCH_SIZE}.")
    levels = [(height // PATCH_SIZE, width // PATCH_SIZE)]
    while all(side % 2 == 0 and side // 2 >= min_side for side in levels[-1]):
        levels.append((levels[-1][0] // 2, levels[-1][1] // 2))
    return levels


def level_channels(width: int, levels: int) -> list[int]:
    """Return the number of channels of each level, finest first."""
    return [width * min(4, 2**level) for level in range(levels)]
