"""What recordings suffer from: noises of several kinds at a known level, and clipping."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

Kind = Literal["white", "coloured", "hum", "babble", "clipping"]
Decibels = Annotated[float, Ge(-60), Le(120)]

FAINT = 1e-6
"""The level below which nothing is there to be heard, or to be amplified."""
VOICES = 3
"""That each sound lends to a crowd."""


class Damage(nn.Module):
    """Spoils each sound of a batch in a way of its own, drawn from torch's global generator.

    Args:
        rate: samples a second.
        kinds: ``white``, ``coloured`` (power falling by 1.5 to 6 dB an octave: pink is 3, brown 6), ``hum`` (of mains
            of 50 or 60 Hz, with harmonics), ``babble`` (other sounds of the batch, all at once), ``clipping``.
        worst, best: range of the signal-to-noise ratio in dB, uniform, of the part in which the sound is active.
    """

    def __init__(
        self,
        rate: Annotated[int, Ge(1000), Le(192_000)],
        kinds: Sequence[Kind] = ("white", "coloured", "hum", "babble", "clipping"),
        worst: Decibels = -5.0,
        best: Decibels = 15.0,
    ) -> None:
        super().__init__()
        if not kinds or worst > best:
            raise ValueError(f"kinds={list(kinds)}, worst={worst}, best={best}: one kind at least, worst below best")
        self.rate, self.kinds, self.worst, self.best = rate, tuple(kinds), worst, best

    def forward(self, clean: Tensor, valid: Tensor | None = None) -> Tensor:
        """(batch, time), silent where it is not ``valid`` -> the same, spoilt where it is."""
        ratio = self.worst + (self.best - self.worst) * torch.rand(len(clean), 1, device=clean.device)
        drawn = torch.randint(len(self.kinds), (len(clean),), device=clean.device)
        spoilt = clean.clone()
        for number, kind in enumerate(self.kinds):
            rows = (drawn == number).nonzero()[:, 0]
            if not len(rows):
                continue
            if kind == "babble":  # of all the others
                spoilt[rows] = self.damaged(clean, kind, ratio, valid)[rows]
            else:
                spoilt[rows] = self.damaged(clean[rows], kind, ratio[rows], None if valid is None else valid[rows])
        return spoilt

    def damaged(self, clean: Tensor, kind: Kind, ratio: Tensor | float, valid: Tensor | None = None) -> Tensor:
        """``clean`` with damage of one kind at ``ratio`` (batch, 1) dB; clipping keeps 3 dB at least."""
        ratio = torch.as_tensor(ratio, device=clean.device).expand(len(clean), 1)
        if kind == "clipping":
            return clipped(clean, ratio)
        inside = torch.ones_like(clean) if valid is None else valid.to(clean)
        if kind == "babble":
            noise = babble(clean, inside)
        else:
            noise = {"white": white, "coloured": coloured, "hum": hum}[kind](clean, self.rate)
        noise = noise * inside
        power = noise.square().sum(1, keepdim=True) / inside.sum(1, keepdim=True).clamp(min=1)
        wanted = loudness(clean, self.rate // 50) * 10 ** (-ratio / 20)
        return clean + noise * (wanted / power.sqrt().clamp(min=FAINT))


def loudness(x: Tensor, frame: int) -> Tensor:
    """(batch, 1), root mean square of (batch, time) where it is active: in frames within 30 dB of the loudest one."""
    powers = F.avg_pool1d(F.pad(x.square(), (0, -x.shape[1] % frame))[:, None], frame)[:, 0]
    active = powers >= powers.amax(1, keepdim=True) / 1000
    return ((powers * active).sum(1, keepdim=True) / active.sum(1, keepdim=True)).sqrt()


def white(like: Tensor, rate: int) -> Tensor:
    """Equal power at all frequencies."""
    return torch.randn_like(like)


def coloured(like: Tensor, rate: int) -> Tensor:
    """Power that falls as frequency to a power between -0.5 and -2, from 20 Hz on."""
    batch, time = like.shape
    frequencies = torch.fft.rfftfreq(time, 1 / rate, device=like.device).clamp(min=20)
    tilt = 0.5 + 1.5 * torch.rand(batch, 1, device=like.device)
    return torch.fft.irfft(torch.fft.rfft(torch.randn_like(like)) * frequencies ** (-tilt / 2), time)


def hum(like: Tensor, rate: int, harmonics: int = 16) -> Tensor:
    """Mains of 50 or 60 Hz, 1 % more or less, and harmonics of random loudness and phase."""
    batch, time = like.shape
    base, detune = (torch.rand(batch, 1, device=like.device) for _ in range(2))
    mains = torch.where(base < 0.5, 50.0, 60.0) * (0.99 + 0.02 * detune)
    turns = mains * torch.arange(time, device=like.device) / rate
    loud, phase = torch.rand(2, harmonics, batch, 1, device=like.device)
    waves = [loud[k] / (k + 1) ** 0.5 * torch.sin(2 * math.pi * ((k + 1) * turns + phase[k])) for k in range(harmonics)]
    return torch.stack(waves).sum(0)


def babble(clean: Tensor, inside: Tensor) -> Tensor:
    """A crowd of the other sounds of the batch, each ``VOICES`` times, from anywhere in it on; one alone, backwards."""
    batch, time = clean.shape
    lengths = inside.sum(1, keepdim=True).long().clamp(min=1)
    begins = (torch.rand(VOICES, batch, 1, device=clean.device) * lengths).long()
    places = (torch.arange(time, device=clean.device) + begins) % lengths
    crowd = clean.expand(VOICES, batch, time).gather(2, places)
    if batch == 1:
        return crowd.sum(0).flip(1)
    crowd = crowd / crowd.square().mean(2, keepdim=True).sqrt().clamp(min=FAINT)
    shares = 0.2 + 0.8 * torch.rand(VOICES, batch, batch, device=clean.device)
    return (shares * (1 - torch.eye(batch, device=clean.device)) @ crowd).sum(0)


def clipped(clean: Tensor, ratio: Tensor) -> Tensor:
    """``clean`` cut off at that height at which what is lost is ``ratio`` dB, 3 at least, below the whole."""
    power, allowed = clean.square().sum(1, keepdim=True), 10 ** (-ratio.clamp(min=3) / 10)
    low, high = torch.zeros_like(power), clean.abs().amax(1, keepdim=True)
    for _ in range(20):
        height = (low + high) / 2
        lost = (clean.abs() - height).clamp(min=0).square().sum(1, keepdim=True)
        low, high = torch.where(lost > allowed * power, height, low), torch.where(lost > allowed * power, high, height)
    return clean.clamp(-high, high)
