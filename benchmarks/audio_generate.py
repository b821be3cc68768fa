"""How many samples a second does WaveNet generate on one core, and how near is that to what the core allows?

    python benchmarks/audio_generate.py [--batches 1,16] [--repeats 9] [--json OUT]

The small model: 20 layers (twice 1..512), 32 residual, 64 gate and 64 skip channels, 256 classes; random weights, which
do not change its speed. CPU seconds of one thread, the median of repeats; the ways take turns within a repeat, so that
a busy machine slows all of them. The limit is a pass over the same packed weights by the same product, and nothing
else: no memory of the past, no gates, no draw. Two references: "naive" runs the network over its whole receptive field
again for each sample; "incremental", in the manner of r9y9/wavenet_vocoder, calls one small module after another, each
with a queue of its inputs. Start is the wall time until the first sample, in a new process: with nothing compiled, and
with all of it on disk.
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

from genai.methods.autoregressive import AutoregressiveOptions, draw
from genai.networks.wavenet.matmul import WIDTH, accumulate, tile
from genai.networks.wavenet.model import WaveNet
from genai.networks.wavenet.native import packed

RATE, LOCAL = 16_000, 5
SMALL = f"WaveNet(classes=256, hop=160, local={LOCAL}, layers=20, cycle=10)"
START = f"""
import time, torch
from genai.networks.wavenet.model import WaveNet
net = {SMALL}.requires_grad_(False)
begun = net.prefill(torch.zeros(1, 1), local=torch.zeros(1, 9, {LOCAL}))
start = time.perf_counter()
net.engine(*begun).draw(torch.rand(1, 1))
print(time.perf_counter() - start)
"""
Interpolation = Callable[[int], None]


class Queued(nn.Module):
    """A dilated convolution that is given one step (batch, 1, channels) at a time."""

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
        self.taps, self.local = Queued(32, 64, 2, dilation), Queued(LOCAL, 64)
        self.residual, self.skip = Queued(32, 32), Queued(32, 64)

    def forward(self, x: Tensor, local: Tensor) -> tuple[Tensor, Tensor]:
        (a, b), (c, d) = self.taps(x).chunk(2, -1), self.local(local).chunk(2, -1)
        gated = torch.tanh(a + c) * torch.sigmoid(b + d)
        return (self.residual(gated) + x) * math.sqrt(0.5), self.skip(gated)


class Incremental(nn.Module):
    """One step of the same sizes, from one-hot classes (batch, 1, 256) to classes."""

    def __init__(self, dilations: list[int]) -> None:
        super().__init__()
        self.first, self.blocks = Queued(256, 32), nn.ModuleList(Block(dilation) for dilation in dilations)
        self.last = nn.Sequential(nn.ReLU(), Queued(64, 64), nn.ReLU(), Queued(64, 256))

    def forward(self, x: Tensor, local: Tensor) -> Tensor:
        x, total = self.first(x), torch.zeros(())
        for block in self.blocks:
            x, skip = block(x, local)
            total = total + skip
        probabilities = self.last(total * math.sqrt(1 / len(self.blocks)))[:, 0].softmax(-1)
        return torch.distributions.OneHotCategorical(probabilities).sample()[:, None]


def ways(batch: int) -> dict[str, tuple[int, Interpolation]]:
    """Names -> (samples of one measurement, a function that generates so many)."""
    net = eval(SMALL, {"WaveNet": WaveNet}).requires_grad_(False).eval()
    x, local = (
        torch.randint(256, (batch, net.receptive_field)),
        torch.randn(batch, net.receptive_field // net.hop + 100, LOCAL),
    )
    logits, cache = net.prefill(x, local=local)
    engine = net.engine(logits, cache)
    reference, options = Incremental(net.dilations), AutoregressiveOptions()

    def naive(n: int) -> None:
        for _ in range(n):
            draw(net(x, local=local)[:, -1], torch.rand(batch), options)

    def incremental(n: int) -> None:
        now = F.one_hot(x[:, :1], 256).float()
        for _ in range(n):
            now = reference(now, local[:, :1])

    def steps(n: int) -> None:
        now = logits
        for _ in range(n):
            now = net.step(draw(now, torch.rand(batch), options), cache)

    def native(n: int) -> None:
        assert engine is not None
        engine.draw(torch.rand(batch, n))

    return {
        "naive": (2, naive),
        "incremental": (60, incremental),
        "eager steps": (200, steps),
        "native": (6000, native),
        "limit": (6000, stream_weights(net, batch)),
    }


def stream_weights(net: WaveNet, batch: int) -> Interpolation:
    """Nothing but multiply-adds of all packed weights, once a sample."""
    rows, vectors, inputs = tile(batch)
    block, padded = vectors * WIDTH, batch + -batch % rows
    weights = packed(net, block, padded).packed
    x, y = torch.randn(padded * (len(weights) // block)).numpy(), torch.zeros(padded * block).numpy()

    @njit
    def run(n: int, weights: Any, x: Any, y: Any) -> None:
        for _ in range(n):
            accumulate(rows, vectors, inputs, padded, weights, 0, x, y, y)

    return lambda n: run(n, weights, x, y)


def rates(batch: int, repeats: int) -> dict[str, float]:
    """Samples a second of all rows together."""
    seconds: dict[str, list[float]] = {}
    found = ways(batch)
    for _ in range(repeats + 1):
        for name, (n, way) in found.items():
            start = time.process_time()
            way(n)
            seconds.setdefault(name, []).append((time.process_time() - start) / n)
    return {name: batch / median(taken[1:]) for name, taken in seconds.items()}


def starts() -> dict[str, float]:
    """Seconds until the first sample, with an empty cache and with a full one."""
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
    asked = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    with torch.inference_mode():
        for batch in (int(text) for text in asked.batches.split(",")):
            found = results[f"batch {batch}"] = rates(batch, asked.repeats)
            print(f"batch {batch:<12} samples/s  x real time  x incremental  of the limit")
            for name, rate in found.items():
                relative = rate / RATE, rate / found["incremental"], rate / found["limit"]
                print(f"{name:<17} {rate:>10,.0f} {relative[0]:>12.3g} {relative[1]:>14.3g} {relative[2]:>13.1%}")
    results["start"] = starts()
    print("start: {cold:.1f} s, then {warm:.1f} s".format(**results["start"]))
    save(asked.json, results)


if __name__ == "__main__":
    main()
