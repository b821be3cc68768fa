"""What large data cost: preparing, the start of a run, its memory; from thousands to a million pictures or 1e8 tokens.

``python benchmarks/scale.py FOLDER [images|text] [LARGEST]``; the data are made in FOLDER, some GB, and stay there. The
lines go to ``FOLDER/scale.json``, from which ``--plot FILE`` draws the slopes.
"""

import io
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

SIZES = {"images": (10_000, 100_000, 1_000_000), "text": (1_000_000, 10_000_000, 100_000_000)}
"""Pictures of 8 x 8 pixels, and tokens, about."""
WORDS = {
    "images": ["modality=image", "modality.size=8", "model.network.width=8", "batch=16"],
    "text": ["modality=text", "modality.block=64", "model.network.width=32", "model.network.layers=1",
             "model.network.heads=2", "batch=16"],
}  # fmt: skip
SOURCE = {"images": "data=parquet", "text": "data=text_folder"}
CHARACTERS_PER_TOKEN = 3.2
PROBE = """
import json, sys, time
from genai.cli.compose import compose
from genai.core.loader import TrainBatches
from genai.training.setup import prepare_training
def read_bytes():
    return int(open("/proc/self/io").read().split()[1])
config = compose("train", sys.argv[1:])
start, before = time.process_time(), read_bytes()
setup = prepare_training(config)
TrainBatches(setup.train, 16, 0)[0]
seconds, num_bytes = time.process_time() - start, read_bytes() - before
batches = TrainBatches(setup.train, 16, 0)
batches[1]
start = time.perf_counter()
batches._order.indices(__import__("numpy").arange(10**9, 10**9 + 16))
place_ms = 1000 * (time.perf_counter() - start)
print(json.dumps({"setup_cpu_s": seconds, "setup_read_mb": num_bytes / 1e6, "place_ms": place_ms}))
"""
"""Sets up a training, as ``genai.train`` does, and takes a batch."""


def make_images(folder: Path, count: int) -> None:
    """Write Parquet files of PNGs with captions."""
    import pyarrow
    from PIL import Image
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    for start in range(0, count, 100_000):
        pixels = rng.integers(0, 256, (min(100_000, count - start), 8, 8, 3), np.uint8)
        rows = []
        for number, each in enumerate(pixels):
            file = io.BytesIO()
            Image.fromarray(each).save(file, "png", compress_level=0)
            rows.append({"image": {"bytes": file.getvalue(), "path": "0.png"}, "caption": f"picture {number % 100}"})
        parquet.write_table(
            pyarrow.Table.from_pylist(rows), folder / f"{start:09}.parquet", row_group_size=25_000, compression="none"
        )


def make_text(folder: Path, count: int) -> None:
    """Write JSON lines of documents of random words, frequent ones more often."""
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(5000)])
    chances = 1 / np.arange(1, 5001)
    left = int(count * CHARACTERS_PER_TOKEN)
    number = 0
    while left > 0:
        with (folder / f"{number:04}.jsonl").open("w", encoding="utf-8") as file:
            for _ in range(min(20_000, left // 3000 + 1)):
                text = " ".join(rng.choice(words, 600, p=chances / chances.sum()))
                file.write(json.dumps({"text": text}) + "\n")
                left -= len(text)
        number += 1


def run(*command: str, **changes: str) -> dict[str, Any]:
    """Run a command; return its CPU and wall seconds, its memory in MB, and its output."""
    start = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **changes}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(output)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_s": cpu, "wall_s": time.monotonic() - start, "mb": usage.ru_maxrss / 1024, "output": output}


def measure(kind: str, count: int, folder: Path) -> dict[str, Any]:
    """Return what data of ``count`` items cost."""
    data, prepared = folder / f"{kind}-{count}", folder / f"{kind}-{count}-prepared"
    if not data.exists():
        data.mkdir(parents=True)
        (make_images if kind == "images" else make_text)(data, count)
    python, words = sys.executable, WORDS[kind]
    source = [SOURCE[kind], f"data.path={data}", f"out={prepared}"]
    cache = {"GENAI_CACHE": str(folder / "cache")}
    line: dict[str, Any] = {"kind": kind, "count": count}
    if not prepared.exists():
        done = run(python, "-m", "genai", "prepare", *words, *source, "processes=2", **cache)
        line |= {"prepare_cpu_s": done["cpu_s"], "prepare_wall_s": done["wall_s"]}
    line["data_mb"] = sum(file.stat().st_size for file in prepared.rglob("*") if file.is_file()) / 1e6
    train = [*words, "data=prepared", f"data.path={prepared}", "trainer.threads=1", f"runs={folder / 'runs'}"]
    line |= json.loads(run(python, "-c", PROBE, *train, **cache)["output"].splitlines()[-1])
    one = run(python, "-m", "genai.train", *train, "steps=1", "preview_every=1000", **cache)
    many = run(python, "-m", "genai.train", *train, "steps=300", "preview_every=1000", **cache)
    return {**line, "start_cpu_s": one["cpu_s"], "train_mb": many["mb"]}


def plot(lines: list[dict[str, Any]], file: Path) -> None:
    """Draw the slopes of pictures and of tokens."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    titles = {"prepare_cpu_s": "preparing, CPU seconds", "start_cpu_s": "start of a run, CPU seconds",
              "train_mb": "memory of training, MB"}  # fmt: skip
    for axis, (key, title) in zip(axes, titles.items(), strict=True):
        for kind, label in (("images", "pictures of 8 x 8"), ("text", "tokens")):
            points = sorted((line["count"], line[key]) for line in lines if line["kind"] == kind and key in line)
            axis.plot(*zip(*points, strict=True), "o-", label=label)
        axis.set(xscale="log", title=title, xlabel="items")
        axis.set(yscale="log") if key == "prepare_cpu_s" else axis.set(ylim=(0, None))
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(file, dpi=110)


def main() -> None:
    """Measure what is not in ``scale.json`` yet, and print it."""
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    folder = Path(words[0]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / "scale.json"
    lines = json.loads(results.read_text(encoding="utf-8")) if results.exists() else []
    if "--plot" in sys.argv:
        plot(lines, Path(words[1]))
        return
    kinds = [word for word in words[1:] if word in SIZES] or list(SIZES)
    largest = next((int(float(word)) for word in words[1:] if word not in SIZES), 10**9)
    for kind in kinds:
        for count in SIZES[kind]:
            if count <= largest and not any((line["kind"], line["count"]) == (kind, count) for line in lines):
                lines.append(measure(kind, count, folder))
                print(json.dumps(lines[-1]), flush=True)
                results.write_text(json.dumps(lines, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
