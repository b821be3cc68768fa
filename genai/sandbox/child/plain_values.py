"""Plain values of Python as JSON, with their types: nothing that is decoded runs code of the other process."""

from collections.abc import Iterator
from typing import Any

MAX_VALUES = 200_000
"""Values in a value."""


def encode(value: Any) -> Any:
    """Return a value as JSON: lists as they are, other containers as ``{type: items}``.

    A value of a derived class becomes one of its base: a ``Counter`` is a ``dict``. An iterator becomes its items.

    Raises:
        TypeError: another type.
        ValueError: more than ``MAX_VALUES`` values.
        RecursionError: too many levels, or a list that contains itself.
    """
    return _encode(value, [MAX_VALUES])


def _encode(value: Any, budget: list[int]) -> Any:
    budget[0] -= 1
    if budget[0] < 0:
        raise ValueError(f"more than {MAX_VALUES:,} values")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int.__index__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, list):
        return [_encode(item, budget) for item in list.__iter__(value)]
    if isinstance(value, dict):
        return {"dict": [[_encode(key, budget), _encode(item, budget)] for key, item in dict.items(value)]}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, range):
        return {"range": [value.start, value.stop, value.step]}
    if isinstance(value, bytes | bytearray):
        return {"bytes": value.hex()}
    kinds: tuple[Any, ...] = (tuple, set, frozenset)
    for kind in kinds:
        if isinstance(value, kind):
            return {kind.__name__: [_encode(item, budget) for item in kind.__iter__(value)]}
    if isinstance(value, Iterator):
        return {"iterator": [_encode(item, budget) for item in value]}  # an endless one ends by its budget
    raise TypeError(f"a value of type {type(value).__name__}")


def decode(tree: Any) -> Any:
    """Return the value of a tree that ``encode`` made. Raises ``ValueError`` or ``TypeError`` for any other."""
    if isinstance(tree, list):
        return [decode(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, items),) = tree.items()
    if kind == "dict":
        return {decode(key): decode(item) for key, item in items}
    if kind == "complex":
        return complex(*items)
    if kind == "range":
        return range(*items)
    if kind == "bytes":
        return bytes.fromhex(items)
    constructors: dict[str, Any] = {"tuple": tuple, "set": set, "frozenset": frozenset, "iterator": iter}
    if kind not in constructors:
        raise ValueError("an unknown type")
    return constructors[kind]([decode(item) for item in items])
