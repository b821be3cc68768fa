"""Samples pictures from the .onnx files of this folder. Needs numpy, onnxruntime and pillow.

    python sample.py "a red circle" --n 4 --seed 0

``genai`` makes the same pictures from the same prompt, seed and options: noise is computed as ``torch.randn`` does.
This script is a part of genai, MIT License, Copyright (c) genai contributors.
"""

import argparse
import html
import json
import math
import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

Array = NDArray[Any]
Denoise = Callable[[Array, float], Array]
"""(x_t, t) -> predicted data"""
MIN_LOG_RATIO = -7.0
EARLY_TIME = 0.95
NO_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


class ImageSampler:
    """A model of a folder.

    Args:
        folder: where ``config.json`` and the graphs are.
        threads: of onnxruntime; 0: as many as there are cores.
    """

    def __init__(self, folder: Path, threads: int = 0) -> None:
        import onnxruntime

        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.sessions = {
            file.stem: onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
            for file in sorted(folder.glob("*.onnx"))
        }

    def run(self, name: str, *inputs: Array) -> list[Array]:
        """Compute the outputs of a graph from its inputs, in their order."""
        session = self.sessions[name]
        outputs: list[Array] = session.run(
            None, dict(zip([each.name for each in session.get_inputs()], inputs, strict=True))
        )
        return outputs

    def sample(self, prompts: Sequence[str], seeds: Sequence[int], **options: Any) -> Array:
        """Return pictures (items, height, width, channels), uint8, one of each prompt and seed."""
        values = {**self.config["options"], **options}
        noise = np.stack([normal(generator(seed), self.config["input_shape"]) for seed in seeds])
        if self.config["method"] == "gan":
            data = self.run("generator", np.float32(values["truncation"]) * noise, *self.encode(prompts))[0]
        else:
            data = self.denoise(noise, prompts, seeds, values)
        return self.run("decoder", data)[0].transpose(0, 2, 3, 1)

    def denoise(self, noise: Array, prompts: Sequence[str], seeds: Sequence[int], options: dict[str, Any]) -> Array:
        """Return the data (items, ...) that the sampler finds."""
        shift = self.config["shift"] if options["shift"] is None else options["shift"]
        even = [1 - step / options["steps"] for step in range(options["steps"] + 1)]
        times = [shift * t / (1 + (shift - 1) * t) for t in even]
        has_prompts = self.config["prompt"] is not None
        scales: dict[float, list[Array]] = {}

        def denoise(x: Array, t: float) -> Array:
            scale = guidance_at(options, t) if has_prompts else 1.0
            terms = [(factor, used) for factor, used in ((scale, True), (1 - scale, False)) if factor]
            if scale not in scales:
                texts = [prompt if used else "" for _, used in terms for prompt in prompts]
                scales[scale] = self.encode(texts)
            count = len(terms) * len(x)
            inputs = np.concatenate([x] * len(terms)), np.full(count, t, np.float32)
            predicted = np.split(self.run("denoiser", *inputs, *scales[scale])[0], len(terms))
            return combine([factor for factor, _ in terms], predicted, options["guidance_rescale"])

        return SAMPLERS[options["sampler"]](denoise, noise, times, noise_sampler(seeds))

    def encode(self, prompts: Sequence[str]) -> list[Array]:
        """Return what the text encoder makes of prompts; nothing if the model takes none."""
        rules = self.config["prompt"]
        return [] if rules is None else self.run("text_encoder", word_ids(prompts, **rules))


# -------------------------------------------------------------------------------------------------------------- words


def word_ids(prompts: Sequence[str], rows: int, max_words: int, segmentation: str) -> Array:
    """Return the rows of words in two tables, (prompts, words, 2), padded with ``rows``."""
    lines = [["", *split_words(prompt, segmentation)[:max_words]] for prompt in prompts]
    ids = np.full((len(lines), max(map(len, lines)), 2), rows, np.int32)
    for item, line in enumerate(lines):
        for place, word in enumerate(line):
            ids[item, place] = [crc32(salt + word.encode()) % rows for salt in (b"", b"again ")]
    return ids


