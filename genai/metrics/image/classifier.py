"""A small network that learns to classify pictures."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from genai.core.batch import batch_ranges
from genai.metrics.probe import train_probe

NUM_FEATURES = 128
MAX_SIDE_PIXELS = 32
"""Larger pictures are downscaled to this side."""
BATCH_SIZE, LEARNING_RATE = 64, 3e-3
MAX_SHIFT_PIXELS = 2
"""Augmentation: maximum shift of a picture."""
EVAL_BATCH_SIZE = 512


class ImageClassifier(nn.Module):
    """Maps pixels (pictures, channels, height, width) uint8 to the logits of classes."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (a, b) in enumerate(pairwise((channels, 32, 64, 64, 128))):
            stride = 1 if number == 2 else 2
            layers += [nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Dropout(0.2))
        self.out = nn.Sequential(nn.Linear(9 * 128, NUM_FEATURES), nn.BatchNorm1d(NUM_FEATURES))
        self.head = nn.Linear(NUM_FEATURES, num_classes)

    def features(self, pixels: Tensor) -> Tensor:
        """Return (pictures, NUM_FEATURES), each of about unit variance on the training pictures."""
        x = pixels.float() / 127.5 - 1
        if (side := max(x.shape[-2:])) > MAX_SIDE_PIXELS:
            x = interpolate(x, scale_factor=MAX_SIDE_PIXELS / side, mode="area")
        return self.out(self.body(x))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.features(pixels).relu())


def train_image_classifier(
    pixels: Tensor, labels: Tensor, num_classes: int, steps: int, seed: int = 0
) -> ImageClassifier:
    """Train a classifier of pictures.

    Args:
        pixels: (pictures, channels, height, width) uint8.
        labels: (pictures,) int64, below ``num_classes``.
        num_classes: number of classes.
        steps: training steps, each with ``BATCH_SIZE`` pictures in shuffled order.
        seed: of the weights and of the order.
    """

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.cat([torch.randperm(len(pixels)) for _ in range(-(-steps * BATCH_SIZE // len(pixels)))])
        for batch in order[: steps * BATCH_SIZE].view(steps, BATCH_SIZE):
            rows = batch.to(pixels.device)
            yield random_shift(pixels[rows]), labels[rows]

    def build() -> ImageClassifier:
        return ImageClassifier(pixels.shape[1], num_classes)

    return train_probe(build, batches(), steps, LEARNING_RATE, pixels.device, seed=seed)


def random_shift(pixels: Tensor) -> Tensor:
    """Shift all pictures by the same random offset, so that the position in the frame does not affect the class."""
    down, right = torch.randint(2 * MAX_SHIFT_PIXELS + 1, (2,)).tolist()
    height, width = pixels.shape[-2:]
    padded = pad(pixels, (MAX_SHIFT_PIXELS,) * 4, mode="replicate")
    return padded[..., down : down + height, right : right + width]


@torch.no_grad()
def picture_features(network: ImageClassifier, pixels: Tensor) -> Tensor:
    """Compute features (pictures, NUM_FEATURES) in batches."""
    batches = batch_ranges(len(pixels), EVAL_BATCH_SIZE)
    return torch.cat([network.features(pixels[rows.start : rows.stop]) for rows in batches])


@torch.no_grad()
def correct_predictions(network: ImageClassifier, pixels: Tensor, labels: Tensor) -> Tensor:
    """Return (pictures,) bool: which pictures are classified correctly."""
    batches = batch_ranges(len(pixels), EVAL_BATCH_SIZE)
    logits = torch.cat([network(pixels[rows.start : rows.stop]) for rows in batches])
    return logits.argmax(1) == labels


def class_indices(prompts: Sequence[str], names: Sequence[str]) -> Tensor:
    """Return (prompts,) int64: the index in ``names`` of each prompt."""
    indices = {name: index for index, name in enumerate(names)}
    return torch.tensor([indices[prompt] for prompt in prompts])
