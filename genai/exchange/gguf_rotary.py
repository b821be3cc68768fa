"""Rotary embeddings in GGUF files: their metadata and factors, to and from the ``rope_parameters`` of transformers."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from genai.core.errors import UserError, short_repr
from genai.exchange.families import Arguments
from genai.networks.rotary import rotary_frequencies

FACTORS = "rope_freqs.weight"
"""Tensor (head_width / 2,) by which llama.cpp divides the frequencies: all that a file has of ``llama3`` scaling."""
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""Values of ``llama3`` scaling besides its factor, in all Llamas from 3.1 on."""
YARN = {
    "original_max_position_embeddings": "original_context_length",
    "beta_fast": "yarn_beta_fast",
    "beta_slow": "yarn_beta_slow",
}
"""Values of ``yarn`` scaling by their names in metadata, after ``rope.scaling.``."""
MAX_FACTOR = 1e6
TOLERANCE = 1e-4
"""Largest relative difference of factors; files have them in float32."""


class Rope(Protocol):
    """Metadata after the name of the architecture."""

    def __call__(self, name: str) -> Any:
        """Return the value ``name``, or ``None``."""


def read_rope(get: Rope, factors: Tensor | None, head_width: int) -> dict[str, Any]:
    """Return ``rope_parameters``.

    Args:
        get: returns a value of the metadata.
        factors: the tensor ``FACTORS``, if there is one.
        head_width: channels of a head.

    Raises:
        UserError: the factors are not those of ``llama3`` scaling.
    """
    rope = {"rope_theta": get("rope.freq_base") or 10_000.0, "rope_type": "default"}
    kind = get("rope.scaling.type")
    if factors is not None:
        return rope | _llama3(factors, rope["rope_theta"], head_width)
    if kind in (None, "none"):
        return rope
    rope |= {"rope_type": kind, "factor": get("rope.scaling.factor")}
    values = {name: get(f"rope.scaling.{key}") for name, key in YARN.items()}
    values["original_max_position_embeddings"] = values["original_max_position_embeddings"] or get("context_length")
    return rope | {name: value for name, value in values.items() if value is not None}


def _llama3(factors: Tensor, base: Any, head_width: int) -> dict[str, Any]:
    """Return the scaling that has these factors: one for low frequencies, 1 for high ones, between them a ramp."""
    largest = float(factors.max()) if factors.shape == (head_width // 2,) and isinstance(base, int | float) else 0.0
    scaling = {"rope_type": "llama3", "factor": largest, **LLAMA3}
    if (
        1 < largest < MAX_FACTOR
        and base > 1
        and torch.allclose(llama3_factors(head_width, base, scaling), factors, rtol=TOLERANCE)
    ):
        return scaling
    if largest == 1 and float(factors.min()) == 1:
        return {}
    raise UserError(
        f"{FACTORS}: these factors of rotary frequencies are not supported; only those of Llama 3 are "
        f"({', '.join(f'{name} {value:g}' for name, value in LLAMA3.items())})."
    )


def llama3_factors(head_width: int, base: float, scaling: Mapping[str, Any]) -> Tensor:
    """Return how many times slower each pair of channels turns than without scaling: (head_width / 2,)."""
    return rotary_frequencies(head_width, base) / rotary_frequencies(head_width, base, scaling)


def rope_metadata(arguments: Arguments) -> tuple[dict[str, Any], Tensor | None]:
    """Return the scaling of a ``GPT`` as metadata after the name of the architecture, and the tensor ``FACTORS``.

    Raises:
        UserError: llama.cpp has no such scaling.
    """
    scaling = {name: value for name, value in (arguments["rotary_scaling"] or {}).items() if value is not None}
    kind = scaling.get("rope_type", "default")
    if kind == "default":
        return {}, None
    if kind == "llama3":
        return {}, llama3_factors(arguments["head_width"], arguments["rotary_base"], scaling)
    known = {"rope_type", "factor", "truncate", *YARN}
    if kind == "yarn" and (not scaling.get("truncate", True) or not known.issuperset(scaling)):
        wrong = next((name for name in scaling if name not in known), "truncate")
        raise UserError(f"format=gguf: llama.cpp has no {wrong}={short_repr(scaling[wrong])} of yarn scaling.")
    values = {"type": kind, "factor": float(scaling["factor"])}
    if kind == "yarn":
        values |= {key: scaling[name] for name, key in YARN.items() if name in scaling}
        values |= {key: float(values[key]) for key in ("yarn_beta_fast", "yarn_beta_slow") if key in values}
    return {f"rope.scaling.{name}": value for name, value in values.items()}, None
