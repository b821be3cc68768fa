"""Rewards for a diffusion model of toy pictures, beside plain training of the same CPU seconds.

    python benchmarks/image_rewards.py [--base RUN] [--experiment NAME] [--things 1] [--seconds 60] [--seeds 0 1 2]
        [--n 160] [--json OUT] [WORDS...]

Without ``--base``, a model is trained for ``--base-seconds`` first. Then, for each seed, ``experiment=nft`` and plain
training go on from it, each for ``--seconds`` of CPU time; the numbers of steps are estimated from short runs. WORDS
are for the run with rewards: ``rewards=[attributes]``. All three models are scored on the same new prompts, of training
combinations and of held-out ones, with the default options of sampling. ``diversity`` is the distance between two
samples of a prompt, divided by that of the base. A share of 160 prompts has a standard error of up to 0.04.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import QUIET, save
from image_world import score

import genai
from genai.cli.compose import compose
from genai.core.data import Source
from genai.core.instantiate import instantiate

CPU = ("trainer=cpu", "trainer.threads=1", "trainer.precision=32-true", "logger=csv", "copying_check=false")
METRICS = ("strict", "strict_held_out", "fulfilment", "fulfilment_held_out", "binding", "place_spread")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", help="run of modality=image; default: a new one")
    parser.add_argument("--base-seconds", type=float, default=80)
    parser.add_argument("--experiment", help="that of the base, which plain training goes on with: world_two, world_64")
    parser.add_argument("--things", type=int, default=1)
    parser.add_argument("--size", type=int, default=32, help="side of the pictures, in pixels")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--n", type=int, default=160, help="prompts of each kind")
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        save(args.json, compare(args, folder))


def compare(args: argparse.Namespace, folder: str) -> dict[str, Any]:
    """Return the scores of the base, and for each seed of the models with rewards and without."""
    data = [f"data.things={args.things}", f"runs={folder}"]
    kind = f"experiment={args.experiment}" if args.experiment else "modality=image"
    plain = [kind, f"modality.size={args.size}", *data]
    base = genai.load(args.base, device="cpu") if args.base else train_for(args.base_seconds, [*CPU, *plain])
    reference = sample_distance(base, plain, args.n)
    results: dict[str, Any] = {"base": report("base", base, plain, args.n, reference)}
    assert base.run is not None
    for seed in args.seeds:
        shared = [*CPU, f"init_from={base.run.folder}", f"seed={seed}"]
        runs = {"rewards": ["experiment=nft", *data, *args.words], "plain training": plain}
        for name, words in runs.items():
            model = train_for(args.seconds, [*shared, *words])
            results[f"{name}, seed {seed}"] = report(f"{name}, seed {seed}", model, plain, args.n, reference)
    return results


def train_for(seconds: float, words: list[str]) -> Any:
    """Train for CPU seconds; the steps that they take are estimated from two short runs."""
    short, long = (genai.fit(*words, *QUIET, f"steps={steps}").record for steps in (2, 8))
    per_step = (long["cpu_seconds"] - short["cpu_seconds"]) / 6
    return genai.fit(*words, *QUIET, f"steps={max(1, round((seconds - short['cpu_seconds']) / per_step))}")


def report(name: str, model: Any, words: list[str], n: int, reference: float) -> dict[str, Any]:
    """Return the scores of a model and print the main ones."""
    record, scores = model.record, score(model, words, n)
    scores["diversity"] = round(sample_distance(model, words, n) / reference, 4)
    scores |= {"cpu_seconds": round(record["cpu_seconds"], 1), "steps": record["steps"]}
    names = ("cpu_seconds", "steps", *METRICS, "diversity")
    print(name, json.dumps({key: scores[key] for key in names if key in scores}), flush=True)
    return scores


def sample_distance(model: Any, words: list[str], n: int) -> float:
    """Return the mean root mean square difference between two samples of a prompt, in gray levels."""
    source = instantiate(compose("train", words).values["data"], Source, "data")  # type: ignore[type-abstract]
    prompts = source.prompts(source.train, n, 2)
    first, second = (
        np.stack([sample.pixels for sample in model.sample(prompts, seed=seed, batch=64)]).astype(np.float64)
        for seed in (0, 10_000)
    )
    return float(np.sqrt(np.square(first - second).mean((1, 2, 3))).mean())


if __name__ == "__main__":
    main()
