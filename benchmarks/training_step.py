"""A training step without the program around it: its CPU seconds, its operations, and the matrix peak of a core."""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_
from torch.utils.flop_counter import FlopCounterMode

from genai.cli.compose import compose
from genai.core.device import reuse_memory
from genai.core.loader import TrainBatches
from genai.training.ema import create_ema
from genai.training.setup import prepare_training

PEAK_SIZE = 1024
"""Rows and columns of the matrices whose product gives the peak."""


DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class TrainingStep:
    """The step of a run, as a loop of ten lines would make it: loss, gradients, clipping, optimizers, average.

    Args:
        words: of the command line of ``genai train``.
        count: number of batches that are drawn beforehand.
        dtype: ``float32``, or ``bfloat16`` for products in autocast.
    """

    def __init__(self, words: Sequence[str], count: int = 8, dtype: str = "float32") -> None:
        reuse_memory()
        precision = "trainer.precision=32-true"  # not that of a probe; autocast is below
        self.setup = setup = prepare_training(compose("train", [*words, "trainer=cpu", precision]))
        torch.set_num_threads(1)
        batches = TrainBatches(setup.train, setup.settings.batch, setup.settings.seed)
        self.batches, self.number = [batches[number] for number in range(count)], 0
        self.average = create_ema(setup.method.ema_module, setup.settings.ema)
        self.parameters = list(setup.method.parameters())
        self.autocast = torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16")

    def __call__(self) -> None:
        method, batch = self.setup.method, self.batches[self.number % len(self.batches)]
        method.train()
        for name, network in method.networks().items():
            with self.autocast:
                loss = method.loss(batch, name)["loss"]
            loss.backward()
            clip_grad_norm_(network.parameters(), self.setup.settings.grad_clip)
            self.setup.optimizers[name].step()
            for parameter in self.parameters:
                parameter.grad = None
        self.average.update_parameters(method.ema_module)
        self.number += 1

    def run(self, steps: int) -> None:
        """Make ``steps`` steps."""
        for _ in range(steps):
            self()

    def operations(self) -> int:
        """Return the floating-point operations of the matrix products and convolutions of one step."""
        with FlopCounterMode(display=False) as counter:
            self()
        return int(counter.get_total_flops())


def cpu_seconds(run: Callable[[], Any]) -> float:
    """Return the CPU seconds of all threads of ``run()``."""
    start = time.process_time()
    run()
    return time.process_time() - start


def matrix_peak(dtype: str) -> float:
    """Return the floating-point operations per CPU second of a large matrix product on one thread."""
    torch.set_num_threads(1)
    a, b = torch.randn(2, PEAK_SIZE, PEAK_SIZE).to(DTYPES[dtype])
    return 2 * PEAK_SIZE**3 / min(cpu_seconds(lambda: a @ b) for _ in range(20))


def utilization(words: Sequence[str], repeats: int = 9) -> dict[str, dict[str, float]]:
    """Return and print the share of the core's matrix peak that a training step reaches, on one thread."""
    results = {}
    for dtype in DTYPES:
        step = TrainingStep(words, dtype=dtype)
        step()
        operations, peak = step.operations(), matrix_peak(dtype)
        seconds = median(cpu_seconds(step) for _ in range(repeats))
        share = operations / seconds / peak
        print(
            f"a step in {dtype}: {operations / 1e9:.2f} GFLOP, {1000 * seconds:.0f} CPU ms, "
            f"{100 * share:.0f} % of this core's {peak / 1e9:.0f} GFLOP/s (matrix product)",
            flush=True,
        )
        results[dtype] = {"operations": operations, "cpu_seconds": seconds, "peak": peak, "share": share}
    return results
