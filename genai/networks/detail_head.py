"""The last layers of a U-Net whose patches are larger than two pixels: they add the details that patches lose."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import zero_module

FOLD = 2
"""Pixels per side that are folded into channels; convolutions work on a quarter of the positions."""


class DetailHead(nn.Module):
    """Convolutions that see the input of the network next to its prediction, and begin as the identity.

    A patch of 4 x 4 pixels in three colors has 48 numbers, as many as a narrow network has channels. So what such a
    network predicts is blurred even if its input has next to no noise. Here the input comes in a second time, and the
    condition, which knows the noise, scales what the convolutions make of both.

    Args:
        channels: of an image.
        features: channels of the feature maps.
        condition: width of the condition.
        patch: pixels per side of a place of the feature maps, a multiple of ``FOLD``.
        width: channels of the convolutions.
    """

    def __init__(self, channels: int, features: int, condition: int, patch: int, width: int) -> None:
        super().__init__()
        self.scale_factor = patch // FOLD
        self.stem = nn.Conv2d(2 * channels * FOLD**2, width, 3, padding=1)
        self.features = nn.Conv2d(features, width, 1)
        self.scale_shift = zero_module(nn.Linear(condition, 4 * width))
        self.middle = nn.Conv2d(width, width, 3, padding=1)
        self.out = zero_module(nn.Conv2d(width, channels * FOLD**2, 3, padding=1))

    def forward(self, predicted: Tensor, x: Tensor, features: Tensor, condition: Tensor) -> Tensor:
        """Return a better prediction, (batch, channels, height, width).

        Args:
            predicted, x: prediction and input of the network, of that shape.
            features: (batch, features, height / patch, width / patch).
            condition: (batch, condition).
        """
        scale, shift, scale_2, shift_2 = self.scale_shift(condition)[:, :, None, None].chunk(4, 1)
        h = self.stem(F.pixel_unshuffle(torch.cat([predicted, x], 1), FOLD))  # (B, width, H / 2, W / 2)
        h = h + F.interpolate(self.features(features), scale_factor=float(self.scale_factor))
        h = self.middle(F.silu(h * (1 + scale) + shift))
        return predicted + F.pixel_shuffle(self.out(F.silu(h * (1 + scale_2) + shift_2)), FOLD)