def split_words(prompt: str, segmentation: str) -> list[str]:
    """Split into lower-case words and punctuation marks; with ``unicode`` also where a script has no spaces."""
    prompt = prompt.lower()
    if segmentation == "spaces" or prompt.isascii():
        return re.findall(r"\w+|[^\w\s]", prompt)
    words, joins = list[str](), False
    for character in unicodedata.normalize("NFC", prompt):
        is_letter = character.isalnum() or character == "_"
        is_mark, has_spaces = unicodedata.category(character).startswith("M"), not NO_SPACES.match(character)
        if words and (is_mark or (joins and has_spaces and is_letter)):
            words[-1] += character
        elif not character.isspace():
            words.append(character)
        joins = (is_mark and joins) or (has_spaces and is_letter)
    return words


# -------------------------------------------------------------------------------------------------------------- noise


def generator(seed: int) -> np.random.RandomState:
    """Return the generator MT19937 that ``torch.Generator().manual_seed(seed)`` is."""
    return np.random.RandomState(seed % 2**32)


def normal(random: np.random.RandomState, shape: Sequence[int]) -> Array:
    """Draw normal noise like ``torch.randn`` on a CPU, from 16 values on: Box and Muller, 16 values at a time."""
    count = math.prod(shape)
    uniform = _uniform(random, count)
    noise = np.empty(count, np.float32)
    whole = count - count % 16
    noise[:whole] = _as_normal(uniform[:whole])
    if count % 16:
        noise[-16:] = _as_normal(_uniform(random, 16))
    return noise.reshape(*shape)


def _uniform(random: np.random.RandomState, count: int) -> Array:
    integers = random.randint(0, 2**32, count, np.uint32)
    return (integers & np.uint32(2**24 - 1)).astype(np.float32) * np.float32(2**-24)


def _as_normal(uniform: Array) -> Array:
    """Turn eight and eight uniform numbers into sixteen normal ones (Box and Muller 1958)."""
    first, second = uniform.reshape(-1, 2, 8).transpose(1, 0, 2)
    radius, angle = np.sqrt(-2 * np.log(1 - first)), np.float32(2 * np.pi) * second
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).ravel()


def noise_sampler(seeds: Sequence[int]) -> Callable[[Array], Array]:
    """Return a function that draws noise in the shape of its argument (items, ...), new at each call."""
    step_seeds = [int(generator(seed).randint(0, 2**32, 2, np.uint32)[1]) for seed in seeds]
    generators = [generator(seed) for seed in step_seeds]
    return lambda x: np.stack([normal(random, x.shape[1:]) for random in generators])


# ----------------------------------------------------------------------------------------------- guidance and samplers


def guidance_at(options: dict[str, Any], t: float) -> float:
    """Return the guidance scale of the prompt at time ``t``."""
    if options["early_guidance"] is not None and t > EARLY_TIME:
        return float(options["early_guidance"])
    return float(options["guidance"]) if options["guidance_until"] <= t <= options["guidance_from"] else 1.0


def combine(factors: Sequence[float], predicted: Sequence[Array], rescale: float) -> Array:
    """Return the weighted sum of predictions, with their contrast moved toward that of the first one."""
    total = sum((factor * x for factor, x in zip(factors, predicted, strict=True)), np.zeros_like(predicted[0]))
    if rescale == 0 or len(factors) == 1:
        return total
    axes = tuple(range(1, total.ndim))
    conditional_std, guided_std = (x.std(axes, ddof=1, keepdims=True) for x in (predicted[0], total))
    return total * (1 + rescale * (conditional_std / guided_std.clip(1e-6) - 1))


def euler(denoise: Denoise, x: Array, times: Sequence[float], sample_noise: Callable[[Array], Array]) -> Array:
    """Euler steps along the velocity."""
    for start, end in pairwise(times):
        x = x + (end - start) * (x - denoise(x, start)) / start
    return x


def euler_ancestral(
    denoise: Denoise, x: Array, times: Sequence[float], sample_noise: Callable[[Array], Array]
) -> Array:
    """Euler steps that replace a part of the noise."""
    for start, end in pairwise(times):
        predicted = denoise(x, start)
        ratio = end * (1 - start) / (start * (1 - end))
        noise = ratio * (x - (1 - start) * predicted) / start
        if end > 0:
            noise = noise + math.sqrt(1 - ratio**2) * sample_noise(x)
        x = (1 - end) * predicted + end * noise
    return x


