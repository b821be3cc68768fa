"""Quality and variety of pictures in 1 to 25 steps, with and without ``model.shortcut=true``.

    python benchmarks/few_steps.py [--data ROOT] [--seconds 100] [--n 1000] [--json OUT] [words ...]

Three models are trained for the same CPU seconds of one thread: ``plain``, ``shortcut``, and ``further``, which is a
plain one that was trained further with shortcut for the last 40 % of the time. Numbers of steps follow from that of the
first and from the CPU seconds that a step takes longer, measured in turns, because a busy machine changes them.

Captions that each name many pictures: combinations of the toy world and, with ``--data`` (a folder with
``FashionMNIST/raw``), the ten classes of Fashion-MNIST. A picture in few steps can look right and lack variety, so each
row has a quality and a spread.

toy world, 16 x 16 pixels: share of samples of held-out combinations that are drawn cleanly (``strict``), and the
standard deviation of their places in pixels; 160 prompts. Fashion-MNIST: Frechet distance to test images in the
features of a classifier, precision and recall (``image_scores.py``). Both: root mean square difference of two seeds of
a prompt, in 0..1.
"""

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from common import QUIET, save, steps_for, train
from image_quality import load_splits, write_idx_files
from image_scores import ImageScores
from image_world import score

import genai
from genai.cli.compose import compose
from genai.core.batch import Batch
from genai.core.errors import UserError
from genai.core.instantiate import instantiate
from genai.inference.build import build_method
from genai.methods.diffusion import Diffusion
from genai.metrics.image.picture_texture import flat_share, pixel_distances
from genai.modalities.base import Modality
from genai.networks.layers import fast_bfloat16

STEPS = (1, 2, 4, 8, 25)
NUM_PAIRS = 128
"""Prompts that are sampled with two seeds."""
SHORTCUT = "model.shortcut=true"
FIRST_PART = 0.6
"""Part of the time in which ``further`` is trained as a plain model."""
Sampled = dict[str, Any]


def sample_pixels(model: Any, prompts: list[str], steps: int) -> tuple[torch.Tensor, float, float]:
    """Return samples of ``prompts`` (n, channels, height, width), the spread of two seeds, samples in a CPU second."""
    start = time.process_time()
    pictures = model.sample(prompts, steps=steps, batch=128)
    rate = len(prompts) / (time.process_time() - start)
    first = prompts[:NUM_PAIRS]
    others = model.sample(first, seed=10**6, steps=steps, batch=128)
    pixels, repeats = (torch.stack([model.modality.encode(each) for each in part]) for part in (pictures, others))
    return pixels, float(pixel_distances(pixels[: len(first)], repeats).mean()), rate


def score_fashion(model: Any, scorer: ImageScores, prompts: list[str], steps: int) -> Sampled:
    """Return the scores of Fashion-MNIST."""
    pixels, spread, rate = sample_pixels(model, prompts, steps)
    scores = scorer.scores(pixels)
    named = {name: scores[name] for name in ("frechet", "precision", "recall")}
    accuracy = scorer.class_accuracy(pixels, prompts)
    return named | {"class_right": accuracy, "rms": spread, "flat": float(flat_share(pixels).mean()), "rate": rate}


