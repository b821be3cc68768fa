"""What virtual ranks cost: time of a step beside plain DDP, interleaved: ``python benchmarks/virtual_ranks.py``.

Two processes of one thread each; the batch of a step is the same.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

MODALITIES = ("text", "image", "audio", "video")
STEPS, TRIES, BATCH = 60, 3, 16
CASES = {"ddp": [f"batch={BATCH // 2}"], "virtual_ranks=2": [f"batch={BATCH}", "virtual_ranks=2"],
         "virtual_ranks=8": [f"batch={BATCH}", "virtual_ranks=8"]}  # fmt: skip


def seconds_per_step(modality: str, words: list[str]) -> float:
    """Return the median time of the later steps of a training with two processes."""
    with tempfile.TemporaryDirectory() as folder:
        fixed = [f"modality={modality}", f"steps={STEPS}", "val_every=1000", "val_items=16", "preview_every=1000",
                 "checkpoint_every=1000", "log_every=1", "trainer.accelerator=cpu", "trainer.threads=1",
                 "trainer.precision=32-true", f"runs={folder}"]  # fmt: skip
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc-per-node=2",
            "-m",
            "genai.train",
            *fixed,
            *words,
        ]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        (metrics,) = Path(folder).glob("*/*/metrics.csv")
        header, *rows = [line.split(",") for line in metrics.read_text(encoding="utf-8").splitlines()]
        speeds = [float(row[header.index("samples_per_s")]) for row in rows[STEPS // 3 :]]
        return BATCH / statistics.median(speeds)


def main() -> None:
    """Print a table and, with ``--json FILE``, write the figures."""
    results: dict[str, dict[str, float]] = {}
    for modality in MODALITIES:
        times: dict[str, list[float]] = {name: [] for name in CASES}
        for _ in range(TRIES):
            for name, words in CASES.items():
                times[name].append(seconds_per_step(modality, words))
        results[modality] = {name: statistics.median(each) for name, each in times.items()}
        base = results[modality]["ddp"]
        print(
            modality,
            *(f"{name} {1000 * each:.1f} ms ({each / base:.2f})" for name, each in results[modality].items()),
            flush=True,
        )
    if "--json" in sys.argv:
        Path(sys.argv[sys.argv.index("--json") + 1]).write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
