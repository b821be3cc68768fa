"""Find the attributes of a set of prompts, with a few values each, from how their words vary."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

MAX_VALUES = 100
"""Maximum number of values of an attribute."""
MIN_COUNT = 10
"""Minimum number of prompts with a value, so that it can be learned."""
MIN_COVERAGE = 0.95
"""Minimum share of the prompts that must have an attribute."""
IGNORE_INDEX = -100
"""Label of a prompt that does not have an attribute; cross entropy in torch ignores it."""


@dataclass(frozen=True)
class PromptAttribute:
    """A part of a prompt: one of its words, or all of it.

    Attributes:
        name: ``word_4`` for the fourth word, ``prompt`` for the whole.
        values: possible values, in alphabetical order.
        num_words: number of words of a prompt that has the attribute; 0 for the whole prompt.
        position: index of the word.
    """

    name: str
    values: tuple[str, ...]
    num_words: int = 0
    position: int = 0

    def label(self, prompt: str) -> int:
        """Return the index of the value that ``prompt`` has, or ``IGNORE_INDEX``."""
        words = _split_words(prompt)
        value = " ".join(words) if not self.num_words else words[self.position] if len(words) == self.num_words else ""
        return self._indices.get(value, IGNORE_INDEX)

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {value: index for index, value in enumerate(self.values)}

    def __str__(self) -> str:
        values = self.values if len(self.values) <= 4 else (*self.values[:2], "...", self.values[-1])
        return f"{self.name.replace('_', ' ')} ({', '.join(values)})"


def find_attributes(prompts: Sequence[str]) -> list[PromptAttribute]:
    """Return the attributes of prompts that are class names or differ in a few words; none for free captions.

    Prompts such as ``"seven, spoken by jackson"`` have ``word_1`` and ``word_4``. A word that always changes together
    with an earlier one, as in ``"dog bark"`` and ``"cat meow"``, is skipped.
    """
    split_prompts = [words for words in map(_split_words, prompts) if words]
    if not split_prompts:
        return []
    num_words, count = Counter(map(len, split_prompts)).most_common(1)[0]
    if count < MIN_COVERAGE * len(prompts):
        values = _frequent_values([" ".join(words) for words in split_prompts], len(prompts))
        return [PromptAttribute("prompt", values)] if values else []
    columns = list(zip(*(words for words in split_prompts if len(words) == num_words), strict=True))
    attributes: dict[int, PromptAttribute] = {}
    for position, column in enumerate(columns):
        values = _frequent_values(column, len(prompts))
        if values and not any(_are_equivalent(column, columns[earlier]) for earlier in attributes):
            attributes[position] = PromptAttribute(f"word_{position + 1}", values, num_words, position)
    return list(attributes.values())


def find_classes(prompts: Sequence[str]) -> tuple[str, ...]:
    """Return the distinct prompts in alphabetical order if they are class names, else nothing."""
    return _frequent_values([prompt for prompt in prompts if prompt], len(prompts))


def _split_words(prompt: str) -> list[str]:
    return re.findall(r"[\w'#-]+", prompt.lower())


def _frequent_values(values: Sequence[str], num_prompts: int) -> tuple[str, ...]:
    """Return the values that are frequent enough, sorted; none if they do not form an attribute."""
    counts = {value: count for value, count in Counter(values).items() if count >= MIN_COUNT}
    is_attribute = 2 <= len(counts) <= MAX_VALUES and sum(counts.values()) >= MIN_COVERAGE * num_prompts
    return tuple(sorted(counts)) if is_attribute else ()


def _are_equivalent(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether the values of ``a`` and ``b`` correspond one to one."""
    return len(set(zip(a, b, strict=True))) == len(set(a)) == len(set(b))
