"""Probes: small networks that are trained on the data at hand, to judge samples by their answers and features."""

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from genai.core.cache import cache_dir, cached_file
from genai.core.progress import ProgressBar

Network = TypeVar("Network", bound=nn.Module)


def train_probe(
    build: Callable[[], Network],
    batches: Iterable[tuple[Tensor, Tensor]],
    steps: int,
    learning_rate: float,
    device: torch.device,
    loss: Callable[..., Tensor] = cross_entropy,
    seed: int = 0,
) -> Network:
    """Train a probe for evaluation. On a CPU it is the same every time, and the random state is as before.

    Args:
        build: makes the network.
        batches: (inputs, labels) of at least ``steps`` steps; they are drawn one by one, after the network.
        steps: training steps.
        learning_rate: highest learning rate of the one-cycle schedule.
        device: device of the network and of the batches.
        loss: of the output of the network and the labels.
        seed: of the weights and the batches.
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
        torch.manual_seed(seed)
        network = build().to(device)
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, steps)
        with ProgressBar("training classifier", steps) as bar:
            for inputs, labels in islice(batches, steps):
                optimizer.zero_grad()
                loss(network(inputs), labels).backward()
                optimizer.step()
                scheduler.step()
                bar.step()
    return network.eval()


def cached_probe(key: str, build: Callable[[], Network], train: Callable[[], Network], device: torch.device) -> Network:
    """Return the probe whose weights are cached under ``key``, for evaluation; ``train`` it first if there are none."""
    from safetensors.torch import load_file, save_file

    def write(path: Path) -> None:
        save_file({name: value.cpu() for name, value in train().state_dict().items()}, path)

    weights = load_file(cached_file(cache_dir() / f"{key}.safetensors", write))
    network = build()
    network.load_state_dict(weights)
    return network.to(device).eval()
