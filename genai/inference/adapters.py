"""Adapters that are merged into the weights of a model when it is loaded."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le

from genai.adapters.lora import LoRA, merge_adapters
from genai.core.errors import UserError, short_repr
from genai.core.instantiate import instantiate, validate_value
from genai.core.plain_data import parse_yaml
from genai.inference.build import SkipInit, check_tensors, load_weights
from genai.methods.base import Method
from genai.runs.checkpoint import CheckpointHeader
from genai.runs.record import MAX_FACTOR
from genai.runs.sharded_checkpoint import checkpoint_bytes

MAX_ADAPTERS = 32
Factor = Annotated[float, Ge(-MAX_FACTOR), Le(MAX_FACTOR)]


def parse_adapters(value: str | Path | Mapping[str | Path, float] | None) -> dict[str, float]:
    """Return adapters by path, with their factors.

    Args:
        value: a path, ``{path: factor, ...}`` as a mapping or as text, or ``None``.

    Raises:
        UserError: it is none of these, or a factor is out of range.
    """
    if value is None:
        return {}
    example = "adapter='{runs/a: 0.7, runs/b: 0.3}'"
    if isinstance(value, Path) or (isinstance(value, str) and not value.strip().startswith(("{", "["))):
        if not str(value).strip():
            raise UserError(f"adapter= is empty: give a run, or runs with factors, as {example}.")
        return {str(value): 1.0}
    message = f"adapter={short_repr(value)}: it should be a run, or runs with factors, as {example}."
    try:
        values: Any = parse_yaml(value, "adapter") if isinstance(value, str) else dict(value)
    except (UserError, TypeError, ValueError) as error:
        raise UserError(message) from error
    if not isinstance(values, dict) or not 0 < len(values) <= MAX_ADAPTERS:
        raise UserError(message)
    factors = {str(path) if isinstance(path, Path) else path: factor for path, factor in values.items()}
    for path, factor in factors.items():
        validate_value(path, str, "adapter")
        validate_value(factor, Factor, f"adapter.{path}")
    return {path: float(factor) for path, factor in factors.items()}


def merge_adapter(
    method: Method,
    file: Path,
    state: Mapping[str, Any],
    weights: str,
    factor: float = 1.0,
    plugins: Sequence[str] = (),
) -> None:
    """Add an adapter that was trained here to the weights of its base.

    Args:
        method: the base.
        file, state: the checkpoint of the adapter, and its content.
        weights: ``ema`` or ``raw``.
        factor: of the change.
        plugins: packages whose classes the checkpoint may name.

    Raises:
        UserError: the base does not have its layers.
        CorruptCheckpoint: the tensors do not fit.
    """
    header = CheckpointHeader.read(state)
    try:
        with SkipInit():
            instantiate(header.adapter or {}, LoRA, "adapter", plugins=plugins).attach(method)
        check_tensors(method, state["state_dict"], checkpoint_bytes(file), is_adapter=True)
        load_weights(method, state["state_dict"], weights, partial=True)
    except UserError as error:
        raise type(error)(f"{file}: {error}") from error
    merge_adapters(method, factor)
