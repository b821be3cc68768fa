"""A small network that learns from real clips to hear what their prompts say."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from genai.core.progress import ProgressBar
from genai.metrics.audio.mel import BANDS, decibels

VERSION = 1
"""Of what is kept in the cache; to be raised with every change of what is learnt and how."""
FEATURES = 32
"""So few that the covariance of some hundred clips is known."""
STEPS, BATCH, RATE = 500, 64, 4e-3
SHIFT = 8
"""Frames, of 10 ms, that a clip is moved by at most while learning."""
QUIETEST, LOUDEST = -50.0, -10.0
"""Decibels of the noise that is added while learning, in each band, against the loudest spot."""


class Listener(nn.Module):
    """(clips, bands, frames) of power -> the logits of each attribute, by way of ``features``."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        widths = (1, 24, 48, 96)
        layers = [
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in pairwise(widths)
        ]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d((BANDS // 8, 8)), nn.Flatten(), nn.Dropout(0.2))
        self.out = nn.Sequential(nn.Linear(widths[-1] * BANDS, FEATURES), nn.BatchNorm1d(FEATURES))
        self.heads = nn.ModuleList(nn.Linear(FEATURES, size) for size in sizes)

    def features(self, power: Tensor) -> Tensor:
        """(clips, FEATURES), each of about unit variance."""
        return self.out(self.body(decibels(power)[:, None] / 20 - 1))

    def forward(self, power: Tensor) -> list[Tensor]:
        features = self.features(power).relu()
        return [head(features) for head in self.heads]


def learn(power: Tensor, labels: Tensor, sizes: Sequence[int], path: Path) -> None:
    """Train a listener, and keep its weights in ``path``. On a CPU they are the same every time.

    Args:
        power: (clips, bands, frames).
        labels: (clips, attributes) int64; what torch's cross entropy ignores is not learnt.
    """
    from safetensors.torch import save_file

    with torch.random.fork_rng([power.device] if power.device.type == "cuda" else []), torch.enable_grad():
        torch.manual_seed(0)
        net = Listener(sizes).to(power.device)
        optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
        with ProgressBar("learning to judge", STEPS) as bar:
            for _ in range(STEPS):
                rows = torch.randint(len(power), (BATCH,)).to(power.device)
                heard = net(varied(power[rows]))
                losses = [cross_entropy(logits, labels[rows, i], reduction="sum") for i, logits in enumerate(heard)]
                optimizer.zero_grad()
                (torch.stack(losses).sum() / BATCH).backward()
                optimizer.step()
                schedule.step()
                bar.step()
    save_file({name: value.cpu() for name, value in net.state_dict().items()}, path)


def varied(power: Tensor) -> Tensor:
    """Each clip earlier or later, with noise of any colour at any level: neither is to be judged."""
    clips, bands, frames = power.shape
    start = torch.randint(2 * SHIFT + 1, (clips, 1, 1)).to(power.device)
    columns = (start + torch.arange(frames, device=power.device)).expand(clips, bands, frames)
    moved = pad(power, (SHIFT, SHIFT)).gather(2, columns)
    level = QUIETEST + (LOUDEST - QUIETEST) * torch.rand(clips, 1, 1)
    tilt = torch.randn(clips, 1, 1) * 10 * torch.linspace(-1, 1, bands)[:, None]
    noise = 10 ** ((level + tilt) / 10) * torch.empty(clips, bands, frames).exponential_()
    return moved + noise.to(power.device) * power.amax((1, 2), keepdim=True)


def listener(path: Path, sizes: Sequence[int], device: torch.device) -> Listener:
    """With the weights that ``learn`` kept, ready to judge."""
    from safetensors.torch import load_file

    net = Listener(sizes)
    net.load_state_dict(load_file(path))
    return net.to(device).eval()
