"""The classical way to clean a recording, as a floor for what is learnt: a Wiener filter of the spectrum."""

import math

import torch
from torch import Tensor


def wiener(x: Tensor, rate: int, quiet: float = 0.3, smoothing: float = 0.95, least: float = 0.1) -> Tensor:
    """``x`` (batch, time) without steady noise.

    The signal-to-noise ratio of each frame of 32 ms and frequency is estimated from the frame before and from this one
    (the decision-directed way of Ephraim & Malah 1984, doi:10.1109/TASSP.1984.1164453, equation 51).

    Args:
        rate: samples a second.
        quiet: the quantile in time at which a frequency has nothing but noise (Stahl et al. 2000,
            doi:10.1109/ICASSP.2000.862122); its mean follows, since the power of noise is exponentially distributed.
        smoothing: share of the frame before.
        least: that is left of anything, so that what remains does not chirp.
    """
    size = 2 ** round(math.log2(0.032 * rate))
    window = torch.hann_window(size, device=x.device)
    spectrum = torch.stft(x, size, size // 4, window=window, return_complex=True)
    power = spectrum.abs().square()
    noise = power.quantile(quiet, -1, keepdim=True) / -math.log(1 - quiet)
    posterior = power / noise.clamp(min=1e-12)
    before, gains = torch.ones_like(posterior[..., 0]), []
    for now in posterior.unbind(-1):
        prior = smoothing * before + (1 - smoothing) * (now - 1).clamp(min=0)
        gain = (prior / (1 + prior)).clamp(min=least)
        before = gain.square() * now
        gains.append(gain)
    return torch.istft(spectrum * torch.stack(gains, -1), size, size // 4, window=window, length=x.shape[-1])
