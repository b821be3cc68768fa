"""A vocoder of harmonics and noise: frames of pitch and spectral envelope become sound.

As in DDSP (Engel et al. 2020, arXiv:2001.04643) the sound is a sum of harmonics plus filtered noise, and a network
predicts both spectra. As in the neural source-filter model (Wang et al. 2019, arXiv:1904.12088) the harmonics are a
filtered source whose phase follows the pitch. Before training the spectra are those of the frames, as WORLD takes them.
"""

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt, Le, Len, Lt
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import Readout

FILTER_SECONDS = 0.018
"""Length of the filters, at least."""
MIN_HERTZ = 20.0
"""Lowest pitch of the source."""
LOG_MEAN, LOG_STD = -12.0, 4.0
"""Usual logarithm of the power in a band of speech, and its deviation: they scale the inputs of the network."""


class HarmonicVocoder(nn.Module):
    """Convolutions over frames correct two spectra, by which a source of harmonics and a source of noise are filtered.

    A frame is the natural logarithm of the power in each band, the decibels of noise at ``noise_hertz``, and the pitch
    in Hz, 0 where nothing is voiced. Filters have the least phase that goes with their magnitudes, which is linear in
    the logarithms of the magnitudes. So it is a matrix that is computed once.

    Args:
        sample_rate: in Hz.
        hop_length: samples per frame.
        band_hertz: centers of the bands of the envelope.
        noise_hertz: the frequency at which frames know the noise; at half the sample rate all is noise.
        min_noise: noise at 0 Hz, in decibels.
        width: channels.
        layers: blocks.
        kernel: frames that a convolution sees.
        steps: filters per frame, which follow sounds faster than frames do.

    Attributes:
        reach: frames on either side of a frame that its sound depends on.
    """

    interpolation: Tensor
    minimum_phase: Tensor
    known_noise: Tensor
    fixed_noise: Tensor
    window: Tensor

    def __init__(
        self,
        sample_rate: Annotated[int, Ge(16_000), Le(48_000)],
        hop_length: Annotated[int, Ge(2), Le(4800)],
        band_hertz: Annotated[Sequence[float], Len(2, 512)],
        noise_hertz: Annotated[float, Gt(0), Lt(8000)],
        min_noise: Annotated[float, Ge(-200), Lt(0)],
        width: Annotated[int, Ge(8), Le(2048)] = 128,
        layers: Annotated[int, Ge(1), Le(32)] = 4,
        kernel: Annotated[int, Ge(1), Le(15)] = 5,
        steps: Annotated[int, Ge(1), Le(5)] = 2,
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"kernel={kernel} should be odd")
        self.sample_rate, self.hop_length, self.bands = sample_rate, hop_length, len(band_hertz)
        self.min_noise = min_noise
        if self.hop_length % steps:
            raise ValueError(f"steps={steps} does not divide the {self.hop_length} samples of a frame")
        self.steps, self.step_length = steps, self.hop_length // steps
        self.fft_size = 2 ** math.ceil(math.log2(2 * self.step_length + FILTER_SECONDS * sample_rate))
        self.reach = (layers + 1) * (kernel // 2) + -(-self.fft_size // self.hop_length) + 1
        self.enter = nn.Conv1d(self.bands + 3, width, kernel, padding=kernel // 2)
        self.blocks = nn.ModuleList(VocoderBlock(width, kernel) for _ in range(layers))
        self.norm, self.leave = nn.LayerNorm(width), Readout(width, steps * 2 * self.bands)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        weights = _interpolation(band_hertz, sample_rate, self.fft_size)
        corners = (0.0, noise_hertz, sample_rate / 2)
        constants = {
            "interpolation": weights,  # (bands, bins)
            "minimum_phase": _minimum_phase(weights),  # (bands, bins)
            "known_noise": np.interp(band_hertz, corners, (0.0, 1.0, 0.0)),  # (bands,), share of the known decibels
            "fixed_noise": np.interp(band_hertz, corners, (min_noise, 0.0, 0.0)),  # (bands,), in decibels
        }
        for name, values in constants.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)
        self.register_buffer("window", torch.hann_window(2 * self.step_length), persistent=False)

    def forward(self, frames: Tensor, noise: Tensor, phase: Tensor) -> Tensor:
        """Return the sound of frames (batch, time, bands + 2): (batch, time * hop_length).

        Args:
            frames: the first is centered on the first sample.
            noise: (batch, time * hop_length), of unit variance.
            phase: (batch,) of the pitch at the first sample, in periods.
        """
        harmonics, gate = self.source(frames[..., -1], phase)
        amplitudes = self.log_amplitudes(frames)
        sources = torch.stack([harmonics * gate, noise.to(harmonics)], 1)  # (B, 2, T)
        with torch.autocast(frames.device.type, enabled=False):  # exponentials and phases need float32
            return self._filter(sources, amplitudes)

    def _filter(self, sources: Tensor, log_amplitudes: Tensor) -> Tensor:
        """Return the sum of filtered sources: (batch, T) for (batch, 2, T) and (batch, M, 2, bands)."""
        parts = F.pad(sources, (self.step_length, 0)).unfold(2, 2 * self.step_length, self.step_length)
        spectra = torch.fft.rfft(parts * self.window, self.fft_size).transpose(1, 2)  # (B, M, 2, bins)
        filters = torch.polar((log_amplitudes @ self.interpolation).exp(), log_amplitudes @ self.minimum_phase)
        filtered = torch.fft.irfft((spectra * filters).sum(2), self.fft_size)  # (B, M, fft_size)
        sound = _overlap_add(filtered, self.step_length)
        return sound[:, self.step_length : self.step_length + sources.shape[-1]]

    def log_amplitudes(self, frames: Tensor) -> Tensor:
        """Return the logarithms of the amplitudes of harmonics and noise: (batch, time * steps, 2, bands)."""
        envelope, decibels, f0 = frames[..., : self.bands], frames[..., -2:-1], frames[..., -1:]
        voiced = f0 > 0
        pitch = f0.clamp(min=MIN_HERTZ).log2() - 7.5  # 181 Hz
        features = [(envelope - LOG_MEAN) / LOG_STD, decibels / 30 + 1, pitch * voiced, voiced.to(pitch)]
        x = self.enter(torch.cat(features, -1).mT).mT
        for block in self.blocks:
            x = block(x)
        corrections = self.leave(self.norm(x)).float().unflatten(-1, (self.steps, 2, self.bands))
        log_noise = (decibels * self.known_noise + self.fixed_noise) * (math.log(10) / 20)
        log_noise = torch.where(voiced, log_noise.clamp(self.min_noise * math.log(10) / 20, 0), 0)
        log_harmonics = 0.5 * (-torch.expm1(2 * log_noise)).clamp(min=1e-4).log()
        base = envelope[..., None, :] / 2 + torch.stack([log_harmonics, log_noise], -2)  # (B, time, 2, bands)
        next_base = torch.cat([base[:, 1:], base[:, -1:]], 1)
        places = torch.arange(self.steps, device=base.device)[:, None, None] / self.steps
        return (torch.lerp(base[:, :, None], next_base[:, :, None], places) + corrections).flatten(1, 2)

    @torch.no_grad()
    def source(self, f0: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
        """Return all harmonics below half the sample rate, together of unit variance, and where they are heard.

        Args:
            f0: (batch, time), in Hz; 0 where nothing is voiced.
            phase: (batch,), in periods.

        Returns:
            (batch, time * hop_length) twice; the second is from 0 to 1.
        """
        begin, end = _pitch_lines(f0)
        places = torch.arange(self.hop_length, device=f0.device) / self.hop_length
        hertz = torch.lerp(begin[..., None], end[..., None], places.double()).flatten(1)  # (B, T)
        is_voiced = (f0 > 0).float()
        gate = torch.lerp(is_voiced[..., None], _next_values(is_voiced)[..., None], places).flatten(1)
        steps = hertz / self.sample_rate
        periods = phase.double()[:, None] + steps.cumsum(1) - steps
        return pulse_train(periods, hertz, self.sample_rate).float(), gate

    @torch.no_grad()
    def phases(self, f0: Tensor, phase: Tensor) -> Tensor:
        """Return the phase (batch, time) at each frame, in periods, for arguments as in ``source``."""
        begin, end = _pitch_lines(f0)
        # the sum over the samples of a frame, as in ``source``: a line without its last point
        slope = (end - begin) * (self.hop_length - 1) / (2 * self.hop_length)
        steps = (begin + slope) * self.hop_length / self.sample_rate
        return (phase.double()[:, None] + steps.cumsum(1) - steps) % 1


class VocoderBlock(nn.Module):
    """A residual convolution over frames."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, time, width) to the same shape."""
        return x + self.out(F.gelu(self.conv(self.norm(x).mT).mT))


def pulse_train(periods: Tensor, hertz: Tensor, sample_rate: int) -> Tensor:
    """Return the sum of all cosines at multiples of a pitch below half the sample rate, of unit variance.

    It is a Dirichlet kernel, which costs the same for any number of harmonics. The highest one fades in and out.

    Args:
        periods: phase of the pitch at each sample, in periods, float64.
        hertz: the pitch, float64; below ``MIN_HERTZ``: nothing.
        sample_rate: in Hz.
    """
    pitch = hertz.clamp(min=MIN_HERTZ)
    number = (sample_rate / 2 / pitch - 1).clamp(min=0)
    whole = number.floor()
    angle = 2 * math.pi * (periods - periods.round())  # in [-pi, pi], where the kernel is exact near 0
    half = (angle / 2).sin()
    is_peak = half.abs() < 1e-7
    kernel = ((whole + 0.5) * angle).sin() / half.masked_fill(is_peak, 1.0)
    total = torch.where(is_peak, whole, (kernel - 1) / 2) + (number - whole) * ((whole + 1) * angle).cos()
    return total * 2 * (pitch / sample_rate).sqrt() * (hertz >= MIN_HERTZ)


def _next_values(x: Tensor) -> Tensor:
    """Return the next value of each in (batch, time); the last one has none, and stays."""
    return torch.cat([x[:, 1:], x[:, -1:]], 1)


def _pitch_lines(f0: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pitch where each frame begins and ends, held where one is unvoiced: (batch, time) float64."""
    f0 = f0.double()
    next_f0 = _next_values(f0)
    return torch.where(f0 > 0, f0, next_f0), torch.where(next_f0 > 0, next_f0, f0)


def _overlap_add(parts: Tensor, step: int) -> Tensor:
    """Add parts (batch, count, size), each ``step`` samples later: (batch, (count - 1) * step + size)."""
    count, size = parts.shape[1:]
    total = (count - 1) * step + size
    return F.fold(parts.mT, (1, total), (1, size), stride=(1, step)).flatten(1)


def _interpolation(band_hertz: Sequence[float], sample_rate: int, fft_size: int) -> NDArray[np.float64]:
    """Return weights by which values of bands become values of all bins: (bands, bins)."""
    hertz = np.arange(fft_size // 2 + 1) * sample_rate / fft_size
    return np.stack([np.interp(hertz, band_hertz, row) for row in np.eye(len(band_hertz))])


def _minimum_phase(log_amplitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least phase, in radians, of filters with amplitudes (..., bins): no cepstra of negative time."""
    cepstra = np.fft.irfft(log_amplitudes)
    middle = cepstra.shape[-1] // 2
    cepstra[..., 1:middle] *= 2
    cepstra[..., middle + 1 :] = 0
    return np.fft.rfft(cepstra).imag
