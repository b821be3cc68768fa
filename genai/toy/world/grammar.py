"""Shared by the grammars of scenes, motions and melodies: attributes, words for their values, held-out combinations."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any, TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)


class Grammar:
    """Attributes, and the words of captions that name their values.

    Args:
        attributes: values of each attribute; a value without a hyphen is a word for itself.
        aliases: other words for a value.
        filler_words: words that name nothing, separated by spaces.
        others: words that name something besides ``attributes``: (name, value) of each.
    """

    def __init__(
        self,
        attributes: Mapping[str, tuple[str, ...]],
        aliases: Mapping[str, tuple[str, ...]],
        filler_words: str,
        others: Mapping[str, tuple[str, str]],
    ) -> None:
        self.attributes, self.filler_words = attributes, frozenset(filler_words.split())
        self.word_values = {v: (name, v) for name, values in attributes.items() for v in values if "-" not in v}
        self.word_values |= others
        self.word_values |= {word: self.word_values[value] for value, words in aliases.items() for word in words}
        self.vocabulary = tuple(sorted(self.filler_words | set(self.word_values)))

    def check_words(self, words: Iterable[str]) -> None:
        """Raise ``ValueError`` for the first unknown word, and name the most similar one that names a value."""
        unknown = next((word for word in words if word not in self.filler_words and word not in self.word_values), None)
        if unknown is not None:
            matches = get_close_matches(unknown, self.word_values, n=1)
            raise ValueError(f"unknown word '{unknown}'" + (f", did you mean '{matches[0]}'?" if matches else ""))

    def named(self, words: Iterable[str]) -> list[tuple[str, str]]:
        """Return (name, value) of each word that names something."""
        return [self.word_values[word] for word in words if word in self.word_values]

    def check_values(self, thing: Any) -> None:
        """Raise ``ValueError`` for an unknown value of an attribute of ``thing``."""
        for name, allowed in self.attributes.items():
            check_value(name, getattr(thing, name), allowed)

    def fill(self, thing: Any, names: Iterable[str], rng: np.random.Generator) -> Any:
        """Return ``thing`` with those of the attributes ``names`` that are free drawn at random."""
        free = {name: self.attributes[name] for name in names if getattr(thing, name) is None}
        return replace(thing, **{name: values[rng.integers(len(values))] for name, values in free.items()})


def unique_values(named: Iterable[tuple[str, str]], hint: str = "", labels: Mapping[str, str] = {}) -> dict[str, str]:
    """Return the value of each name. Raises ``ValueError`` for two values of one.

    Args:
        hint: how to name two shapes, for the message.
        labels: of names, for the message.
    """
    values: dict[str, str] = {}
    for name, value in named:
        if values.setdefault(name, value) != value:
            end = hint if name == "shape" else ""
            raise ValueError(f"two values of {labels.get(name, name)}: {values[name]}, {value}{end}")
    return values


def check_value(name: str, value: str | None, allowed: Sequence[str]) -> None:
    """Raise ``ValueError`` unless ``value`` is allowed, or free (``None``)."""
    if value is not None and value not in allowed:
        raise ValueError(f"{name}={value!r}: there are {', '.join(allowed)}")


def draw_word(words: Mapping[str, tuple[str, ...]], value: str | None, rng: np.random.Generator) -> str:
    """Draw one of the ``words`` for ``value``: itself if there are none, "" for ``None``."""
    options = words.get(value or "", (value or "",))
    return options[rng.integers(len(options))]


def things_cache_text(kind: str, things: Sequence[Any]) -> str:
    """Return ``things`` as text for cache keys. Its format must not change: data sets are known by their hash."""
    names = [(field.name.replace("color", "colour"), field.name) for field in fields(things[0])]
    texts = [f"{kind}({', '.join(f'{old}={getattr(thing, name)!r}' for old, name in names)})" for thing in things]
    return f"things=({', '.join(texts)}{',' if len(texts) == 1 else ''})"


def split_keys(
    values: Mapping[Key, Iterable[Hashable]], fraction: float, rng: np.random.Generator
) -> tuple[list[Key], list[Key]]:
    """Split keys at random into those for training and a ``fraction`` that is held out.

    Each value of a held-out key also belongs to a key for training. Raises ``ValueError`` if this is impossible.
    """
    keys = list(values)
    count = round(fraction * len(keys))
    train_counts = Counter(value for key in keys for value in set(values[key]))
    val_keys: set[Key] = set()
    for index in rng.permutation(len(keys)):
        if len(val_keys) == count:
            break
        key_values = set(values[keys[index]])
        if all(train_counts[value] > 1 for value in key_values):
            val_keys.add(keys[index])
            train_counts.subtract(key_values)
    if len(val_keys) != count or not 0 < len(val_keys) < len(keys):
        raise ValueError(f"fraction={fraction}: too few of {len(keys)} combinations are left on one side")
    return [key for key in keys if key not in val_keys], [key for key in keys if key in val_keys]