def score_world(model: Any, words: list[str], n: int, steps: int) -> Sampled:
    """Return the scores of the toy world."""
    results = score(model, words, n, steps=steps)
    prompts = [f"a {color} {shape}" for color in ("red", "blue", "green", "yellow") for shape in ("circle", "square")]
    _, spread, rate = sample_pixels(model, prompts * (NUM_PAIRS // len(prompts)), steps)
    names = ("strict_held_out", "strict", "place_spread", "place_spread_of_real")
    return {name: results.get(name) for name in names} | {"rms": spread, "rate": rate}


def step_method(words: list[str]) -> tuple[Diffusion, Batch]:
    """Return an untrained method, and random examples."""
    values = compose("train", words).values
    modality = instantiate(values["modality"], Modality, "modality")  # type: ignore[type-abstract]
    method: Any = build_method(values["model"], modality).train()
    if method.uses_average:
        method.set_average(copy.deepcopy(method.ema_module).requires_grad_(False))
    pixels = torch.randint(0, 256, (values["batch"], *modality.shape)).to(torch.uint8)  # type: ignore[attr-defined]
    return method, Batch(pixels, ["a"] * len(pixels))


def extra_seconds(words: list[str], repeats: int = 12) -> float:
    """Return how many CPU seconds longer a loss and its gradient take with shortcut."""
    pairs, times = [step_method(words), step_method([*words, SHORTCUT])], [[], []]
    for _ in range(repeats + 2):
        for (method, batch), each in zip(pairs, times, strict=True):
            start = time.process_time()
            with torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16("cpu")):
                loss = method.loss(batch)["loss"]
            loss.backward()
            each.append(time.process_time() - start)
    first, second = (statistics.median(each[2:]) for each in times)
    return second - first


def train_further(words: list[str], first_steps: int, steps: int) -> tuple[Any, float]:
    """Train a plain model, then the same with shortcut; return it and all CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        shared = [*words, *QUIET, f"runs={folder}"]
        first = genai.fit(*shared, f"steps={first_steps}")
        model = genai.fit(*shared, SHORTCUT, f"init_from={first.run.folder}", f"steps={steps}")
    return model, first.record["cpu_seconds"] + model.record["cpu_seconds"]


def train_all(words: list[str], seconds: float) -> Iterator[tuple[str, Any, float]]:
    """Yield the name, the model and the CPU seconds of each training."""
    plain_steps = steps_for(seconds, words)
    shortcut_steps = seconds / (seconds / plain_steps + extra_seconds(words))
    for name, more, steps in (("plain", [], plain_steps), ("shortcut", [SHORTCUT], round(shortcut_steps))):
        model = train(*words, *more, f"steps={steps}")
        yield name, model, model.record["cpu_seconds"]
    parts = round(FIRST_PART * plain_steps), round((1 - FIRST_PART) * shortcut_steps)
    yield "further", *train_further(words, *parts)


def compare(name: str, words: list[str], seconds: float, evaluate: Callable[[Any, int], Sampled]) -> dict[str, Any]:
    """Train each model for the same CPU seconds; print and return its scores at each number of steps."""
    results: dict[str, Any] = {}
    for kind, model, cpu_seconds in train_all(words, seconds):
        trained = results[kind] = {"steps": model.record["steps"], "cpu_seconds": cpu_seconds}
        print(f"{name}, {kind}: {trained['steps']} steps, {cpu_seconds:.0f} CPU s", flush=True)
        for steps in STEPS:
            scores = trained[f"{steps} steps"] = evaluate(model, steps)
            line = "  ".join(f"{key} {value:.3f}" for key, value in scores.items() if value is not None)
            print(f"  {steps:>2} steps  {line}", flush=True)
    return results


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with FashionMNIST/raw")
    parser.add_argument("--seconds", type=float, default=100, help="CPU seconds of each training")
    parser.add_argument("--n", type=int, default=1000, help="samples of Fashion-MNIST")
    parser.add_argument("--only", choices=["toy world", "Fashion-MNIST"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="other settings: model.sampling.guidance=1.6")
    args = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    shared = ["trainer=cpu", "trainer.threads=1", *args.words]
    results: dict[str, Any] = {}
    if args.only != "Fashion-MNIST":
        words = ["modality=image", "modality.size=16", *shared]
        results["toy world"] = compare(
            "toy world", words, args.seconds, lambda model, steps: score_world(model, words, 160, steps)
        )
    if args.data and args.only != "toy world":
        with tempfile.TemporaryDirectory() as folder:
            write_idx_files(args.data, Path(folder), development=False)
            train_split, val_split, packed = load_splits(Path(folder))
            scorer = ImageScores(train_split.pixels, train_split.prompts, val_split.pixels, val_split.prompts, packed)
            prompts = val_split.prompts[: args.n]
            words = ["experiment=fashion_mnist", f"data.path={folder}", *shared]
            results["Fashion-MNIST"] = compare(
                "Fashion-MNIST", words, args.seconds, lambda model, steps: score_fashion(model, scorer, prompts, steps)
            )
    save(args.json, results)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from error
