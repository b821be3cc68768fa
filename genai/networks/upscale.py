"""A convolutional network that predicts what a small picture lacks, for pictures of any size.

Residual blocks without normalization (EDSR, Lim et al. 2017, arXiv:1707.02921) work at the resolution of the small
picture. Nothing in it depends on the size or the place, so a part of a picture, with ``reach`` pixels around it, gives
what the whole picture gives there.
"""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import FourierFeatures, zero_module


class UpscaleNetwork(nn.Module):
    """A denoiser of pictures (batch, channels, height, width), conditioned on an enlarged picture of the same size.

    Args:
        shape: (channels, height, width) of the training pictures; only the channels matter.
        upscale: factor between the sides of the small and the large picture: the pixels per side that are folded into
            channels.
        width: channels of the feature maps.
        blocks: residual blocks.
    """

    def __init__(
        self,
        shape: Sequence[int],
        upscale: Annotated[int, Ge(2), Le(8)] = 2,
        width: Annotated[int, Ge(1), Le(4096)] = 48,
        blocks: Annotated[int, Ge(1), Le(256)] = 8,
    ) -> None:
        super().__init__()
        channels, condition = shape[0], 4 * width
        self.patch = upscale
        self.reach = upscale * (2 * blocks + 2)
        self.time, self.level = (
            nn.Sequential(FourierFeatures(width), nn.Linear(width, condition), nn.SiLU()) for _ in range(2)
        )
        self.condition = nn.Linear(condition, condition)
        self.stem = nn.Conv2d(2 * channels * upscale**2, width, 3, padding=1)
        self.blocks = nn.ModuleList(ConditionedBlock(width, condition) for _ in range(blocks))
        self.out = zero_module(nn.Conv2d(width, channels * upscale**2, 3, padding=1))

    def forward(self, x: Tensor, time: Tensor, pooled: Tensor | None, enlarged: Tensor, level: Tensor) -> Tensor:
        """Return a prediction of the shape of ``x``.

        Args:
            x: (batch, channels, height, width), noisy; the sides are multiples of the factor.
            time: (batch,), diffusion times in [0, 1].
            pooled: is not used: there are no prompts.
            enlarged: of the shape of ``x``, the small picture enlarged.
            level: (batch,), amount of noise in the small picture, in [0, 1].
        """
        condition = F.silu(self.condition(self.time(time) + self.level(level)))
        x = self.stem(F.pixel_unshuffle(torch.cat([x, enlarged], 1), self.patch))
        for block in self.blocks:
            x = block(x, condition)
        return F.pixel_shuffle(self.out(F.silu(x)), self.patch)


class ConditionedBlock(nn.Module):
    """A residual block of two convolutions; the condition scales and shifts the features between them."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.scale_shift = zero_module(nn.Linear(condition, 2 * width))
        self.second = zero_module(nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map (batch, width, height, width of the map) to the same shape.

        Args:
            x: the feature maps.
            condition: (batch, condition).
        """
        scale, shift = self.scale_shift(condition)[:, :, None, None].chunk(2, 1)
        return x + self.second(F.silu(self.first(F.silu(x)) * (1 + scale) + shift))
