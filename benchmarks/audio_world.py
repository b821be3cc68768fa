"""Prompt accuracy of the audio model on the toy world, after given CPU seconds of training.

    python benchmarks/audio_world.py [--budgets 120,300] [--seeds 0] [--threads 1] [--n 128] [--json OUT] [words ...]

Each budget has a separate run from scratch, with an annealed learning rate. Prompts name every attribute of training
melodies, of new melodies with notes that are known for their instrument, and of notes that are new for it.
Samples use the averaged weights and the default options. The oracle of the toy world checks them; bits per sample do
not rank models by this. The number of steps for a budget is estimated from two short runs; the CPU seconds that were
used are printed (``record.json``: from the first step to the last, all threads). A share of 128 prompts has a standard
error of up to 0.044.
"""

import argparse
import math
from pathlib import Path
from typing import Any

from common import save, steps_for, train
from training_step import utilization

from genai.cli.compose import compose
from genai.core.data import Source
from genai.core.instantiate import instantiate
from genai.metrics.base import EvalContext
from genai.toy.metrics.audio import MelodyPromptAccuracy


def score(model: Any, words: list[str], n: int) -> dict[str, Any]:
    """Return the results for new prompts, as in ``python -m genai.evaluate``."""
    data = compose("train", words).values["data"]
    source = instantiate(data, Source, "data")  # type: ignore[type-abstract]
    context = EvalContext(model, source, n=n, seed=1, batch=n)
    results = MelodyPromptAccuracy().compute(context)
    values = {name: result.value for name, result in results.items() if result.value is not None}
    reference = {
        f"{name}_of_real": result.reference for name, result in results.items() if result.reference is not None
    }
    bits = context.losses["loss"] / math.log(2)
    rounded = {name: round(value, 4) for name, value in {**values, **reference, "bits_per_sample": bits}.items()}
    return {name: model.record[name] for name in ("cpu_seconds", "seconds", "steps")} | rounded


def print_scores(name: str, scores: dict[str, Any]) -> None:
    print(f"{name}: {scores['cpu_seconds']:.0f} CPU s, {scores['steps']} steps")
    print("  " + "  ".join(f"{key} {value}" for key, value in scores.items() if "real" not in key), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budgets", default="120,300", help="CPU seconds")
    parser.add_argument("--steps", type=int, help="number of steps instead of a budget")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--n", type=int, default=128, help="prompts of each kind")
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="other settings: model.network.layers=12")
    args = parser.parse_intermixed_args()
    results: dict[str, Any] = {"utilization": utilization(["modality=audio", *args.words])}
    for seed in args.seeds.split(","):
        words = ["modality=audio", f"trainer.threads={args.threads}", "trainer=cpu", f"seed={seed}", *args.words]
        budgets = [args.steps] if args.steps else [float(text) for text in args.budgets.split(",")]
        for budget in budgets:
            name = f"{budget:g} {'steps' if args.steps else 'CPU s'}, seed {seed}"
            steps = args.steps or steps_for(budget, words)
            results[name] = score(train(*words, f"steps={steps}"), words, args.n)
            print_scores(name, results[name])
    save(args.json, results)


if __name__ == "__main__":
    main()
