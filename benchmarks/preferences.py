"""DPO on pairs of answers: held-out accuracy and margin, beside a bag-of-words classifier and a reward model.

    python benchmarks/preferences.py --data FILE [--splits 0 1 2] [--json OUT] [--figure OUT.png] [words ...]

FILE is a JSON list of rows with instruction, input, output, chosen and rejected (the 1,100 rows of LLMs-from-scratch,
Apache-2.0). For each split 150 random rows are held out. A model learns the outputs of the others (``experiment=sft``),
then their pairs, with the SFT term and without, and as a reward model. The numbers of steps, and
the decay of the classifier, were chosen on split 3: another shuffle of the same rows, so many rows that are held out in
splits 0 to 2 were trained on there, and some were held out there, too. The held-out rows of the splits overlap as well.

CPU seconds of a run are those of its training and of its last validation; ``whole`` has loading, packing and the
reference log-probabilities, too.
"""

import argparse
import json
import random
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import QUIET, save

import genai
from genai.cli.compose import compose
from genai.inference.model import Model
from genai.inference.reference import WithReference
from genai.training.loggers import read_metrics
from genai.training.setup import prepare_training

NUM_HELD_OUT = 150
SFT_STEPS = 80
DECAY = 0.001
T_VALUE = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
"""Two-sided 95 % quantiles of Student's t for so many values."""
MODEL = ("modality.block=128", "modality.vocab_size=1024", "model.network.layers=3")
CPU = ("trainer=cpu", "trainer.threads=1")
NAMES = ("margin", "accuracy", "preference_loss", "chosen_change", "rejected_change")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--splits", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("words", nargs="*", help="other settings of DPO: method.loss=ipo")
    arguments = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    rows = json.loads(arguments.data.read_text(encoding="utf-8"))
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in arguments.splits:
            results.append(
                run_split(rows, seed, Path(folder) / str(seed), arguments.words, bool(arguments.figure) and not results)
            )
            print(json.dumps(results[-1]), flush=True)
    if arguments.figure:
        draw(results[0].pop("curves"), arguments.figure)
    for name in results[0]:
        for number, value in results[0][name].items():
            if isinstance(value, int | float):
                print(f"{name:<16}{number:<18}{interval([result[name][number] for result in results])}")
    save(arguments.json, {"splits": results})


def run_split(rows: list[Any], seed: int, folder: Path, words: list[str], with_curves: bool) -> dict[str, Any]:
    """Return the numbers of one split, and those of all validations if asked for."""
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    held_out, train = shuffled[:NUM_HELD_OUT], shuffled[NUM_HELD_OUT:]
    folder.mkdir()
    for name, part in (("train", train), ("held_out", held_out)):
        (folder / f"{name}.json").write_text(json.dumps(part), encoding="utf-8")
    path = f"data.path={folder / 'train.json'}"
    sft, seconds = fit(
        folder, "experiment=sft", path, "data.val_fraction=0.02", *MODEL, f"steps={SFT_STEPS}", "batch=12"
    )
    assert sft.run is not None
    base = [f"init_from={sft.run.folder}", path, f"data.val_path={folder / 'held_out.json'}"]
    setup = prepare_training(compose("train", ["experiment=dpo", *base, *words, *CPU]))
    result: dict[str, Any] = {"sft": {"cpu_seconds": sft.record["cpu_seconds"], "whole": seconds}}
    if isinstance(setup.val, WithReference):
        result["before"] = {"chosen_log_prob": float(setup.val.values[:, 0].mean())}
    methods = {"dpo": words, "dpo without sft": [*words, "method.sft=0"], "reward": ["method=reward"]}
    for name, more in methods.items():
        model, seconds = fit(folder, "experiment=dpo", *base, *more)
        result[name] = last_validation(model) | {"cpu_seconds": model.record["cpu_seconds"], "whole": seconds}
    result["bag of words"] = {"accuracy": bag_of_words(train, held_out)}
    if with_curves:
        runs = {name: genai.fit("experiment=dpo", *base, *methods[name], *CPU, *QUIET[1:], "val_every=10",
                                f"runs={folder}") for name in list(methods)[:2]}  # fmt: skip
        result["curves"] = {name: curve(model) for name, model in runs.items()}
    return result


def fit(folder: Path, *words: str) -> tuple[Model, float]:
    """Train, and return the model and the CPU seconds of all of it."""
    start = time.process_time()
    model = genai.fit(*words, *QUIET, *CPU, f"runs={folder}")
    return model, time.process_time() - start


def validations(model: Model) -> list[dict[str, str]]:
    assert model.run is not None
    return [row for row in read_metrics(model.run.folder / "metrics.csv")[1] if row.get("val_loss")]


def last_validation(model: Model) -> dict[str, float]:
    row = validations(model)[-1]
    return {name: float(row[f"val_{name}"]) for name in NAMES if row.get(f"val_{name}")}


def curve(model: Model) -> list[dict[str, float]]:
    rows = validations(model)
    return [{"step": int(row["step"]), **{name: float(row[f"val_{name}"]) for name in NAMES}} for row in rows]


def bag_of_words(train: list[Any], held_out: list[Any]) -> float:
    """Return the held-out accuracy of a logistic regression on differences of word counts."""
    words = Counter(word for row in train for side in ("chosen", "rejected") for word in split_words(row[side]))
    places = {word: place for place, word in enumerate(word for word, count in words.items() if count > 1)}
    x, x_held_out = (
        torch.from_numpy(np.stack([counts(row["chosen"], places) - counts(row["rejected"], places) for row in part]))
        for part in (train, [row for row in held_out if row["chosen"] != row["rejected"]])
    )
    weight = torch.zeros(len(places), dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.softplus(-(x @ weight)).mean() + DECAY * weight.square().sum() / 2
        value.backward()
        return value

    optimizer.step(loss)  # type: ignore[arg-type]
    return float(((x_held_out @ weight) > 0).double().mean())


def split_words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower())


def counts(text: str, places: dict[str, int]) -> Any:
    row = np.zeros(len(places))
    for word in split_words(text):
        if word in places:
            row[places[word]] += 1
    return row


def interval(values: list[float]) -> str:
    """Return mean and 95 % interval over splits."""
    half = T_VALUE[len(values)] * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) in T_VALUE else 0.0
    return f"{np.mean(values):9.3f} +- {half:.3f}"


def draw(curves: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Draw margin, accuracy and the changes of both log-probabilities over steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
    for (name, rows), style in zip(curves.items(), ("-", "--"), strict=True):
        steps = [row["step"] for row in rows]
        label = {"dpo": "with SFT term", "dpo without sft": "without"}[name]
        axes[0].plot(steps, [row["margin"] for row in rows], f"C0{style}", label=label)
        axes[1].plot(steps, [row["accuracy"] for row in rows], f"C0{style}", label=label)
        for side, color in (("chosen", "C2"), ("rejected", "C3")):
            axes[2].plot(steps, [row[f"{side}_change"] for row in rows], f"{color}{style}", label=f"{side}, {label}")
    for axis, title in zip(axes, ("margin", "accuracy", "change of log-probability, nats"), strict=True):
        axis.set(title=title, xlabel="step")
        axis.legend(fontsize=7)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
