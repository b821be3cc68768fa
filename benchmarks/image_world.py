"""Prompt accuracy of the image model on the toy world, after given CPU seconds of training.

    python benchmarks/image_world.py [--budgets 60,120,240] [--seeds 0,1] [--threads 1] [--n 160] [--json OUT]
    python benchmarks/image_world.py --two 10          # minutes; two things with a relation, to measure binding

Each budget has a separate run from scratch, with an annealed learning rate. Prompts are held-out combinations. Samples
use the averaged weights, with the default options and with five steps. The number of steps for a budget is estimated
from two short runs. The CPU seconds that were used are printed (``record.json``: from the first step to the last, all
threads). A share of 160 prompts has a standard error of up to 0.04.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from common import save, steps_for, train
from training_step import utilization

from genai.cli.compose import compose
from genai.core.data import Source
from genai.core.instantiate import instantiate
from genai.metrics.base import EvalContext
from genai.toy.metrics.image import ScenePromptAccuracy

PRINTED_METRICS = ("fulfilment_held_out", "strict_held_out", "fulfilment", "strict", "place_spread")


def score(model: Any, words: list[str], n: int, **options: Any) -> dict[str, Any]:
    """Return the results for new prompts, as in ``python -m genai.evaluate``."""
    data = compose("train", words).values["data"]
    source = instantiate(data, Source, "data")  # type: ignore[type-abstract]
    results = ScenePromptAccuracy().compute(EvalContext(model, source, n=n, seed=1, options=options))
    values = {name: result.value for name, result in results.items()}
    references = {f"{name}_of_real": result.reference for name, result in results.items()}
    return {name: round(value, 4) for name, value in {**values, **references}.items() if value is not None}


def score_model(model: Any, words: list[str], n: int) -> dict[str, Any]:
    record = model.record
    return {
        "cpu_seconds": record["cpu_seconds"],
        "seconds": record["seconds"],
        "steps": record["steps"],
        "ten_steps": score(model, words, n),
        "five_steps": score(model, words, n, steps=5),
    }


def print_scores(name: str, scores: dict[str, Any]) -> None:
    line = "  ".join(f"{key} {scores['ten_steps'].get(key, float('nan')):.3f}" for key in PRINTED_METRICS)
    five = scores["five_steps"].get("fulfilment_held_out", float("nan"))
    print(f"{name}: {scores['cpu_seconds']:.0f} CPU s, {scores['steps']} steps  {line}  (five steps: {five:.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budgets", default="60,120,240", help="CPU seconds")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--n", type=int, default=160, help="prompts of each kind")
    parser.add_argument("--two", type=float, help="minutes of training on two things, to report binding")
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="other settings: model.network.width=48")
    args = parser.parse_args()
    shared = ["modality=image", f"trainer.threads={args.threads}", "trainer=cpu", *args.words]
    results: dict[str, Any] = {"utilization": utilization(shared)}
    if args.two:
        words = ["data.things=2", *shared]
        scores = score_model(train(*words, f"minutes={args.two}"), words, args.n)
        results[f"two things, {args.two:g} minutes"] = scores
        print(json.dumps(scores, indent=2))
    else:
        for seed in args.seeds.split(","):
            words = [f"seed={seed}", *shared]
            for budget in (float(text) for text in args.budgets.split(",")):
                scores = score_model(train(*words, f"steps={steps_for(budget, words)}"), words, args.n)
                results[f"{budget:g} CPU s, seed {seed}"] = scores
                print_scores(f"{budget:g} CPU s, seed {seed}", scores)
    save(args.json, results)


if __name__ == "__main__":
    main()
