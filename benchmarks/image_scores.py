"""How far images are from real ones, by the features of a small classifier of real ones; for ``image_quality.py``.

Distances depend on the classifier and on how many images there are. They are none that others report, and mean
something beside those of real images and of other models in the same table.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genai.core.cache import cache_dir, cache_key, cached_file
from genai.core.data import PackedDataset
from genai.metrics.frechet import moments
from genai.metrics.image.classifier import FEATURES, Classifier, features, hits, learn, numbered
from genai.metrics.image.nearest import LOW, nearest

COUNTS = (128, 256, 2048)
"""Numbers of images at which models are compared."""
NEIGHBOUR = 3
"""The k of precision and recall."""
STEPS = 2000
"""Of the classifier's training."""


class Judge:
    """A classifier of the training images, and the features of held-out ones.

    Attributes:
        accuracy: the share of held-out images that it tells right.
    """

    def __init__(
        self, learnt: Tensor, named: Sequence[str], held: Tensor, shown: Sequence[str], packed: PackedDataset
    ) -> None:
        self.learnt, self.held, self.packed = learnt, held, packed
        self.classes = sorted(set(named))
        self.net = self._trained(learnt, named)
        self.accuracy = self.told_right(held, shown)
        self.real = features(self.net, held)

    def _trained(self, pixels: Tensor, prompts: Sequence[str]) -> Classifier:
        """Kept in the cache, so that all models meet the same one."""
        from safetensors.torch import load_file, save_file

        def write(path: Path) -> None:
            net = learn(pixels, numbered(prompts, self.classes), len(self.classes), STEPS)
            save_file(net.state_dict(), path)

        key = cache_key("image_quality", len(pixels), int(pixels.sum()), STEPS)
        net = Classifier(pixels.shape[1], len(self.classes))
        net.load_state_dict(load_file(cached_file(cache_dir() / f"{key}.safetensors", write)))
        return net.eval()

    def told_right(self, pixels: Tensor, prompts: Sequence[str]) -> float:
        """The share of images that it takes for what their prompts say."""
        return hits(self.net, pixels, numbered(prompts, self.classes)).float().mean().item()

    def scores(self, pixels: Tensor) -> dict[str, float]:
        """Frechet distance and KID to all held-out images; precision and recall against as many of them."""
        made, some = features(self.net, pixels), self.real[: len(pixels)]
        precision, recall = support(made, some)
        return {
            "frechet": frechet(made, self.real),
            "kid": kid(made, self.real),
            "precision": precision,
            "recall": recall,
        }

    def floor(self, draws: int = 3) -> dict[str, Any]:
        """The scores of real images: of training images, means of some draws of them."""
        found: dict[str, Any] = {"accuracy_of_judge": self.accuracy, "at": {}}
        for n in COUNTS:
            rows = [torch.randperm(len(self.learnt))[:n] for _ in range(draws)]
            each = [self.scores(self.learnt[some]) for some in rows]
            found["at"][str(n)] = {name: mean(one[name] for one in each) for name in each[0]}
        return found | self.nearest(self.held)

    def nearest(self, pixels: Tensor, count: int = 256) -> dict[str, float]:
        """Root-mean-square distance to the nearest training image, of the first: mean, and 5 % quantile."""
        distances = nearest(pixels[:count], self.packed, pixels.device)
        return {"nearest": float(distances.mean()), "nearest_low": float(np.quantile(distances, LOW))}


def frechet(made: Tensor, real: Tensor) -> float:
    """Heusel et al. 2017, arXiv:1706.08500, equation 6."""
    from torchaudio.functional import frechet_distance

    return float(frechet_distance(*moments(made), *moments(real)))


def kid(made: Tensor, real: Tensor) -> float:
    """Unbiased squared MMD with the kernel (x y / d + 1)^3 (Binkowski et al. 2018, arXiv:1801.01401, equation 4)."""

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / FEATURES + 1) ** 3

    def within(a: Tensor) -> Tensor:
        square = kernel(a, a)
        return (square.sum() - square.diagonal().sum()) / (len(a) * (len(a) - 1))

    made, real = made.double(), real[:4096].double()
    return float(within(made) + within(real) - 2 * kernel(made, real).mean())


def support(made: Tensor, real: Tensor) -> tuple[float, float]:
    """Precision and recall (Kynkaanniemi et al. 2019, arXiv:1904.06991): which share of the images made lies among the
    real ones, nearer to one than its third neighbour is, and the other way round."""

    def covered(points: Tensor, among: Tensor) -> float:
        radius = torch.cdist(among, among).kthvalue(NEIGHBOUR + 1, 1).values  # the first neighbour is itself
        return (torch.cdist(points, among) <= radius).any(1).float().mean().item()

    return covered(made, real), covered(real, made)
