"""A small network that is trained on real clips to recognize the attributes of their prompts."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from genai.metrics.audio.mel import NUM_MELS, power_to_db
from genai.metrics.probe import train_probe

CACHE_VERSION = 1
"""Version of the cached weights; increase it with every change of the network or its training."""
NUM_FEATURES = 32
"""Small enough to estimate their covariance from a few hundred clips."""
STEPS, BATCH_SIZE, LEARNING_RATE = 500, 64, 4e-3
MAX_SHIFT_FRAMES = 8
"""Augmentation: maximum shift in time, in frames of 10 ms."""
MIN_NOISE_DB, MAX_NOISE_DB = -50.0, -10.0
"""Augmentation: level of the added noise in each band, relative to the loudest point."""


class AudioClassifier(nn.Module):
    """Maps power (clips, bands, frames) to the logits of each attribute."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        widths = (1, 24, 48, 96)
        layers = [
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in pairwise(widths)
        ]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d((NUM_MELS // 8, 8)), nn.Flatten(), nn.Dropout(0.2))
        self.out = nn.Sequential(nn.Linear(widths[-1] * NUM_MELS, NUM_FEATURES), nn.BatchNorm1d(NUM_FEATURES))
        self.heads = nn.ModuleList(nn.Linear(NUM_FEATURES, size) for size in sizes)

    def features(self, power: Tensor) -> Tensor:
        """Return (clips, NUM_FEATURES), each of about unit variance."""
        return self.out(self.body(power_to_db(power)[:, None] / 20 - 1))

    def forward(self, power: Tensor) -> list[Tensor]:
        features = self.features(power).relu()
        return [head(features) for head in self.heads]


def train_audio_classifier(power: Tensor, labels: Tensor, sizes: Sequence[int]) -> AudioClassifier:
    """Train a classifier of sounds.

    Args:
        power: (clips, bands, frames).
        labels: (clips, attributes) int64; labels that cross entropy ignores are not learned.
        sizes: number of values of each attribute.
    """

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            rows = torch.randint(len(power), (BATCH_SIZE,)).to(power.device)
            yield augment(power[rows]), labels[rows]

    def loss(outputs: list[Tensor], labels: Tensor) -> Tensor:
        losses = [cross_entropy(logits, labels[:, i], reduction="sum") for i, logits in enumerate(outputs)]
        return torch.stack(losses).sum() / BATCH_SIZE

    return train_probe(lambda: AudioClassifier(sizes), batches(), STEPS, LEARNING_RATE, power.device, loss)


def augment(power: Tensor) -> Tensor:
    """Shift each clip in time and add noise of random level and spectral slope, so that neither affects the answer."""
    clips, bands, frames = power.shape
    start = torch.randint(2 * MAX_SHIFT_FRAMES + 1, (clips, 1, 1)).to(power.device)
    columns = (start + torch.arange(frames, device=power.device)).expand(clips, bands, frames)
    shifted = pad(power, (MAX_SHIFT_FRAMES, MAX_SHIFT_FRAMES)).gather(2, columns)
    level = MIN_NOISE_DB + (MAX_NOISE_DB - MIN_NOISE_DB) * torch.rand(clips, 1, 1)
    slope = torch.randn(clips, 1, 1) * 10 * torch.linspace(-1, 1, bands)[:, None]
    noise = 10 ** ((level + slope) / 10) * torch.empty(clips, bands, frames).exponential_()
    return shifted + noise.to(power.device) * power.amax((1, 2), keepdim=True)
