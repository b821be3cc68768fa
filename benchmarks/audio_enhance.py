"""Speech enhancement: quality compared with a Wiener filter, and speed compared with real time.

    python benchmarks/audio_enhance.py [--minutes 3] [--data FOLDER] [--seed 0] [--threads 1] [--n 96] [--json OUT]

Trains ``model=enhancer`` on clean speech (``--data``, split as by ``data=audio_folder``: the sub-folders train/ and
test/ are the splits; without it on the sounds of the toy world). Then it tests the model on held-out sound with new
degradation of the same kinds: the scores of ``genai.evaluate`` for the noisy input, a Wiener filter and the model.
Speed is measured on 30 s of sound at 16 kHz, on one thread, in CPU time.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import save, train

from genai.cli.compose import compose
from genai.core.batch import Request
from genai.core.data import Source
from genai.core.instantiate import instantiate
from genai.inference.build import build_method
from genai.metrics.audio.enhancement import score_conditions
from genai.metrics.base import EvalContext
from genai.modalities.base import Modality

SYSTEMS = {"noisy": "noisy", "wiener": "Wiener", "restored": "ours"}


def score(model: Any, words: list[str], n: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return the mean of each score: condition -> system -> score name -> value."""
    source = instantiate(compose("train", words).values["data"], Source, "data")  # type: ignore[type-abstract]
    scores = score_conditions(EvalContext(model, source, n=n, seed=1))
    return {
        f"{kind} {ratio} dB": {
            system: {name: round(float(np.nanmean(values)), 3) for name, values in means.items()}
            for system, means in systems.items()
        }
        for (kind, ratio), systems in scores.items()
    }


def real_time_factor(words: list[str], sample_rate: int = 16_000, seconds: int = 30) -> float:
    """Return the seconds of sound that one core processes per second."""
    values = compose("train", [*words, f"modality.sample_rate={sample_rate}"]).values
    modality = instantiate(values["modality"], Modality, "modality")  # type: ignore[type-abstract]
    method = build_method(values["model"], modality).eval()
    request = Request([""], [0], (sample_rate * seconds,), init=[torch.randn(sample_rate * seconds)])
    options = method.Options()
    torch.set_num_threads(1)
    method.sample(request, options)
    start = time.process_time()
    method.sample(request, options)
    return seconds / (time.process_time() - start)


def print_scores(scores: dict[str, dict[str, dict[str, float]]]) -> None:
    names = list(next(iter(scores.values()))["noisy"])
    print(f"{'':<18}" + "".join(f"{f'{name} {label}':>15}" for name in names for label in SYSTEMS.values()))
    for condition, systems in scores.items():
        print(f"{condition:<18}" + "".join(f"{systems[system][name]:>15.3f}" for name in names for system in SYSTEMS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--data", help="a folder of clean speech")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--n", type=int, default=96, help="test clips of 3 s, over all conditions")
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="other settings: model.spectral=10")
    args = parser.parse_args()
    data = ["data=audio_folder", f"data.path={args.data}"] if args.data else ["data=world"]
    words = ["modality=audio", "model=enhancer", *data, f"seed={args.seed}", *args.words]
    model = train(*words, "trainer=cpu", f"trainer.threads={args.threads}", f"minutes={args.minutes}")
    scores, speed = score(model, words, args.n), real_time_factor(words)
    costs = {key: model.record[key] for key in ("steps", "seconds", "cpu_seconds")}
    print(f"{costs['steps']} steps, {costs['seconds']:.0f} s, {costs['cpu_seconds']:.0f} CPU s")
    print_scores(scores)
    print(f"{speed:.1f} x real time at 16 kHz on one core")
    save(args.json, {**costs, "scores": scores, "real_time": round(speed, 1)})


if __name__ == "__main__":
    main()