def heun(denoise: Denoise, x: Array, times: Sequence[float], sample_noise: Callable[[Array], Array]) -> Array:
    """Steps along the mean velocity of both ends."""
    for start, end in pairwise(times):
        velocity = (x - denoise(x, start)) / start
        if end > 0:
            x_end = x + (end - start) * velocity
            velocity = (velocity + (x_end - denoise(x_end, end)) / end) / 2
        x = x + (end - start) * velocity
    return x


def dpmpp_2m(denoise: Denoise, x: Array, times: Sequence[float], sample_noise: Callable[[Array], Array]) -> Array:
    """Second-order multistep solver, DPM-Solver++(2M)."""
    log_ratio = [math.log((1 - t) / t) if 0 < t < 1 else MIN_LOG_RATIO for t in times]
    previous, previous_width = None, 0.0
    for index, (start, end) in enumerate(pairwise(times)):
        predicted = blend = denoise(x, start)
        if end > 0:
            width = log_ratio[index + 1] - log_ratio[index]
            if previous is not None:
                blend = predicted + (predicted - previous) * (width / (2 * previous_width))
            previous_width = max(width, 1.0) if start == 1 else width
        x = x * (end / start) + blend * (1 - end / start)
        previous = predicted
    return x


SAMPLERS = {"euler": euler, "euler_ancestral": euler_ancestral, "heun": heun, "dpmpp_2m": dpmpp_2m}


# --------------------------------------------------------------------------------------------------------------- files


def save(picture: Array, folder: Path, xmp: str, recipe: dict[str, Any]) -> Path:
    """Write a PNG whose metadata say that a model made it, and from which seed and options.

    It is whole or not there, and takes the number after the highest one of the folder: nothing is overwritten.

    Returns:
        Its path.
    """
    metadata = PngImagePlugin.PngInfo()
    value = html.escape(json.dumps(recipe))
    metadata.add_itxt("XML:com.adobe.xmp", xmp.replace("/></rdf:RDF>", f' genai:Recipe="{value}"/></rdf:RDF>'))
    partial = folder / f".{os.getpid()}.partial"
    image = Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture)
    try:
        image.save(partial, format="PNG", pnginfo=metadata)
        path = reserve(folder)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def reserve(folder: Path) -> Path:
    """Return the next picture of a folder, as an empty file that no other process gets."""
    number = 1 + max((int(file.stem) for file in folder.glob("*.png") if file.stem.isdecimal()), default=-1)
    while True:
        path = folder / f"{number:03}.png"
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            return path


def main() -> None:
    """Sample from the command line."""
    folder = Path(__file__).resolve().parent
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=f"Samples pictures: {config['name']}.")
    parser.add_argument("prompt", nargs="?", default="")
    parser.add_argument("--n", type=int, default=1, help="number of pictures")
    parser.add_argument("--seed", type=int, default=0, help="of the first picture; the next has the next one")
    parser.add_argument("--out", type=Path, default=Path("samples"), help="folder of the pictures; those in it stay")
    parser.add_argument("--threads", type=int, default=0, help="of onnxruntime; 0: all cores")
    for name, value in config["options"].items():
        kind = {"sampler": str, "steps": int}.get(name, float)
        choices = list(SAMPLERS) if name == "sampler" else None
        parser.add_argument(f"--{name}", type=kind, default=value, choices=choices, help=f"default: {value}")
    values = vars(parser.parse_args())
    options = {name: values[name] for name in config["options"]}
    if values["n"] < 1 or values["seed"] < 0 or options.get("steps", 1) < 1:
        parser.error("--n and --steps are 1 or more, --seed is 0 or more")
    seeds = [values["seed"] + index for index in range(values["n"])]
    values["out"].mkdir(parents=True, exist_ok=True)
    pictures = ImageSampler(folder, values["threads"]).sample([values["prompt"]] * len(seeds), seeds, **options)
    for seed, picture in zip(seeds, pictures, strict=True):
        print(save(picture, values["out"], config["xmp"], {"seed": seed, "options": options}))


if __name__ == "__main__":
    main()
