"""The two players of a GAN for small and medium images, guided by a prompt.

Residual networks without any normalisation, in the spirit of R3GAN (Huang et al. 2024, arXiv:2501.05441, section 3),
but with plain 3 x 3 convolutions, as grouped ones are slow on a CPU. The last convolution of a block starts at zero
(Fixup, arXiv:1901.09321), so that either network starts almost linear.
"""

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import Readout, zeroed

Count = Annotated[int, Ge(1), Le(16_384)]
PATCH = 2
"""Pixels of a side that are folded into channels."""
FINE = 8
"""Channels at full size, of one cheap convolution beside the image: without it pixels that were folded do not match."""
COARSE = 4
"""Of the shorter side of the discriminator's last level, where sides can be halved so often; the generator's first one
has twice that."""


class Generator(nn.Module):
    """A latent and a prompt -> an image, in zero mean and unit variance.

    The prompt has a spatial route of its own: the first map, of 8 x 8 places for 32 or 64 pixels, is drawn from it,
    which is where things are to be. Latent and prompt then set a gain and a bias in every block (FiLM,
    arXiv:1709.07871).

    Args:
        shape: of an image, (channels, height, width).
        context: width of the prompt's pooled vector; 0: no prompt.
        latent: numbers that a sample is drawn from.
        width: channels of the finest level; each coarser one has twice as many, at most ``4 * width``.
        blocks: of a level.

    Raises:
        ValueError: sides that are no multiples of 4.
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
        levels = sides(shape, 2 * COARSE)[::-1]
        widths = channels(width, len(levels))[::-1]
        condition = 4 * width
        self.mapping = nn.Sequential(
            nn.Linear(latent + context, condition), nn.LeakyReLU(0.2), nn.Linear(condition, condition)
        )
        self.grid = (widths[0], *levels[0])
        self.start = nn.Linear(condition, math.prod(self.grid))
        self.levels = nn.ModuleList(
            nn.ModuleList(
                [
                    nn.Identity() if level == 0 else Up(widths[level - 1], out),
                    *(Block(out, condition) for _ in range(blocks)),
                ]
            )
            for level, out in enumerate(widths)
        )
        self.fine = nn.Conv2d(widths[-1], FINE * PATCH**2, 3, padding=1)
        self.out = nn.Conv2d(FINE, shape[0], 3, padding=1)

    def forward(self, z: Tensor, pooled: Tensor | None = None) -> Tensor:
        """(batch, latent), (batch, context) -> (batch, channels, height, width)."""
        condition = self.mapping(z if pooled is None else torch.cat([z, pooled], 1))
        condition = F.leaky_relu(condition, 0.2)
        x = self.start(condition).unflatten(1, self.grid)
        for level in self.levels:
            for layer in level:  # type: ignore[attr-defined]
                x = layer(x, condition) if isinstance(layer, Block) else layer(x)
        x = F.pixel_shuffle(self.fine(F.leaky_relu(x, 0.2)), PATCH)
        return self.out(F.leaky_relu(x, 0.2))


class Discriminator(nn.Module):
    """How real an image looks, and how well it fits its prompt: one score, by projection (arXiv:1802.05637, eq. 4).

    ``features`` do not depend on the prompt. So the score of an image beside another prompt costs next to nothing.

    Args:
        shape: of an image.
        context: width of the prompt's pooled vector; 0: no prompt.
        width: channels of the finest level; each coarser one has twice as many, at most ``4 * width``.
        blocks: of a level.

    Raises:
        ValueError: sides that are no multiples of 4.
    """

    def __init__(
        self,
        shape: Sequence[int],
        context: Annotated[int, Ge(0), Le(65_536)] = 0,
        width: Count = 32,
        blocks: Count = 1,
    ) -> None:
        super().__init__()
        levels = sides(shape, COARSE)
        widths = channels(width, len(levels))
        self.fine = nn.Conv2d(shape[0], FINE, 3, padding=1)
        self.stem = nn.Conv2d(FINE * PATCH**2, width, 3, padding=1)
        self.levels = nn.ModuleList(
            nn.ModuleList(
                [
                    nn.Identity() if level == 0 else Down(widths[level - 1], out),
                    *(Block(out) for _ in range(blocks)),
                ]
            )
            for level, out in enumerate(widths)
        )
        self.flat = nn.Linear(widths[-1] * math.prod(levels[-1]), 4 * width)
        self.realism = Readout(4 * width, 1)
        self.fit = nn.Linear(context, 4 * width, bias=False) if context else None

    def features(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, 4 * width)."""
        x = self.stem(F.pixel_unshuffle(F.leaky_relu(self.fine(x), 0.2), PATCH))
        for level in self.levels:
            for layer in level:  # type: ignore[attr-defined]
                x = layer(x)
        return F.leaky_relu(self.flat(x.flatten(1)), 0.2)

    def scores(self, features: Tensor, pooled: Tensor | None = None) -> Tensor:
        """(batch, 4 * width), (batch, context) -> (batch,)."""
        score = self.realism(features)[:, 0]
        if self.fit is None or pooled is None:
            return score
        return score + (self.fit(pooled) * features).sum(1) / features.shape[1] ** 0.5

    def fits(self, features: Tensor, pooled: Tensor) -> Tensor:
        """What prompts (others, context) add to the scores of images (batch, 4 * width): (batch, others)."""
        assert self.fit is not None
        return features @ self.fit(pooled).mT / features.shape[1] ** 0.5

    def forward(self, x: Tensor, pooled: Tensor | None = None) -> Tensor:
        """The scores (batch,) of images beside their prompts."""
        return self.scores(self.features(x), pooled)


class Block(nn.Module):
    """Two convolutions beside the way through; with a ``condition`` a gain and a bias between them."""

    def __init__(self, width: int, condition: int = 0) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = zeroed(nn.Conv2d(width, width, 3, padding=1))
        self.film = nn.Linear(condition, 2 * width) if condition else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(batch, width, height, width) -> the same."""
        h = self.first(F.leaky_relu(x, 0.2))
        if self.film is not None:
            gain, bias = self.film(condition)[:, :, None, None].chunk(2, 1)
            h = h * (1 + gain) + bias
        return x + self.second(F.leaky_relu(h, 0.2))


class Up(nn.Module):
    """Other channels, then twice the sides."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, height, width) -> (batch, out, 2 height, 2 width)."""
        return F.interpolate(self.conv(x), scale_factor=2.0, mode="bilinear")


class Down(nn.Module):
    """Half the sides, then other channels."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, height, width) -> (batch, out, height / 2, width / 2)."""
        return self.conv(F.avg_pool2d(x, 2))


def sides(shape: Sequence[int], least: int) -> list[tuple[int, int]]:
    """Height and width of each level, the finest first: halved as long as both are even and stay at ``least``.

    Raises:
        ValueError: they are no multiples of 4.
    """
    _, height, width = shape
    if height % (2 * PATCH) or width % (2 * PATCH):
        raise ValueError(f"sides of {height} x {width} pixels have to be multiples of {2 * PATCH}.")
    levels = [(height // PATCH, width // PATCH)]
    while all(side % 2 == 0 and side // 2 >= least for side in levels[-1]):
        levels.append((levels[-1][0] // 2, levels[-1][1] // 2))
    return levels


def channels(width: int, levels: int) -> list[int]:
    """Of each level, the finest first."""
    return [width * min(4, 2**level) for level in range(levels)]
