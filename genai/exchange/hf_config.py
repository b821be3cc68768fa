"""Values of a ``config.json`` of transformers: asked for with their types, and made from arguments of ``GPT``."""

from collections.abc import Mapping
from typing import Any

from genai.core.errors import UserError, short_repr, short_text

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu2": "relu2",
}
"""Activations by their names in configs."""
MAX_NUMBER = 1e30
"""Larger numbers, infinity and NaN are refused."""


class Config:
    """The values of a ``config.json``. Methods raise ``UserError`` for one that is missing or of another type."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a size, which is 1 or more."""
        value: int = self._get(name, int, default)
        if value < 1:
            raise UserError(f"config.json: {name} is {short_repr(value)}.")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        return to_float(name, self._get(name, (int, float), default))

    def flag(self, name: str, default: bool) -> bool:
        return self._get(name, bool, default)

    def optional_integer(self, name: str) -> int | None:
        return None if self.values.get(name) is None else self.integer(name)

    def activation(self, name: str) -> str:
        """Return an activation by its name in ``GPT``."""
        value = self._get(name, str, None)
        if value not in ACTIVATIONS:
            raise UserError(
                f"config.json: {name}={short_text(value)} is not supported; there are: {', '.join(ACTIVATIONS)}."
            )
        return ACTIVATIONS[value]

    def require(self, name: str, allowed: Any) -> None:
        """Raise ``UserError`` if a value is there and not the only supported one."""
        value = self.values.get(name, allowed)
        if value not in (allowed, None):
            raise UserError(f"config.json: {name}={short_repr(value)} is not supported; only {short_repr(allowed)} is.")

    @property
    def rope(self) -> dict[str, Any]:
        """Rotary values: ``rope_parameters`` of transformers 5, or ``rope_theta`` and ``rope_scaling`` of 4."""
        values = self.values.get("rope_parameters") or self.values.get("rope_scaling") or {}
        if not isinstance(values, dict):
            raise UserError("config.json: rope_parameters should be values by name.")
        kind = values.get("rope_type", values.get("type", "default"))
        base = self.values.get("rope_theta", self.values.get("rotary_emb_base", 10_000.0))  # the latter in GPT-NeoX
        return {"rope_theta": base, **values, "rope_type": kind}

    def rotary(self) -> dict[str, Any]:
        """Return the arguments of ``GPT`` about rotary embeddings."""
        rope = self.rope
        scaling = {
            name: value for name, value in rope.items() if name not in ("rope_theta", "partial_rotary_factor", "type")
        }
        scaling.setdefault("original_max_position_embeddings", self.values.get("max_position_embeddings"))
        has_scaling = rope["rope_type"] != "default"
        base = to_float("rope_theta", rope["rope_theta"])
        return {"rotary_base": base, "rotary_scaling": scaling if has_scaling else None}

    def _get(self, name: str, kind: Any, default: Any) -> Any:
        value = default if self.values.get(name) is None else self.values[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            problem = "is missing" if value is None else f"is {short_repr(value)}"
            raise UserError(f"config.json: {name} {problem}.")
        return value


def to_float(name: str, value: Any) -> float:
    """Return the number that the value ``name`` is. Raises ``UserError``."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < MAX_NUMBER:
        raise UserError(f"config.json: {name} is {short_repr(value)}.")
    return float(value)


def rope_parameters(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rotary values of a config."""
    return {"rope_type": "default", "rope_theta": arguments["rotary_base"]} | (arguments["rotary_scaling"] or {})


def sizes(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sizes of a config, by the names that most families have."""
    return {
        "vocab_size": arguments["vocab_size"],
        "hidden_size": arguments["width"],
        "intermediate_size": arguments["hidden"],
        "num_hidden_layers": arguments["layers"],
        "num_attention_heads": arguments["heads"],
        "max_position_embeddings": arguments["block"],
        "tie_word_embeddings": arguments["tied"],
        "dtype": "float32",
    }
