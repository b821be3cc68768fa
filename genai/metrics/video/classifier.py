"""A small network that is trained to tell real clips from corrupted ones."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from genai.metrics.probe import train_probe
from genai.metrics.video.corruptions import CORRUPTIONS

CACHE_VERSION = 1
"""Version of the cached weights; increase it with every change of the network or its training."""
NUM_FEATURES = 32
"""Small enough to estimate their covariance from a few hundred clips."""
STEPS, BATCH_SIZE, LEARNING_RATE = 300, 36, 4e-3


class ClipClassifier(nn.Module):
    """Maps (clips, time, channels, height, width) in 0..1 to the logits of: no corruption, each of ``CORRUPTIONS``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (2 * channels, 16, 32, 64, 96)
        strides: tuple[int | tuple[int, int, int], ...] = ((1, 2, 2), 2, 2, 2)
        layers = [
            nn.Sequential(nn.Conv3d(a, b, 3, stride, 1, bias=False), nn.BatchNorm3d(b), nn.ReLU())
            for (a, b), stride in zip(pairwise(widths), strides, strict=True)
        ]
        self.body = nn.Sequential(*layers)
        self.out = nn.Sequential(nn.Linear(2 * widths[-1], NUM_FEATURES), nn.BatchNorm1d(NUM_FEATURES))
        self.head = nn.Linear(NUM_FEATURES, 1 + len(CORRUPTIONS))

    def features(self, clips: Tensor) -> Tensor:
        """Return (clips, NUM_FEATURES), each of about unit variance."""
        differences = torch.cat([torch.zeros_like(clips[:, :1]), clips[:, 1:] - clips[:, :-1]], 1)
        x = self.body(torch.cat([2 * clips - 1, 4 * differences], 2).transpose(1, 2))  # (B, C, T, H, W)
        return self.out(torch.cat([x.mean((2, 3, 4)), x.amax((2, 3, 4))], 1))

    def forward(self, clips: Tensor) -> Tensor:
        return self.head(self.features(clips).relu())


def train_clip_classifier(clips: Tensor) -> ClipClassifier:
    """Train a classifier of clips (clips, time, channels, height, width) in 0..1."""

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield corrupt_clips(clips[torch.randint(len(clips), (BATCH_SIZE,)).to(clips.device)])

    return train_probe(lambda: ClipClassifier(clips.shape[2]), batches(), STEPS, LEARNING_RATE, clips.device)


def corrupt_clips(clips: Tensor) -> tuple[Tensor, Tensor]:
    """Apply each corruption to an equal part of ``clips``; return the clips and their labels (0: not corrupted)."""
    num_classes = 1 + len(CORRUPTIONS)
    parts = list(clips.tensor_split(num_classes))
    for label, corruption in enumerate(CORRUPTIONS, 1):
        parts[label] = corruption(parts[label])
    sizes = torch.tensor([len(part) for part in parts], device=clips.device)
    return torch.cat(parts), torch.arange(num_classes, device=clips.device).repeat_interleave(sizes)
