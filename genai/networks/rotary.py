"""Rotary position embeddings (RoFormer, arXiv:2104.09864), and how they are stretched to longer contexts."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from genai.networks.layers import apply_rotary

SCALINGS = ("linear", "llama3", "yarn")
"""Values of ``rope_type``, besides ``default``."""


def rotary_frequencies(
    width: int, base: float = 10_000.0, scaling: Mapping[str, Any] | None = None, device: torch.device | None = None
) -> Tensor:
    """Return the angle per position of each pair of channels: (width / 2,).

    Args:
        width: number of rotated channels.
        base: wavelengths grow up to ``2 pi base``.
        scaling: ``rope_type``, ``factor`` and further values, as in a ``config.json`` of transformers; ``None``: none.

    Raises:
        ValueError: an unknown ``rope_type``, or a value is missing or no number.
    """
    if device is None and torch.get_default_device().type == "meta":
        # arithmetic on the meta device imports torch's compiler, which takes a second
        return rotary_frequencies(width, base, scaling, torch.device("cpu")).to("meta")
    exponents = torch.arange(0, width, 2, device=device, dtype=torch.float32) / width
    frequencies = base**-exponents
    kind = (scaling or {}).get("rope_type", "default")
    if scaling is None or kind == "default":
        return frequencies
    if kind not in SCALINGS:
        raise ValueError(f"rope_type={kind!r} is not supported; there are: default, {', '.join(SCALINGS)}")
    scaling = {name: value for name, value in scaling.items() if value is not None}
    if wrong := next(
        (name for name in scaling if name != "rope_type" and not isinstance(scaling[name], int | float)), ""
    ):
        raise ValueError(f"rope_type={kind}: {wrong}={scaling[wrong]!r} should be a number")
    try:
        slow = frequencies / float(scaling["factor"])
        if kind == "linear":  # Chen et al. 2023, arXiv:2306.15595
            return slow
        fraction = (
            _llama3_fraction(frequencies, scaling) if kind == "llama3" else _yarn_fraction(width, base, scaling, device)
        )
    except KeyError as error:
        raise ValueError(f"rope_type={kind} needs {error.args[0]}") from None
    return slow * (1 - fraction) + frequencies * fraction


def rotary_magnitude(scaling: Mapping[str, Any] | None) -> float:
    """Return the factor of queries and keys that goes with the scaling: YaRN's sqrt(1/t), 1 for others."""
    if scaling is None or scaling.get("rope_type") != "yarn":
        return 1.0
    if scaling.get("attention_factor") is not None:
        return float(scaling["attention_factor"])
    factor = float(scaling["factor"])
    if scaling.get("mscale") and scaling.get("mscale_all_dim"):
        return _yarn_magnitude(factor, scaling["mscale"]) / _yarn_magnitude(factor, scaling["mscale_all_dim"])
    return _yarn_magnitude(factor, 1.0)


def apply_partial_rotary(x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate as many first channels of ``x`` (..., positions, channels) as ``angles``, (cos, sin), are for."""
    width = 2 * angles[0].shape[-1]
    if width in (0, x.shape[-1]):
        return apply_rotary(x, angles) if width else x
    return torch.cat([apply_rotary(x[..., :width], angles), x[..., width:]], -1)


def _llama3_fraction(frequencies: Tensor, scaling: Mapping[str, Any]) -> Tensor:
    """Return how much of each frequency stays: all of the high ones, nothing of the low ones (Llama 3.1)."""
    low, high = float(scaling["low_freq_factor"]), float(scaling["high_freq_factor"])
    turns = float(scaling["original_max_position_embeddings"]) * frequencies / (2 * math.pi)
    return ((turns - low) / (high - low)).clamp(0, 1)


def _yarn_fraction(width: int, base: float, scaling: Mapping[str, Any], device: torch.device | None) -> Tensor:
    """Return how much of each frequency stays (YaRN, Peng et al. 2023, arXiv:2309.00071, eq. 18 to 23)."""
    context = float(scaling["original_max_position_embeddings"])

    def pair(turns: float) -> float:
        """The pair of channels that turns so often in the original context."""
        return width * math.log(context / (turns * 2 * math.pi)) / (2 * math.log(base))

    first, last = pair(float(scaling.get("beta_fast") or 32)), pair(float(scaling.get("beta_slow") or 1))
    if scaling.get("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, width - 1)
    pairs = torch.arange(width // 2, device=device, dtype=torch.float32)
    return 1 - ((pairs - first) / max(last - first, 0.001)).clamp(0, 1)


def _yarn_magnitude(factor: float, scale: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1
