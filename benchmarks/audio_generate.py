"""Samples per second that WaveNet generates on one core, compared with the limit of the core.

    python benchmarks/audio_generate.py [--batches 1,16] [--repeats 9] [--json OUT]

The small model: 20 layers (twice 1..512), 32 residual, 64 gate and 64 skip channels, 256 classes; random weights, which
do not change the speed. CPU seconds of one thread, median of repeats; the implementations take turns within a repeat,
so that a busy machine slows all of them. The limit is one pass over the same packed weights with the same matrix
product, without caches, gates and sampling. Two references: "naive" runs the network over its whole receptive field for
each sample; "incremental", in the style of r9y9/wavenet_vocoder, calls small modules with queues of their inputs. Start
is the wall time until the first sample in a new process, without and with compiled code on disk.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from common import save
from numba import njit
from torch import Tensor, nn
from torch.nn import functional as F

from genai.methods.categorical import AutoregressiveOptions, sample_categorical
from genai.networks.wavenet.matmul import VECTOR_FLOATS, accumulate, tile_shape
from genai.networks.wavenet.model import WaveNet
from genai.networks.wavenet.native import pack_weights

RATE, LOCAL = 16_000, 5
SMALL = f"WaveNet(num_classes=256, hop_length=160, local={LOCAL}, layers=20, cycle=10)"
START = f"""
import time, torch
from genai.networks.wavenet.model import WaveNet
network = {SMALL}.requires_grad_(False)
state = network.prefill(torch.zeros(1, 1), local=torch.zeros(1, 9, {LOCAL}))
start = time.perf_counter()
network.engine(*state).sample(torch.rand(1, 1))
print(time.perf_counter() - start)
"""
Steps = Callable[[int], None]


class QueuedConv(nn.Module):
    """Dilated convolution that processes one step (batch, 1, channels) at a time."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, dilation: int = 1) -> None:
        super().__init__()
        conv = nn.Conv1d(inputs, outputs, kernel, dilation=dilation)
        self.weight, self.bias = conv.weight.transpose(1, 2).reshape(outputs, -1), conv.bias
        self.kernel, self.dilation, self.inputs = kernel, dilation, inputs
        self.queue: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.kernel > 1:
            if self.queue is None:
                self.queue = x.new_zeros(len(x), 1 + (self.kernel - 1) * self.dilation, self.inputs)
            else:
                self.queue[:, :-1] = self.queue[:, 1:].clone()
            self.queue[:, -1] = x[:, -1]
            x = self.queue[:, :: self.dilation]
        return F.linear(x.reshape(len(x), -1), self.weight, self.bias)[:, None]


class Block(nn.Module):
    """One layer of the incremental reference."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.taps, self.local = QueuedConv(32, 64, 2, dilation), QueuedConv(LOCAL, 64)
        self.residual, self.skip = QueuedConv(32, 32), QueuedConv(32, 64)

    def forward(self, x: Tensor, local: Tensor) -> tuple[Tensor, Tensor]:
        (a, b), (c, d) = self.taps(x).chunk(2, -1), self.local(local).chunk(2, -1)
        gated = torch.tanh(a + c) * torch.sigmoid(b + d)
        return (self.residual(gated) + x) * math.sqrt(0.5), self.skip(gated)


class Incremental(nn.Module):
    """One step of the same sizes, from one-hot classes (batch, 1, 256) to classes."""

    def __init__(self, dilations: list[int]) -> None:
        super().__init__()
        self.first, self.blocks = QueuedConv(256, 32), nn.ModuleList(Block(dilation) for dilation in dilations)
        self.last = nn.Sequential(nn.ReLU(), QueuedConv(64, 64), nn.ReLU(), QueuedConv(64, 256))

    def forward(self, x: Tensor, local: Tensor) -> Tensor:
        x, total = self.first(x), torch.zeros(())
        for block in self.blocks:
            x, skip = block(x, local)
            total = total + skip
        probabilities = self.last(total * math.sqrt(1 / len(self.blocks)))[:, 0].softmax(-1)
        return torch.distributions.OneHotCategorical(probabilities).sample()[:, None]


def implementations(batch: int) -> dict[str, tuple[int, Steps]]:
    """Return names -> (samples per measurement, function that generates so many)."""
    network = eval(SMALL, {"WaveNet": WaveNet}).requires_grad_(False).eval()
    x, local = (
        torch.randint(256, (batch, network.receptive_field)),
        torch.randn(batch, network.receptive_field // network.hop_length + 100, LOCAL),
    )
    logits, cache = network.prefill(x, local=local)
    engine = network.engine(logits, cache)
    reference, options = Incremental(network.dilations), AutoregressiveOptions()

    def naive(n: int) -> None:
        for _ in range(n):
            sample_categorical(network(x, local=local)[:, -1], torch.rand(batch), options)

    def incremental(n: int) -> None:
        current = F.one_hot(x[:, :1], 256).float()
        for _ in range(n):
            current = reference(current, local[:, :1])

    def steps(n: int) -> None:
        current = logits
        for _ in range(n):
            current = network.step(sample_categorical(current, torch.rand(batch), options), cache)

    def native(n: int) -> None:
        assert engine is not None
        engine.sample(torch.rand(batch, n))

    return {
        "naive": (2, naive),
        "incremental": (60, incremental),
        "eager steps": (200, steps),
        "native": (6000, native),
        "limit": (6000, stream_weights(network, batch)),
    }


def stream_weights(network: WaveNet, batch: int) -> Steps:
    """Return a function that only multiplies and adds all packed weights, once per sample."""
    rows, vectors, inputs = tile_shape(batch)
    block, padded = vectors * VECTOR_FLOATS, batch + -batch % rows
    weights = pack_weights(network, block, padded).packed
    x, y = torch.randn(padded * (len(weights) // block)).numpy(), torch.zeros(padded * block).numpy()

    @njit
    def run(n: int, weights: Any, x: Any, y: Any) -> None:
        for _ in range(n):
            accumulate(rows, vectors, inputs, padded, weights, 0, x, y, y)

    return lambda n: run(n, weights, x, y)


def measure_rates(batch: int, repeats: int) -> dict[str, float]:
    """Measure the samples per second of the whole batch."""
    seconds: dict[str, list[float]] = {}
    functions = implementations(batch)
    for _ in range(repeats + 1):
        for name, (n, generate) in functions.items():
            start = time.process_time()
            generate(n)
            seconds.setdefault(name, []).append((time.process_time() - start) / n)
    return {name: batch / median(repeated[1:]) for name, repeated in seconds.items()}


def measure_starts() -> dict[str, float]:
    """Measure the seconds until the first sample, with an empty and with a filled cache."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        run = [sys.executable, "-c", START]
        cold, warm = (float(subprocess.check_output(run, env=environment, text=True)) for _ in range(2))
    return {"cold": cold, "warm": warm}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", default="1,16")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    with torch.inference_mode():
        for batch in (int(text) for text in args.batches.split(",")):
            found = results[f"batch {batch}"] = measure_rates(batch, args.repeats)
            print(f"batch {batch:<12} samples/s  x real time  x incremental  of the limit")
            for name, rate in found.items():
                relative = rate / RATE, rate / found["incremental"], rate / found["limit"]
                print(f"{name:<17} {rate:>10,.0f} {relative[0]:>12.3g} {relative[1]:>14.3g} {relative[2]:>13.1%}")
    results["start"] = measure_starts()
    print("start: {cold:.1f} s, then {warm:.1f} s".format(**results["start"]))
    save(args.json, results)


if __name__ == "__main__":
    main()
