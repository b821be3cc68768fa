"""Precision of training on a CPU: bfloat16 where a probe finds that it makes this network faster.

The verdict is cached for the machine and the network. It stands in the record of a run, and a resumed run keeps it.
"""

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch

from genai.core.batch import Batch
from genai.core.cache import cache_dir, cache_key, cached_json
from genai.core.data import PackedDataset
from genai.core.device import Precision
from genai.core.loader import TrainBatches
from genai.core.place import find_place
from genai.methods.base import Method
from genai.networks.layers import fast_bfloat16
from genai.runs.run import Run, processor_name
from genai.training.config import TrainSettings

FLOAT32: Precision = "32-true"
BFLOAT16: Precision = "bf16-mixed"
MIN_RATIO = 1.1
"""Seconds in float32 over seconds in bfloat16 from which bfloat16 is chosen; the noise of the probe is smaller."""
MIN_STEPS, MIN_MINUTES = 200, 1.0
"""A shorter run is in float32: the probe would take as long as it saves."""
REPEATS, MAX_SECONDS = 3, 20.0
"""Timed steps of each precision, after one that is not timed; and the time after which no further ones are made."""


def choose_precision(
    method: Method, train: PackedDataset, settings: TrainSettings, nodes: dict[str, Any], resumed: Run | None
) -> Precision:
    """Return the precision of a run on a CPU whose ``trainer.precision`` is ``auto``.

    A resumed run and a further process of a run keep the precision in its record, if that is of a CPU.

    Args:
        nodes: of the config; with the machine they are the key of the cached verdict.
        resumed: the run to continue.
    """
    if run := resumed or _run_of_first_process():
        is_known = run.record.device in (None, "cpu") and run.record.precision == BFLOAT16
        return BFLOAT16 if is_known else FLOAT32
    is_short = settings.steps < MIN_STEPS if settings.steps else (settings.minutes or 0) < MIN_MINUTES
    if is_short or not fast_bfloat16("cpu"):
        return FLOAT32
    batch_size = -(-settings.batch // settings.accumulate)
    parts = [nodes.get(name) for name in ("model", "modality", "adapter", "trainer")]
    key = cache_key("precision", processor_name(), torch.__version__, torch.get_num_threads(), batch_size, parts)
    probe = partial(_probe, method, train, batch_size, settings.seed)
    return BFLOAT16 if cached_json(cache_dir() / f"{key}.json", probe)["ratio"] >= MIN_RATIO else FLOAT32


def _run_of_first_process() -> Run | None:
    """Return the run whose first process has started this one; ``None``: this is the first."""
    return None if find_place().is_first or "GENAI_RUN" not in os.environ else Run(Path(os.environ["GENAI_RUN"]))


def _probe(method: Method, train: PackedDataset, batch_size: int, seed: int) -> dict[str, float]:
    """Return how many times faster losses and gradients are in bfloat16; weights and random numbers stay.

    0: the network has operations that bfloat16 lacks.
    """
    batch = TrainBatches(train, batch_size, seed)[0]
    contexts: dict[str, Callable[[], AbstractContextManager[Any]]] = {
        FLOAT32: nullcontext,
        BFLOAT16: lambda: torch.autocast("cpu", torch.bfloat16),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contexts}
    buffers = [(buffer, buffer.clone()) for buffer in method.buffers()]
    start = time.monotonic()
    method.train()
    with torch.random.fork_rng([]):
        while len(seconds[BFLOAT16]) <= REPEATS and time.monotonic() < start + MAX_SECONDS:
            try:
                for name, context in contexts.items():
                    seconds[name].append(_step_seconds(method, batch, context))
            except RuntimeError:
                if not seconds[FLOAT32]:
                    raise
                return {"ratio": 0.0}
    for buffer, value in buffers:
        buffer.copy_(value)
    minimum = {name: min(times[1:] or times) for name, times in seconds.items()}
    return {"ratio": minimum[FLOAT32] / minimum[BFLOAT16]}


def _step_seconds(method: Method, batch: Batch, context: Callable[[], AbstractContextManager[Any]]) -> float:
    """Return the seconds that losses and gradients of all networks take."""
    start = time.perf_counter()
    for name in method.networks():
        with context():
            loss = method.loss(batch, name)["loss"]
        loss.backward()
        method.zero_grad(set_to_none=True)
    return time.perf_counter() - start
