"""Does the audio model play what it is asked for, and after how many CPU seconds of training?

    python benchmarks/audio_world.py [--budgets 120,300] [--seeds 0] [--threads 1] [--n 128] [--json OUT] [words ...]

For each budget a run of its own, from nothing, its learning rate annealed: prompts that name everything, of melodies
that were trained on, of melodies never heard whose notes are known of their instrument, and of notes that were never
heard of their instrument; the weights that sampling uses, the sampler's defaults. The rules that judge hear the
generated clips: bits a sample do not rank this. The number of steps that fill a budget comes from two short runs,
and the CPU seconds that were really used are printed (``record.json``: from the first step to the last, all threads).
A share of 128 prompts has a standard error of up to 0.044.
"""

import argparse
import math
from pathlib import Path
from typing import Any

from common import save, steps_for, train

from genai.cli.compose import compose
from genai.core.data import Source
from genai.core.instantiate import instantiate
from genai.metrics.base import EvalContext
from genai.toy.metrics.audio import Played


def row(model: Any, words: list[str], n: int) -> dict[str, Any]:
    """Figures of fresh prompts, as ``python -m genai.evaluate`` has them."""
    data = compose("train", words).values["data"]
    source = instantiate(data, Source, "data")  # type: ignore[type-abstract]
    study = EvalContext(model, source, n=n, seed=1, batch=n)
    figures = Played().measure(study)
    measured = {name: figure.value for name, figure in figures.items() if figure.value is not None}
    beside = {f"{name}_of_real": figure.beside for name, figure in figures.items() if figure.beside is not None}
    bits = study.losses["loss"] / math.log(2)
    kept = {name: round(value, 4) for name, value in {**measured, **beside, "bits_per_sample": bits}.items()}
    return {name: model.record[name] for name in ("cpu_seconds", "seconds", "steps")} | kept


def show(name: str, measured: dict[str, Any]) -> None:
    print(f"{name}: {measured['cpu_seconds']:.0f} CPU s, {measured['steps']} steps")
    print("  " + "  ".join(f"{key} {value}" for key, value in measured.items() if "real" not in key), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budgets", default="120,300", help="CPU seconds")
    parser.add_argument("--steps", type=int, help="so many steps instead of a budget")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--n", type=int, default=128, help="prompts of each kind")
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="other settings: model.network.layers=12")
    asked = parser.parse_intermixed_args()
    results: dict[str, Any] = {}
    for seed in asked.seeds.split(","):
        words = ["modality=audio", f"trainer.threads={asked.threads}", "trainer=cpu", f"seed={seed}", *asked.words]
        budgets = [asked.steps] if asked.steps else [float(text) for text in asked.budgets.split(",")]
        for budget in budgets:
            name = f"{budget:g} {'steps' if asked.steps else 'CPU s'}, seed {seed}"
            steps = asked.steps or steps_for(budget, words)
            results[name] = row(train(*words, f"steps={steps}"), words, asked.n)
            show(name, results[name])
    save(asked.json, results)


if __name__ == "__main__":
    main()
