"""A small network that is trained on real clips to recognize the attributes of their prompts."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from genai.core.progress import ProgressBar
from genai.metrics.audio.mel import NUM_MELS, power_to_db

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


def train_audio_classifier(power: Tensor, labels: Tensor, sizes: Sequence[int], path: Path) -> None:
    """Train a classifier and save its weights to ``path``. On a CPU they are the same every time.

    Args:
        power: (clips, bands, frames).
        labels: (clips, attributes) int64; labels that cross entropy ignores are not learned.
        sizes: number of values of each attribute.
    """
    from safetensors.torch import save_file

    with torch.random.fork_rng([power.device] if power.device.type == "cuda" else []), torch.enable_grad():
        torch.manual_seed(0)
        network = AudioClassifier(sizes).to(power.device)
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, STEPS)
        with ProgressBar("training classifier", STEPS) as bar:
            for _ in range(STEPS):
                rows = torch.randint(len(power), (BATCH_SIZE,)).to(power.device)
                outputs = network(augment(power[rows]))
                losses = [cross_entropy(logits, labels[rows, i], reduction="sum") for i, logits in enumerate(outputs)]
                optimizer.zero_grad()
                (torch.stack(losses).sum() / BATCH_SIZE).backward()
                optimizer.step()
                scheduler.step()
                bar.step()
    save_file({name: value.cpu() for name, value in network.state_dict().items()}, path)


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


def load_audio_classifier(path: Path, sizes: Sequence[int], device: torch.device) -> AudioClassifier:
    """Load the weights that ``train_audio_classifier`` saved, for evaluation."""
    from safetensors.torch import load_file

    network = AudioClassifier(sizes)
    network.load_state_dict(load_file(path))
    return network.to(device).eval()
