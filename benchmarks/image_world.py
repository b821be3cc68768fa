"""Does the image model obey prompts, and after how many CPU seconds of training?

    python benchmarks/image_world.py [--budgets 60,120,240] [--seeds 0,1] [--threads 1] [--n 160] [--json OUT]
    python benchmarks/image_world.py --two 10          # minutes; two things with a relation: is binding right?

For each budget a run of its own, from nothing, its learning rate annealed: prompts of combinations that were held out,
the weights that sampling uses, the sampler's defaults, and five steps beside them. The number of steps that fill a
budget comes from two short runs, and the CPU seconds that were really used are printed (``record.json``: from the
first step to the last, all threads). A share of 160 prompts has a standard error of up to 0.04.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from common import save, steps_for, train

from genai.cli.compose import compose
from genai.core.data import Source
from genai.core.instantiate import instantiate
from genai.metrics.base import EvalContext
from genai.toy.metrics.image import Obedience

KEPT = ("fulfilment_held_out", "strict_held_out", "fulfilment", "strict", "place_spread")


def score(model: Any, words: list[str], n: int, **options: Any) -> dict[str, Any]:
    """Figures of fresh prompts, as ``python -m genai.evaluate`` has them."""
    data = compose("train", words).values["data"]
    source = instantiate(data, Source, "data")  # type: ignore[type-abstract]
    figures = Obedience().measure(EvalContext(model, source, n=n, seed=1, options=options))
    return {name: round(figure.value, 4) for name, figure in figures.items() if figure.value is not None} | {
        f"{name}_of_real": round(figure.beside, 4) for name, figure in figures.items() if figure.beside is not None
    }


def row(model: Any, words: list[str], n: int) -> dict[str, Any]:
    record = model.record
    return {
        "cpu_seconds": record["cpu_seconds"],
        "seconds": record["seconds"],
        "steps": record["steps"],
        "ten_steps": score(model, words, n),
        "five_steps": score(model, words, n, steps=5),
    }


def show(name: str, measured: dict[str, Any]) -> None:
    line = "  ".join(f"{key} {measured['ten_steps'].get(key, float('nan')):.3f}" for key in KEPT)
    five = measured["five_steps"].get("fulfilment_held_out", float("nan"))
    print(f"{name}: {measured['cpu_seconds']:.0f} CPU s, {measured['steps']} steps  {line}  (five steps: {five:.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budgets", default="60,120,240", help="CPU seconds")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--n", type=int, default=160, help="prompts of each kind")
    parser.add_argument("--two", type=float, help="minutes: train on two things instead, and report binding")
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="other settings: model.network.width=48")
    asked = parser.parse_args()
    shared = ["modality=image", f"trainer.threads={asked.threads}", "trainer=cpu", *asked.words]
    results: dict[str, Any] = {}
    if asked.two:
        words = ["data.things=2", *shared]
        measured = row(train(*words, f"minutes={asked.two}"), words, asked.n)
        results[f"two things, {asked.two:g} minutes"] = measured
        print(json.dumps(measured, indent=2))
    else:
        for seed in asked.seeds.split(","):
            words = [f"seed={seed}", *shared]
            for budget in (float(text) for text in asked.budgets.split(",")):
                measured = row(train(*words, f"steps={steps_for(budget, words)}"), words, asked.n)
                results[f"{budget:g} CPU s, seed {seed}"] = measured
                show(f"{budget:g} CPU s, seed {seed}", measured)
    save(asked.json, results)


if __name__ == "__main__":
    main()
