"""Plain data from files of others: JSON and YAML that is checked to be a small tree before anything uses it.

A list of ten lists that are ten times the same list, and so on, has a few hundred bytes and 10^40 values. Whatever
prints, compares or copies it never ends. So values are counted as often as they occur.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from genai.core.errors import UserError

MAX_VALUES = 200_000
MAX_DEPTH = 32
MAX_DIGITS = 40
"""Longest integer, in digits: none of ours has more than twenty."""


def parse_json(text: str | bytes, where: str) -> Any:
    """Parse JSON from the file ``where``. Raises ``UserError`` if it is none, or no small tree."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"cannot read {where}: it is not JSON ({_reason(error)}).") from error
    return check_tree(value, where)


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML of plain values from the file ``where``. Raises ``UserError`` if it is none, or no small tree."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = type("Loader", (base,), {"flatten_mapping": _reject_merge})
    try:
        _check_nesting(yaml.parse(text, loader))
        value = yaml.load(text, loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise UserError(f"cannot read {where}: it is not YAML ({_reason(error)}).") from error
    return check_tree(value, where)


def check_tree(value: Any, where: str, max_values: int = MAX_VALUES) -> Any:
    """Return ``value`` if it is a tree of mappings, lists and at most ``max_values`` values. Raises ``UserError``."""
    count = 0
    stack = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        count += 1
        if count > max_values or depth > MAX_DEPTH:
            limit = f"{max_values:,} values" if depth <= MAX_DEPTH else f"{MAX_DEPTH} levels"
            raise UserError(f"{where} is refused: it holds more than {limit}.")
        if isinstance(item, int) and item.bit_length() > MAX_DIGITS * 3.33:
            raise UserError(f"{where} is refused: it holds a number of more than {MAX_DIGITS} digits.")
        if isinstance(item, Mapping):
            stack += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list | tuple | set):
            if len(item) > max_values:
                raise UserError(f"{where} is refused: it holds more than {max_values:,} values.")
            stack += [(part, depth + 1) for part in item]
    return value


def _check_nesting(events: Iterable[Any]) -> None:
    """Raise ``ValueError`` for brackets in brackets: libyaml builds values by recursion, without a limit."""
    depth = 0
    for event in events:
        name = type(event).__name__
        depth += name.endswith("StartEvent") - name.endswith("EndEvent")
        if depth > MAX_DEPTH + 2:  # the stream and the document count too
            raise ValueError(f"it holds more than {MAX_DEPTH} levels")


def _reject_merge(loader: Any, node: Any) -> None:
    """Refuse the key ``<<``, whose merges can double at each line."""
    if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
        raise ValueError("it has a merge key, <<")


def _reason(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:100]
