"""A spectral Wiener filter: the classical way to remove noise, as a baseline for trained models."""

import math

import torch
from torch import Tensor


def wiener_filter(
    x: Tensor, sample_rate: int, noise_quantile: float = 0.3, smoothing: float = 0.95, min_gain: float = 0.1
) -> Tensor:
    """Remove steady noise from ``x`` (batch, time).

    The signal-to-noise ratio of each 32 ms frame and frequency is estimated from the previous frame and from this one
    (decision-directed approach of Ephraim & Malah 1984, doi:10.1109/TASSP.1984.1164453, equation 51).

    Args:
        sample_rate: samples per second.
        noise_quantile: quantile in time at which a frequency contains only noise (Stahl et al. 2000,
            doi:10.1109/ICASSP.2000.862122). Noise power is exponentially distributed, so its mean follows from it.
        smoothing: weight of the previous frame.
        min_gain: lower limit of the gain, which avoids musical noise.
    """
    size = 2 ** round(math.log2(0.032 * sample_rate))
    window = torch.hann_window(size, device=x.device)
    spectrum = torch.stft(x, size, size // 4, window=window, return_complex=True)  # (B, F, T)
    power = spectrum.abs().square()
    noise_power = power.quantile(noise_quantile, -1, keepdim=True) / -math.log(1 - noise_quantile)
    posterior_snr = power / noise_power.clamp(min=1e-12)
    previous_snr, gains = torch.ones_like(posterior_snr[..., 0]), []
    for current_snr in posterior_snr.unbind(-1):
        prior_snr = smoothing * previous_snr + (1 - smoothing) * (current_snr - 1).clamp(min=0)
        gain = (prior_snr / (1 + prior_snr)).clamp(min=min_gain)
        previous_snr = gain.square() * current_snr
        gains.append(gain)
    return torch.istft(spectrum * torch.stack(gains, -1), size, size // 4, window=window, length=x.shape[-1])
