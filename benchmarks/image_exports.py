"""What an image model costs as ONNX: seconds to export, MB, milliseconds per picture beside torch, differences.

    python benchmarks/image_exports.py

Models have the default sizes and random weights: the time does not depend on them. One thread; CPU time.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

import genai.methods.diffusion as diffusion
from genai.cli.compose import compose
from genai.core.instantiate import instantiate
from genai.exchange.onnx_export import export_onnx
from genai.exchange.onnx_sample import ImageSampler
from genai.inference.build import build_method
from genai.inference.model import Model
from genai.modalities.base import Modality
from genai.trust.label import Label

MODELS = {
    "32 x 32, pixels": (),
    "64 x 64, pixels": ("modality.size=64",),
    "64 x 64, codec=pca": ("modality.size=64", "codec=pca"),
    "64 x 64, codec=pca, words": ("modality.size=64", "codec=pca", "model.network.word_width=64"),
    "64 x 64, GAN": ("modality.size=64", "model=gan"),
}
PICTURES, PROMPT = 8, "a small red circle on the left"


def build(words: tuple[str, ...]) -> Model:
    """Return a model whose layers all do something."""
    config = compose("train", ["modality=image", *words]).values
    modality = instantiate(config["modality"], Modality, "modality")  # type: ignore[type-abstract]
    torch.manual_seed(0)
    method = build_method(config["model"], modality)
    for parameter in method.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return Model(modality, method.eval())


def sample_torch(model: Model, seed: int) -> Any:
    """Sample with torch."""
    return model.sample(PROMPT, seed=seed)


def sample_onnx(sampler: ImageSampler, seed: int) -> Any:
    """Sample with onnxruntime."""
    return sampler.sample([PROMPT], [seed])


def measure(sample: Callable[[int], Any]) -> float:
    """Return the median CPU milliseconds of a picture."""
    times = []
    for seed in range(PICTURES + 1):
        start = time.process_time()
        sample(seed)
        times.append(1e3 * (time.process_time() - start))
    return float(np.median(times[1:]))


def main() -> None:
    """Print a table."""
    torch.set_num_threads(1)
    fast = diffusion.fast_bfloat16("cpu")
    print(f"10 steps, guidance 2; torch in bfloat16 by default here: {fast}")
    print(
        "| model | export, s | MB | torch float32, ms | torch default, ms | onnxruntime, ms | difference (bfloat16) |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, words in MODELS.items():
        model = build(words)
        with TemporaryDirectory() as place:
            folder = Path(place)
            start = time.process_time()
            export_onnx(model.modality, model.method, folder, Label("model", ""), [], "")
            seconds = time.process_time() - start
            size = sum(file.stat().st_size for file in folder.glob("*.onnx")) / 1e6
            sampler = ImageSampler(folder, 1)
            speeds, pictures = [], []
            for is_fast in (False, fast):
                diffusion.fast_bfloat16 = lambda device, is_fast=is_fast: is_fast  # type: ignore[assignment]
                speeds.append(measure(partial(sample_torch, model)))
                pictures.append(np.asarray(model.sample(PROMPT, seed=1)[0].image).astype(int))
            speeds.append(measure(partial(sample_onnx, sampler)))
            found = sampler.sample([PROMPT], [1])[0].reshape(pictures[0].shape)
        cells = " | ".join(f"{speed:.0f}" for speed in speeds)
        first, second = (int(np.abs(found - picture).max()) for picture in pictures)
        print(f"| {name} | {seconds:.1f} | {size:.1f} | {cells} | {first} ({second}) |", flush=True)


if __name__ == "__main__":
    main()
