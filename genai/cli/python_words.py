"""Words of the command line from the arguments of a Python call."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from genai.cli.compose import override_key
from genai.core.errors import UserError, short_repr


def python_words(words: Sequence[Any], values: Mapping[str, Any]) -> list[str]:
    """Return the words, those in lists and mappings of words, and ``key=value`` of keyword arguments.

    Raises:
        UserError: an argument that is no word, a value that has no text.
    """
    found: list[str] = []
    for word in words:
        if isinstance(word, Mapping):
            found += [text for key, value in word.items() for text in _value_words(str(key), value)]
            continue
        items = list(word) if isinstance(word, list | tuple) else [word]
        if wrong := [item for item in items if not _is_word(item)]:
            raise UserError(
                f"{short_repr(wrong[0])} is not a word of the command line, such as 'steps=200'. Keywords "
                "(steps=200), dictionaries ({'data.path': 'my_texts'}) and lists of words are taken as well."
            )
        found += items
    return found + [word for key, value in values.items() for word in _value_words(key, value)]


def in_memory_words(words: Sequence[str]) -> list[str]:
    """Return the words that select data in memory. Raises ``UserError`` if others select data."""
    from genai.data.in_memory import TARGET

    if selected := [word for word in words if override_key(word) in ("data", "data._target_")]:
        raise UserError(f"'{selected[0]}' and data=: give one of them.")
    return [f"data._target_={TARGET}"]


def _value_words(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _value_words(f"{key}.{name}", item)
    elif isinstance(value, list | tuple):
        yield f"{key}=[{', '.join(_to_text(key, item, is_listed=True) for item in value)}]"
    else:
        yield f"{key}={_to_text(key, value)}"


def _is_word(item: Any) -> bool:
    return isinstance(item, str) and ("=" in item or item.startswith(("~", "-")))


def _to_text(key: str, value: Any, is_listed: bool = False) -> str:
    if isinstance(value, str | Path):
        return json.dumps(str(value), ensure_ascii=False) if is_listed else str(value)
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(file := getattr(value, "file", None), Path):  # a model stands for its checkpoint
        return str(file)
    raise UserError(
        f"{key}= of type {type(value).__name__}: it should be a text, a number, a bool, or a list of these."
    )
