"""Peak signal-to-noise ratio of pictures and of frames."""

import torch
from torch import Tensor


def psnr(x: Tensor, target: Tensor) -> Tensor:
    """Compute the peak signal-to-noise ratio in dB over all pixels and channels.

    Its limit, for equal pictures, is that of an error of one level in one value.

    Args:
        x, target: (batch, ...) uint8, pictures or frames.

    Returns:
        (batch,).
    """
    error = (x.float() - target.float()).square().flatten(1).mean(1)
    return 10 * torch.log10(255**2 / error.clamp(min=1 / x[0].numel()))
