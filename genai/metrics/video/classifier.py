"""A small network that learns from real clips, and from the same with damage, to tell what is wrong with a clip."""

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from genai.core.progress import ProgressBar
from genai.metrics.video.corruptions import DAMAGES

VERSION = 1
"""Of what is kept in the cache; to be raised with every change of what is learnt and how."""
FEATURES = 32
"""So few that the covariance of some hundred clips is known."""
STEPS, BATCH, RATE = 300, 36, 4e-3


class FilmJudge(nn.Module):
    """(clips, time, channels, height, width) in 0..1 -> the logits of being whole and of each damage."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (2 * channels, 16, 32, 64, 96)
        strides: tuple[int | tuple[int, int, int], ...] = ((1, 2, 2), 2, 2, 2)
        layers = [
            nn.Sequential(nn.Conv3d(a, b, 3, stride, 1, bias=False), nn.BatchNorm3d(b), nn.ReLU())
            for (a, b), stride in zip(pairwise(widths), strides, strict=True)
        ]
        self.body = nn.Sequential(*layers)
        self.out = nn.Sequential(nn.Linear(2 * widths[-1], FEATURES), nn.BatchNorm1d(FEATURES))
        self.head = nn.Linear(FEATURES, 1 + len(DAMAGES))

    def features(self, clips: Tensor) -> Tensor:
        """(clips, FEATURES), each of about unit variance."""
        steps = torch.cat([torch.zeros_like(clips[:, :1]), clips[:, 1:] - clips[:, :-1]], 1)
        seen = self.body(torch.cat([2 * clips - 1, 4 * steps], 2).transpose(1, 2))
        return self.out(torch.cat([seen.mean((2, 3, 4)), seen.amax((2, 3, 4))], 1))

    def forward(self, clips: Tensor) -> Tensor:
        return self.head(self.features(clips).relu())


def learn(clips: Tensor, path: Path) -> None:
    """Train a judge, and keep its weights in ``path``. On a CPU they are the same every time.

    Args:
        clips: (clips, time, channels, height, width) in 0..1.
    """
    from safetensors.torch import save_file

    with torch.random.fork_rng([clips.device] if clips.device.type == "cuda" else []), torch.enable_grad():
        torch.manual_seed(0)
        net = FilmJudge(clips.shape[2]).to(clips.device)
        optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
        with ProgressBar("learning to judge", STEPS) as bar:
            for _ in range(STEPS):
                damaged, labels = spoilt(clips[torch.randint(len(clips), (BATCH,)).to(clips.device)])
                optimizer.zero_grad()
                cross_entropy(net(damaged), labels).backward()
                optimizer.step()
                schedule.step()
                bar.step()
    save_file({name: value.cpu() for name, value in net.state_dict().items()}, path)


def spoilt(clips: Tensor) -> tuple[Tensor, Tensor]:
    """Equal shares of ``clips`` with each damage and without, and the number of it: 0 is none."""
    kinds = 1 + len(DAMAGES)
    parts = list(clips.tensor_split(kinds))
    for number, damage in enumerate(DAMAGES, 1):
        parts[number] = damage(parts[number])
    sizes = torch.tensor([len(part) for part in parts], device=clips.device)
    return torch.cat(parts), torch.arange(kinds, device=clips.device).repeat_interleave(sizes)


def judge(path: Path, channels: int, device: torch.device) -> FilmJudge:
    """With the weights that ``learn`` kept, ready to judge."""
    from safetensors.torch import load_file

    net = FilmJudge(channels)
    net.load_state_dict(load_file(path))
    return net.to(device).eval()
