"""Is noisy speech cleaned better than a classical filter does it, and faster than it plays?

    python benchmarks/audio_enhance.py [--minutes 3] [--data FOLDER] [--seed 0] [--threads 1] [--n 96] [--json OUT]

Trains ``model=enhancer`` on clean speech (``--data``, divided as ``data=audio_folder`` does it: sub-folders train/ and
test/ are its sides; without it the sounds of the toy world), then tests it on held-out sound with fresh damage of the
same kinds: the scores of ``genai.evaluate`` of what is noisy, of a Wiener filter in the same run, and of the model.
Speed is that of 30 s at 16 kHz, from samples to samples, on one thread, by CPU time.
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
from genai.inference.model import build_method
from genai.metrics.audio.enhancement import compared
from genai.metrics.base import EvalContext
from genai.modalities.base import Modality

SIDES = {"noisy": "noisy", "wiener": "Wiener", "restored": "ours"}


def score(model: Any, words: list[str], n: int) -> dict[str, dict[str, dict[str, float]]]:
    """By condition and side, the mean of each score."""
    source = instantiate(compose("train", words).values["data"], Source, "data")  # type: ignore[type-abstract]
    found = compared(EvalContext(model, source, n=n, seed=1))
    return {
        f"{kind} {ratio} dB": {
            side: {name: round(float(np.nanmean(values)), 3) for name, values in scores.items()}
            for side, scores in sides.items()
        }
        for (kind, ratio), sides in found.items()
    }


def real_time(words: list[str], rate: int = 16_000, seconds: int = 30) -> float:
    """Seconds of sound in a second of one core."""
    values = compose("train", [*words, f"modality.rate={rate}"]).values
    modality = instantiate(values["modality"], Modality, "modality")  # type: ignore[type-abstract]
    method = build_method(values["model"], modality).eval()
    request = Request([""], [0], (rate * seconds,), init=[torch.randn(rate * seconds)])
    options = method.Options()
    torch.set_num_threads(1)
    method.sample(request, options)
    start = time.process_time()
    method.sample(request, options)
    return seconds / (time.process_time() - start)


def show(found: dict[str, dict[str, dict[str, float]]]) -> None:
    names = list(next(iter(found.values()))["noisy"])
    print(f"{'':<18}" + "".join(f"{f'{name} {said}':>15}" for name in names for said in SIDES.values()))
    for condition, sides in found.items():
        print(f"{condition:<18}" + "".join(f"{sides[side][name]:>15.3f}" for name in names for side in SIDES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--data", help="a folder of clean speech")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--n", type=int, default=96, help="tests of 3 s, over all conditions")
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="other settings: model.spectral=10")
    asked = parser.parse_args()
    data = ["data=audio_folder", f"data.path={asked.data}"] if asked.data else ["data=world"]
    words = ["modality=audio", "model=enhancer", *data, f"seed={asked.seed}", *asked.words]
    model = train(*words, "trainer=cpu", f"trainer.threads={asked.threads}", f"minutes={asked.minutes}")
    found, speed = score(model, words, asked.n), real_time(words)
    used = {key: model.record[key] for key in ("steps", "seconds", "cpu_seconds")}
    print(f"{used['steps']} steps, {used['seconds']:.0f} s, {used['cpu_seconds']:.0f} CPU s")
    show(found)
    print(f"{speed:.1f} times real time at 16 kHz on one core")
    save(asked.json, {**used, "scores": found, "real_time": round(speed, 1)})


if __name__ == "__main__":
    main()
