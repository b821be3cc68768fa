"""A small network that learns to tell classes of pictures apart."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, pad

from genai.core.batch import batch_ranges
from genai.core.progress import ProgressBar

FEATURES = 128
LARGEST = 32
"""Pixels of a side that it sees; larger pictures are shrunk."""
BATCH, RATE = 64, 3e-3
SHIFT = 2
"""Pixels that a picture is moved by at most while learning."""
AT_ONCE = 512


class Classifier(nn.Module):
    """(pictures, channels, height, width) uint8 -> the logits of classes, by way of ``features``."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (a, b) in enumerate(pairwise((channels, 32, 64, 64, 128))):
            stride = 1 if number == 2 else 2
            layers += [nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Dropout(0.2))
        self.out = nn.Sequential(nn.Linear(9 * 128, FEATURES), nn.BatchNorm1d(FEATURES))
        self.head = nn.Linear(FEATURES, classes)

    def features(self, pixels: Tensor) -> Tensor:
        """(pictures, FEATURES), each of about unit variance among pictures that it has learnt from."""
        x = pixels.float() / 127.5 - 1
        if (longest := max(x.shape[-2:])) > LARGEST:
            x = interpolate(x, scale_factor=LARGEST / longest, mode="area")
        return self.out(self.body(x))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.features(pixels).relu())


def learn(pixels: Tensor, labels: Tensor, classes: int, steps: int, seed: int = 0) -> Classifier:
    """A classifier that has learnt from pictures. On a CPU it is the same every time.

    Args:
        pixels: (pictures, channels, height, width) uint8.
        labels: (pictures,) int64, below ``classes``.
        steps: of ``BATCH`` pictures, drawn in turn, each moved a little.
        seed: of the weights, and of what is drawn.
    """
    with torch.random.fork_rng([pixels.device] if pixels.device.type == "cuda" else []), torch.enable_grad():
        torch.manual_seed(seed)
        net = Classifier(pixels.shape[1], classes).to(pixels.device)
        optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
        order = torch.cat([torch.randperm(len(pixels)) for _ in range(-(-steps * BATCH // len(pixels)))])
        with ProgressBar("learning to tell apart", steps) as bar:
            for rows in order[: steps * BATCH].view(steps, BATCH):
                some = rows.to(pixels.device)
                loss = cross_entropy(net(moved(pixels[some])), labels[some])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.step()
    return net.eval()


def moved(pixels: Tensor) -> Tensor:
    """All a little up, down, left or right, by the same: where something is in the frame does not name it."""
    down, right = torch.randint(2 * SHIFT + 1, (2,)).tolist()
    height, width = pixels.shape[-2:]
    wider = pad(pixels, (SHIFT,) * 4, mode="replicate")
    return wider[..., down : down + height, right : right + width]


@torch.no_grad()
def features(net: Classifier, pixels: Tensor) -> Tensor:
    """(pictures, FEATURES)"""
    return torch.cat([net.features(pixels[rows.start : rows.stop]) for rows in batch_ranges(len(pixels), AT_ONCE)])


@torch.no_grad()
def hits(net: Classifier, pixels: Tensor, labels: Tensor) -> Tensor:
    """(pictures,) bool: which are told right."""
    logits = torch.cat([net(pixels[rows.start : rows.stop]) for rows in batch_ranges(len(pixels), AT_ONCE)])
    return logits.argmax(1) == labels


def numbered(prompts: Sequence[str], classes: Sequence[str]) -> Tensor:
    """(prompts,) int64: which of the classes each is."""
    numbers = {name: number for number, name in enumerate(classes)}
    return torch.tensor([numbers[prompt] for prompt in prompts])
