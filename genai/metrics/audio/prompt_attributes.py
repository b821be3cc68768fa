"""What a set of prompts asks for: attributes of few values each, found by how the words vary."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

MOST = 100
"""Values of an attribute."""
OFTEN = 10
"""Prompts that a value has to be in, so that it can be learnt."""
COVER = 0.95
"""The share of the prompts that an attribute has to be told of."""
UNKNOWN = -100
"""The label of a prompt that says nothing of an attribute: what torch's cross entropy leaves out."""


@dataclass(frozen=True)
class Attribute:
    """A part of a prompt: one of its words, or all of it.

    Attributes:
        name: ``word_4``, the fourth word; ``prompt``, the whole.
        values: what it can be, in alphabetical order.
        words: that a prompt has which can be asked for it; 0 where it is the whole.
        position: of the word.
    """

    name: str
    values: tuple[str, ...]
    words: int = 0
    position: int = 0

    def label(self, prompt: str) -> int:
        """The number of its value, or ``UNKNOWN``."""
        said = _words(prompt)
        value = " ".join(said) if not self.words else said[self.position] if len(said) == self.words else ""
        return self._numbers.get(value, UNKNOWN)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {value: number for number, value in enumerate(self.values)}

    def __str__(self) -> str:
        some = self.values if len(self.values) <= 4 else (*self.values[:2], "...", self.values[-1])
        return f"{self.name.replace('_', ' ')} ({', '.join(some)})"


def attributes(prompts: Sequence[str]) -> list[Attribute]:
    """The attributes of prompts that are names of classes, or alike but for some words; none of free captions.

    ``"seven, spoken by jackson"`` and others of its kind have ``word_1`` and ``word_4``. A word that goes along with an
    earlier one, as in ``"dog bark"`` and ``"cat meow"``, tells nothing more.
    """
    said = [words for words in map(_words, prompts) if words]
    if not said:
        return []
    count, same = Counter(map(len, said)).most_common(1)[0]
    if same < COVER * len(prompts):
        values = _values([" ".join(words) for words in said], len(prompts))
        return [Attribute("prompt", values)] if values else []
    columns = list(zip(*(words for words in said if len(words) == count), strict=True))
    found: dict[int, Attribute] = {}
    for position, column in enumerate(columns):
        values = _values(column, len(prompts))
        if values and not any(_tell_the_same(column, columns[earlier]) for earlier in found):
            found[position] = Attribute(f"word_{position + 1}", values, count, position)
    return list(found.values())


def classes(prompts: Sequence[str]) -> tuple[str, ...]:
    """The prompts themselves, in alphabetical order, where they are the names of classes; else none."""
    return _values([prompt for prompt in prompts if prompt], len(prompts))


def _words(prompt: str) -> list[str]:
    return re.findall(r"[\w'#-]+", prompt.lower())


def _values(said: Sequence[str], prompts: int) -> tuple[str, ...]:
    """The values that are said often enough; none where they do not make an attribute."""
    often = {value: count for value, count in Counter(said).items() if count >= OFTEN}
    enough = 2 <= len(often) <= MOST and sum(often.values()) >= COVER * prompts
    return tuple(sorted(often)) if enough else ()


def _tell_the_same(a: Sequence[str], b: Sequence[str]) -> bool:
    return len(set(zip(a, b, strict=True))) == len(set(a)) == len(set(b))
