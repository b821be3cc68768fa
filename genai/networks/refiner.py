"""A small network that adds what a codec of patches loses: details, and edges across patches."""

from typing import Annotated

from annotated_types import Ge, Le, MultipleOf
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import zero_module

FOLD = 2
"""Pixels per side that are folded into channels; convolutions work on a quarter of the positions."""


class Refiner(nn.Module):
    """Residual blocks at half of the sides, which begin as the identity.

    Adapters leave them alone, because no prompt reaches them.

    Args:
        channels: of the pictures.
        coefficients: numbers of a patch.
        stride: side of a patch in pixels.
        width: channels of the blocks.
        blocks: number of residual blocks.
    """

    takes_adapters = False

    def __init__(
        self,
        channels: Annotated[int, Ge(1), Le(64)],
        coefficients: Annotated[int, Ge(1), Le(4096)],
        stride: Annotated[int, Ge(2), Le(256), MultipleOf(FOLD)],
        width: Annotated[int, Ge(4), Le(1024)] = 48,
        blocks: Annotated[int, Ge(0), Le(64)] = 2,
    ) -> None:
        super().__init__()
        self.scale_factor = stride // FOLD
        self.stem = nn.Conv2d(channels * FOLD**2, width, 3, padding=1)
        self.patch_stem = nn.Conv2d(coefficients, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.SiLU(), nn.Conv2d(width, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1)
            )
            for _ in range(blocks)
        )
        self.out = zero_module(nn.Conv2d(width, channels * FOLD**2, 3, padding=1))

    def forward(self, pixels: Tensor, x: Tensor) -> Tensor:
        """Return better pixels.

        Args:
            pixels: (batch, channels, height, width), zero mean and unit variance, as the codec decodes ``x``.
            x: (batch, coefficients, height / stride, width / stride).
        """
        h = self.stem(F.pixel_unshuffle(pixels, FOLD))  # (B, width, H / 2, W / 2)
        h = h + F.interpolate(self.patch_stem(x), scale_factor=float(self.scale_factor))
        for block in self.blocks:
            h = h + block(h)
        return pixels + F.pixel_shuffle(self.out(F.silu(h)), FOLD).float()
