"""How near enlarged pictures come to real ones: PSNR of the mean, of samples and of bicubic enlargement; sharpness."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genai.core.batch import Request, spaced_indices
from genai.core.progress import ProgressBar
from genai.media.picture import Picture
from genai.methods.psnr import psnr
from genai.methods.upscale import Upscale
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.image.picture_texture import gradient_energy

SAMPLE_STEPS = 8
"""Steps of samples that are compared with the mean, unless ``steps=`` asks for others."""


class Upscaling(Metric):
    """Scores of held-out pictures that were made small and enlarged again."""

    media = Picture

    def unsupported_reason(self, model: Any) -> str:
        return "" if isinstance(model.method, Upscale) else "the model does not enlarge pictures (model=upscale)"

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``psnr``, of one step, ``psnr_sample``, of several, ``psnr_bicubic``, and the sharpness of each."""
        real, images = enlarge_held_out(context)
        energy = gradient_energy(real).mean()
        results = {}
        for name, (pixels, description) in images.items():
            values, ratio = psnr(pixels, real).numpy(), float(gradient_energy(pixels).mean() / energy.clamp(min=1e-9))
            error = float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
            results[f"psnr{name}"] = Result(float(values.mean()), f"PSNR in dB of {description}", error)
            results[f"sharpness{name}"] = Result(
                ratio, f"squared steps between neighboring pixels, of {description}", reference=1.0
            )
        return results


def enlarge_held_out(context: EvalContext) -> tuple[Tensor, Mapping[str, tuple[Tensor, str]]]:
    """Return held-out pictures, and enlarged ones with a description, by the suffix of their results."""
    model = context.model
    method = model.method.eval()
    assert isinstance(method, Upscale)
    _, options = model.build_options(context.options)
    mean = replace(options, steps=1)
    sample = options if options.steps > 1 else replace(options, steps=SAMPLE_STEPS)
    parts: dict[str, list[Tensor]] = {"real": [], "": [], "_sample": [], "_bicubic": []}
    indices = spaced_indices(len(context.val), context.n)
    with ProgressBar("enlarged pictures", len(indices)) as bar:
        for index in indices:
            real = context.val.batch([index], None).x
            small = method.degrade(real)
            request = Request([""], [context.seed + index], tuple(real.shape[1:]), init=[small[0]])
            parts["real"].append(real)
            parts[""].append(torch.stack(method.sample(request, mean)))
            parts["_sample"].append(torch.stack(method.sample(request, sample)))
            parts["_bicubic"].append(method.bicubic(small))
            bar.step()
    descriptions = {
        "": "one step, which makes the mean of what it can be",
        "_sample": f"samples of {sample.steps} steps",
        "_bicubic": "bicubic enlargement",
    }
    return torch.cat(parts["real"]), {name: (torch.cat(parts[name]), text) for name, text in descriptions.items()}
