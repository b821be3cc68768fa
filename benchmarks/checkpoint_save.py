"""Stall of training when it saves 100 million parameters of a text model: ``python benchmarks/checkpoint_save.py``.

The state (weights, averages, two moments) has 1.6 GB. The first save also allocates the memory of the copy. With
``--json FILE`` the figures are written.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

STEPS, SAVE_EVERY = {1: 110, 2: 40}, "40s"
MODEL = ("model.network.layers=12", "model.network.width=832", "model.network.heads=13", "model.network.ngram_rows=64",
         "modality.block=32", "modality.tokenizer=bytes", "modality.vocab_size=null", "optimizer=adamw")  # fmt: skip
CASES = {"one process": 1, "two FSDP processes": 2}


def main() -> None:
    """Print a table."""
    results = {name: measure(count) for name, count in CASES.items()}
    columns = ("first save", "later saves", "step", "step while writing", "written in")
    print(f"{'':20}", *(f"{column:>18}" for column in columns))
    for name, result in results.items():
        first, *later = result["saves"]
        stalls = f"{statistics.median(later):.2f} ({max(later):.2f})"
        values = (f"{first:.2f}", stalls, *(f"{result[key]:.2f}" for key in ("step", "busy_step", "written")))
        print(f"{name:20}", *(f"{value:>18}" for value in values), flush=True)
    print("seconds: median (largest); of several processes the slowest one")
    if "--json" in sys.argv:
        Path(sys.argv[sys.argv.index("--json") + 1]).write_text(json.dumps(results, indent=1), encoding="utf-8")


def measure(count: int) -> dict[str, Any]:
    """Train in ``count`` processes, and return the seconds of saves and steps."""
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "data.txt")
        text.write_text("\n".join(f"line {number} of a text" for number in range(2000)), encoding="utf-8")
        words = ["modality=text", "data=text_folder", f"data.path={text}", *MODEL, "batch=2", f"steps={STEPS[count]}",
                 f"checkpoint_every={SAVE_EVERY}", "val_every=1000", "val_items=2", "preview_every=1000", "log_every=1",
                 "trainer.threads=1", "trainer.precision=32-true", f"runs={folder}/runs"]  # fmt: skip
        trainer = "trainer=cpu" if count == 1 else "trainer=fsdp"
        environment = {**os.environ, "PROCESSES": str(count), "TIMES": folder, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, *words, trainer]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        ranks = [json.loads(file.read_text(encoding="utf-8")) for file in Path(folder).glob("times-*.json")]
    written = [max(ends) for ends in zip(*(rank["written"] for rank in ranks), strict=True)]
    stalls = [[end - start for start, end in rank["saves"]] for rank in ranks]
    busy = [(save[1], end) for save, end in zip(ranks[0]["saves"], written, strict=True)]
    steps = [(start, end) for start, end in ranks[0]["steps"][3:]]
    is_busy = [any(start < b and a < end for a, b in busy) for start, end in steps]
    return {
        "saves": [max(times) for times in zip(*stalls, strict=True)][:-1],  # without that of the end, which waits
        "step": statistics.median(end - start for (start, end), each in zip(steps, is_busy, strict=True) if not each),
        "busy_step": statistics.median(end - start for (start, end), each in zip(steps, is_busy, strict=True) if each),
        "written": statistics.median(end - save[0] for save, end in zip(ranks[0]["saves"], written, strict=True)),
    }


def train() -> None:
    """Train, and write when this process saved, when that was written, and when it made its steps."""
    from genai.commands.train import main as train_main
    from genai.core.device import DeviceConfig
    from genai.training.callbacks import TrainingLoop
    from genai.training.module import TrainingModule

    times: dict[str, list[Any]] = {"saves": [], "steps": [], "written": []}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.time()
            try:
                return function(*args, **kwargs)
            finally:
                times[name].append((start, time.time()))

        return call

    count = int(os.environ["PROCESSES"])
    if count > 1:
        DeviceConfig.resolve = lambda self: DeviceConfig("cpu", count, "32-true", "fsdp", 1)  # type: ignore[method-assign]
    TrainingLoop._save_checkpoint = timed("saves", TrainingLoop._save_checkpoint)  # type: ignore[method-assign]
    TrainingModule.training_step = timed("steps", TrainingModule.training_step)  # type: ignore[method-assign]
    from genai.training import checkpoint_saver

    checkpoint_saver.CheckpointSaver._write = written(checkpoint_saver.CheckpointSaver._write, times["written"])  # type: ignore
    try:
        train_main()
    finally:
        Path(os.environ["TIMES"], f"times-{os.getpid()}.json").write_text(json.dumps(times), encoding="utf-8")


def written(function: Callable[..., Any], ends: list[float]) -> Callable[..., Any]:
    """Return a function that also notes when it ends."""

    def call(*args: Any) -> None:
        function(*args)
        ends.append(time.time())

    return call


if __name__ == "__main__":
    if "TIMES" in os.environ:  # also in processes that a training starts
        train()
    else:
        main()
