"""Training of small GPTs against nanoGPT's recipe for a CPU, and what the program costs around a training step.

    python benchmarks/text_train.py --data tinyshakespeare.txt [--json OUT] [--png OUT] [--steps 120,150,200,400]

All train on the first 90 % of the characters of the file and are measured on all others, in windows of 64, with the
same code. CPU seconds of one thread are of training, without validation. The runs take turns: a part of nanoGPT's 2,000
steps (``nanogpt.py``), then a whole run of ``experiment=shakespeare_char`` or of ``model=llama``, each with its own
length and learning-rate schedule. The last run is as long as nanoGPT's. Overhead is that of the program's path over a
bare loop of the same step on batches that are drawn beforehand (``training_step.py``), for two sizes, in turns too.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from common import save, train
from nanogpt import BLOCK, STEPS, Training
from torch import Tensor
from torch.nn import functional as F
from training_step import TrainingStep, cpu_seconds, utilization

TARGET = 1.90
SIZES: dict[str, tuple[list[str], int]] = {
    "experiment=shakespeare_char": (["experiment=shakespeare_char"], 100),
    "10M": (["modality=text", "data=text_folder", "model.network.layers=6", "model.network.width=384"], 10),
}
"""Words of the sizes for which the overhead is measured, and the steps of a measurement."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a text file, such as tiny Shakespeare")
    parser.add_argument("--steps", default="120,150,200,400,800", help="lengths of the runs")
    parser.add_argument("--repeats", type=int, default=5, help="of the overhead; 0: do not measure it")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--png", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = {"curves": curves(arguments.data, [int(n) for n in arguments.steps.split(",")])}
    results |= summary(results["curves"])
    words = {name: [*size[0], f"data.path={arguments.data}"] for name, size in SIZES.items()}
    results["utilization"] = {name: utilization(each) for name, each in words.items()}
    if arguments.repeats:
        results["overhead"] = {name: overhead(words[name], SIZES[name][1], arguments.repeats) for name in SIZES}
    save(arguments.json, results)
    if arguments.png:
        draw(arguments.png, results["curves"])


def curves(data: Path, lengths: Sequence[int]) -> dict[str, list[dict[str, float]]]:
    """Return and print points (steps, CPU seconds, loss) of nanoGPT and of the runs, which take turns."""
    text = data.read_text(encoding="utf-8")
    characters = sorted(set(text))
    tokens = torch.tensor([characters.index(character) for character in text])
    cut = int(0.9 * len(tokens))
    peer = Training(tokens[:cut], len(characters))
    points: dict[str, list[dict[str, float]]] = {"nanoGPT": [], "genai": [], "genai, model=llama": []}

    def add(name: str, steps: int, seconds: float, loss: float) -> None:
        points[name].append({"steps": steps, "cpu_seconds": round(seconds, 2), "val_loss": round(loss, 4)})
        print(f"{name:<20}{steps:>6} steps{seconds:>8.1f} CPU s   val_loss {loss:.4f}", flush=True)

    def train_run(name: str, steps: int) -> float:
        words = ["model=llama"] if "llama" in name else []
        seconds, loss = run(data, text[cut:], steps, words)
        add(name, steps, seconds, loss)
        return seconds / steps

    parts, seconds_per_step, seconds = max(8, 2 * len(lengths)), 0.0, 0.0
    runs = [(name, steps) for steps in lengths for name in ("genai", "genai, model=llama")]
    for part in range(parts):
        seconds += cpu_seconds(lambda: peer.run(STEPS // parts))
        add("nanoGPT", peer.step, seconds, val_loss(peer.network, tokens[cut:]))
        if part < len(runs):
            per_step = train_run(*runs[part])
            seconds_per_step = per_step if runs[part][0] == "genai" else seconds_per_step
    train_run("genai", round(seconds / seconds_per_step))
    train_run("genai, model=llama", round(seconds / per_step))
    return points


def run(data: Path, text: str, steps: int, words: Sequence[str] = ()) -> tuple[float, float]:
    """Train, and return CPU seconds and the loss of ``text``."""
    words = [*words, f"data.path={data}", "trainer=cpu", "trainer.threads=1", "val_items=1"]
    model = train("experiment=shakespeare_char", *words, f"steps={steps}")
    torch.set_num_threads(1)
    return model.record["cpu_seconds"], val_loss(model.method.network, model.modality.encode(text))


@torch.inference_mode()
def val_loss(network: Any, tokens: Tensor) -> float:
    """Return the mean loss, in nats, of all tokens but the first, in windows of nanoGPT's block."""
    network.eval()
    total = 0.0
    starts = list(range(0, len(tokens) - 1, BLOCK))
    windows = [tokens[start : start + BLOCK + 1] for start in starts]
    for rows in [windows[i : i + 64] for i in range(0, len(windows) - 1, 64)] + [windows[-1:]]:
        equal = [row for row in rows if len(row) == len(rows[0])]
        for batch in [torch.stack(equal), *(row[None] for row in rows[len(equal) :])]:
            logits = network(batch[:, :-1]).float()
            total += float(F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="sum"))
    network.train()
    return total / (len(tokens) - 1)


def summary(points: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Return and print CPU seconds until ``TARGET``, and losses after nanoGPT's whole time."""
    whole = points["nanoGPT"][-1]
    results: dict[str, Any] = {}
    for name in ("genai", "genai, model=llama"):
        reached = [point for point in points[name] if point["val_loss"] <= TARGET]
        if reached:
            first = min(reached, key=lambda point: point["cpu_seconds"])
            results[f"{name}: ratio to {TARGET:.2f}"] = whole["cpu_seconds"] / first["cpu_seconds"]
            print(
                f"{name}: {first['val_loss']:.4f} after 1/{whole['cpu_seconds'] / first['cpu_seconds']:.1f} of the time"
            )
        last = points[name][-1]
        print(f"{name}: {last['val_loss']:.4f} after the whole time; nanoGPT: {whole['val_loss']:.4f}")
    return results


def overhead(words: Sequence[str], steps: int, repeats: int) -> dict[str, float]:
    """Return and print CPU seconds of a step in the program's path and in a bare loop: the difference of two runs."""
    bare, times = TrainingStep(words), dict[str, list[float]](path=[], bare=[])
    quiet = [*words, "trainer=cpu", "trainer.threads=1", "val_items=1"]
    for _ in range(3):
        bare()
    for _ in range(repeats):
        short, long = (train(*quiet, f"steps={n}").record["cpu_seconds"] for n in (5, 5 + steps))
        times["path"].append((long - short) / steps)
        torch.set_num_threads(1)
        times["bare"].append(cpu_seconds(lambda: bare.run(steps)) / steps)
    path, loop = median(times["path"]), median(times["bare"])
    print(f"{words[0]}: {1000 * path:.1f} CPU ms a step, bare {1000 * loop:.1f}: {100 * (path / loop - 1):+.1f} %")
    return {"path": path, "bare": loop, "overhead": path / loop - 1}


def draw(file: Path, points: dict[str, list[dict[str, float]]]) -> None:
    """Draw the losses over CPU seconds."""
    from matplotlib.figure import Figure

    figure = Figure((7, 4), layout="constrained")
    axes = figure.subplots()
    for name, line in points.items():
        style = "o-" if name == "nanoGPT" else "o--"
        axes.plot([p["cpu_seconds"] for p in line], [p["val_loss"] for p in line], style, label=name, markersize=4)
    axes.axhline(TARGET, color="gray", linewidth=0.5)
    axes.set(xlabel="CPU seconds of one thread", ylabel="loss of held-out text, nats per character", ylim=(None, 2.6))
    axes.legend()
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    main()
