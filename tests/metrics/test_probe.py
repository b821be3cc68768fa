from collections.abc import Iterator

import torch
from torch import Tensor, nn

from genai.core.cache import cache_dir
from genai.metrics.probe import cached_probe, train_probe

CPU = torch.device("cpu")


def train(seed: int = 0, steps: int = 60) -> nn.Linear:
    """A probe of the sign of the first of two numbers."""

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            x = torch.randn(32, 2)
            yield x, (x[:, 0] > 0).long()

    return train_probe(lambda: nn.Linear(2, 2), batches(), steps, 0.1, CPU, seed=seed)


def test_a_probe_learns_the_same_every_time() -> None:
    before = torch.random.get_rng_state()
    one, two, other = train(), train(), train(seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(one.weight, two.weight) and not torch.equal(one.weight, other.weight)
    x = torch.randn(200, 2)
    assert ((one(x).argmax(1) == 1) == (x[:, 0] > 0)).float().mean() > 0.9
    assert not one.training


def test_a_cached_probe_is_trained_once() -> None:
    trained: list[nn.Linear] = []

    def train_once() -> nn.Linear:
        trained.append(train(steps=2))
        return trained[-1]

    one, two = (cached_probe("probe_of_signs", lambda: nn.Linear(2, 2), train_once, CPU) for _ in range(2))
    assert len(trained) == 1 and (cache_dir() / "probe_of_signs.safetensors").exists()
    assert torch.equal(one.weight, two.weight) and torch.equal(one.weight, trained[0].weight)
    assert not two.training
