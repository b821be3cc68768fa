"""A small network that is trained to tell real clips from corrupted ones."""

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from genai.core.progress import ProgressBar
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


def train_clip_classifier(clips: Tensor, path: Path) -> None:
    """Train a classifier and save its weights to ``path``. On a CPU they are the same every time.

    Args:
        clips: (clips, time, channels, height, width) in 0..1.
    """
    from safetensors.torch import save_file

    with torch.random.fork_rng([clips.device] if clips.device.type == "cuda" else []), torch.enable_grad():
        torch.manual_seed(0)
        network = ClipClassifier(clips.shape[2]).to(clips.device)
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, STEPS)
        with ProgressBar("training classifier", STEPS) as bar:
            for _ in range(STEPS):
                rows = torch.randint(len(clips), (BATCH_SIZE,)).to(clips.device)
                corrupted, labels = corrupt_clips(clips[rows])
                optimizer.zero_grad()
                cross_entropy(network(corrupted), labels).backward()
                optimizer.step()
                scheduler.step()
                bar.step()
    save_file({name: value.cpu() for name, value in network.state_dict().items()}, path)


def corrupt_clips(clips: Tensor) -> tuple[Tensor, Tensor]:
    """Apply each corruption to an equal part of ``clips``; return the clips and their labels (0: not corrupted)."""
    num_classes = 1 + len(CORRUPTIONS)
    parts = list(clips.tensor_split(num_classes))
    for label, corruption in enumerate(CORRUPTIONS, 1):
        parts[label] = corruption(parts[label])
    sizes = torch.tensor([len(part) for part in parts], device=clips.device)
    return torch.cat(parts), torch.arange(num_classes, device=clips.device).repeat_interleave(sizes)


def load_clip_classifier(path: Path, channels: int, device: torch.device) -> ClipClassifier:
    """Load the weights that ``train_clip_classifier`` saved, for evaluation."""
    from safetensors.torch import load_file

    network = ClipClassifier(channels)
    network.load_state_dict(load_file(path))
    return network.to(device).eval()
