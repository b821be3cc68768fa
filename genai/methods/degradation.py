"""Random degradation of sounds for speech enhancement: several kinds of noise at a known level, and clipping."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

Kind = Literal["white", "colored", "hum", "babble", "clipping"]
DB = Annotated[float, Ge(-60), Le(120)]

MIN_LEVEL = 1e-6
"""Root mean square below which a sound counts as silent and is not amplified."""
BABBLE_VOICES = 3
"""Copies of each sound in babble noise."""


class Degradation(nn.Module):
    """Degrades each sound of a batch differently, with random numbers from torch's global generator.

    Args:
        sample_rate: in Hz.
        kinds: ``white``, ``colored`` (power falls by 1.5 to 6 dB per octave: pink is 3, brown 6), ``hum`` (mains of 50
            or 60 Hz, with harmonics), ``babble`` (the other sounds of the batch, all at once), ``clipping``.
        min_snr, max_snr: range in dB of the signal-to-noise ratio (uniform; measured where the sound is active).
    """

    def __init__(
        self,
        sample_rate: Annotated[int, Ge(1000), Le(192_000)],
        kinds: Sequence[Kind] = ("white", "colored", "hum", "babble", "clipping"),
        min_snr: DB = -5.0,
        max_snr: DB = 15.0,
    ) -> None:
        super().__init__()
        if not kinds or min_snr > max_snr:
            raise ValueError(
                f"kinds={list(kinds)}, min_snr={min_snr}, max_snr={max_snr}: give at least one kind, and "
                "min_snr below max_snr"
            )
        self.sample_rate, self.kinds, self.min_snr, self.max_snr = sample_rate, tuple(kinds), min_snr, max_snr

    def forward(self, clean: Tensor, valid: Tensor | None = None) -> Tensor:
        """Degrade ``clean`` (batch, time) where it is ``valid``; elsewhere it is silent."""
        snr = self.min_snr + (self.max_snr - self.min_snr) * torch.rand(len(clean), 1, device=clean.device)
        kind_indices = torch.randint(len(self.kinds), (len(clean),), device=clean.device)
        noisy = clean.clone()
        for index, kind in enumerate(self.kinds):
            rows = (kind_indices == index).nonzero()[:, 0]
            if not len(rows):
                continue
            if kind == "babble":  # uses the whole batch
                noisy[rows] = self.degrade(clean, kind, snr, valid)[rows]
            else:
                noisy[rows] = self.degrade(clean[rows], kind, snr[rows], None if valid is None else valid[rows])
        return noisy

    def degrade(self, clean: Tensor, kind: Kind, snr: Tensor | float, valid: Tensor | None = None) -> Tensor:
        """Degrade ``clean`` by one kind at ``snr`` (batch, 1) dB; for clipping it is at least 3 dB."""
        snr = torch.as_tensor(snr, device=clean.device).expand(len(clean), 1)
        if kind == "clipping":
            return clip_at_snr(clean, snr)
        mask = torch.ones_like(clean) if valid is None else valid.to(clean)
        if kind == "babble":
            noise = babble_noise(clean, mask)
        else:
            noise = {"white": white_noise, "colored": colored_noise, "hum": mains_hum}[kind](clean, self.sample_rate)
        noise = noise * mask
        power = noise.square().sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
        noise_level = loudness(clean, self.sample_rate // 50) * 10 ** (-snr / 20)
        return clean + noise * (noise_level / power.sqrt().clamp(min=MIN_LEVEL))


def loudness(x: Tensor, frame_length: int) -> Tensor:
    """Return the RMS level (batch, 1) of the active part of (batch, time): frames within 30 dB of the loudest."""
    powers = F.avg_pool1d(F.pad(x.square(), (0, -x.shape[1] % frame_length))[:, None], frame_length)[:, 0]
    active = powers >= powers.amax(1, keepdim=True) / 1000
    return ((powers * active).sum(1, keepdim=True) / active.sum(1, keepdim=True)).sqrt()


def white_noise(like: Tensor, sample_rate: int) -> Tensor:
    """Return noise with equal power at all frequencies."""
    return torch.randn_like(like)


def colored_noise(like: Tensor, sample_rate: int) -> Tensor:
    """Return noise whose power falls as frequency to the power of -0.5 to -2, from 20 Hz on."""
    batch, time = like.shape
    frequencies = torch.fft.rfftfreq(time, 1 / sample_rate, device=like.device).clamp(min=20)
    exponent = 0.5 + 1.5 * torch.rand(batch, 1, device=like.device)
    return torch.fft.irfft(torch.fft.rfft(torch.randn_like(like)) * frequencies ** (-exponent / 2), time)


def mains_hum(like: Tensor, sample_rate: int, num_waves: int = 16) -> Tensor:
    """Return hum of 50 or 60 Hz, detuned by up to 1 %, with harmonics of random amplitude and phase."""
    batch, time = like.shape
    base, detune = (torch.rand(batch, 1, device=like.device) for _ in range(2))
    frequency = torch.where(base < 0.5, 50.0, 60.0) * (0.99 + 0.02 * detune)
    cycles = frequency * torch.arange(time, device=like.device) / sample_rate
    scale, phase = torch.rand(2, num_waves, batch, 1, device=like.device)
    waves = [
        scale[k] / (k + 1) ** 0.5 * torch.sin(2 * math.pi * ((k + 1) * cycles + phase[k])) for k in range(num_waves)
    ]
    return torch.stack(waves).sum(0)


def babble_noise(clean: Tensor, mask: Tensor) -> Tensor:
    """Mix the other sounds of the batch, each ``BABBLE_VOICES`` times from a random start.

    The only sound of a batch is mixed with itself, reversed.
    """
    batch, time = clean.shape
    lengths = mask.sum(1, keepdim=True).long().clamp(min=1)
    starts = (torch.rand(BABBLE_VOICES, batch, 1, device=clean.device) * lengths).long()
    positions = (torch.arange(time, device=clean.device) + starts) % lengths
    voices = clean.expand(BABBLE_VOICES, batch, time).gather(2, positions)
    if batch == 1:
        return voices.sum(0).flip(1)
    voices = voices / voices.square().mean(2, keepdim=True).sqrt().clamp(min=MIN_LEVEL)
    weights = 0.2 + 0.8 * torch.rand(BABBLE_VOICES, batch, batch, device=clean.device)
    return (weights * (1 - torch.eye(batch, device=clean.device)) @ voices).sum(0)


def clip_at_snr(clean: Tensor, snr: Tensor) -> Tensor:
    """Clip ``clean`` at the threshold where the removed part is ``snr`` dB, at least 3, below the signal."""
    power, max_error = clean.square().sum(1, keepdim=True), 10 ** (-snr.clamp(min=3) / 10)
    low, high = torch.zeros_like(power), clean.abs().amax(1, keepdim=True)
    for _ in range(20):  # bisection
        middle = (low + high) / 2
        error = (clean.abs() - middle).clamp(min=0).square().sum(1, keepdim=True)
        low, high = (
            torch.where(error > max_error * power, middle, low),
            torch.where(error > max_error * power, high, middle),
        )
    return clean.clamp(-high, high)
