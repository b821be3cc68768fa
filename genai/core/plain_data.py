"""Plain data from files of others: JSON and YAML that is checked to be a small tree before anything uses it.

A list of ten lists that are ten times the same list, and so on, has a few hundred bytes and 10^40 values. Whatever
prints, compares or copies it never ends. So values are counted as often as they occur.
"""

import json
from collections.abc import Iterable
from itertools import chain
from typing import Any

from genai.core.errors import UserError, short_text

MAX_VALUES = 200_000
MAX_DEPTH = 32
MAX_DIGITS = 40
"""Longest integer, in digits: none of ours has more than twenty."""
MAX_TEXT = 64 * 2**20
"""Characters of all texts together."""


class AllowInfNan:
    """Annotation of numbers that may be infinite or NaN: ``Annotated[float, AllowInfNan]``. All others are finite."""


def parse_json(text: str | bytes, where: str, max_values: int = MAX_VALUES) -> Any:
    """Parse JSON from the file ``where``. Raises ``UserError`` if it is none, or no small tree."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"cannot read {where}: it is not JSON ({_reason(error)}).") from error
    return check_tree(value, where, max_values)


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


def check_tree(
    value: Any,
    where: str,
    max_values: int = MAX_VALUES,
    max_text: int = MAX_TEXT,
    others: tuple[type, ...] = (object,),
) -> Any:
    """Return ``value`` if it is a tree of dictionaries, lists and at most ``max_values`` values.

    Args:
        value: the data.
        where: name of the file, for messages.
        max_values: number of values.
        max_text: number of characters of all texts together.
        others: allowed types besides texts, numbers and ``None``.

    Raises:
        UserError: names ``where`` and the limit.
    """
    count = characters = 0
    stack: list[tuple[Any, int]] = [([value], 0)]
    while stack:
        container, depth = stack.pop()
        count += len(container)
        parts = chain(container, container.values()) if isinstance(container, dict) else container
        if count > max_values:
            raise UserError(f"{where} is refused: it holds more than {max_values:,} values.")
        if depth > MAX_DEPTH:
            raise UserError(f"{where} is refused: it holds more than {MAX_DEPTH} levels.")
        for part in parts:
            if isinstance(part, str | bytes):
                characters += len(part)
            elif isinstance(part, dict | list | tuple | set | frozenset):
                stack.append((part, depth + 1))
            elif isinstance(part, int):
                if part.bit_length() > MAX_DIGITS * 3.33:
                    raise UserError(f"{where} is refused: it holds a number of more than {MAX_DIGITS} digits.")
            elif part is not None and not isinstance(part, float) and not isinstance(part, others):
                raise UserError(f"{where} is refused: it holds a {type(part).__name__}.")
        if characters > max_text:
            raise UserError(f"{where} is refused: it holds more than {max_text:,} characters.")
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
    return short_text((str(error) or type(error).__name__).splitlines()[0][:100])
