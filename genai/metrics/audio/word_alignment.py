"""Word errors: the fewest substitutions, deletions and insertions that turn one list of words into another."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

MAX_JOINED = 5
"""Words that may be written as one: "voice mail" equals "voicemail", "P I N" equals "pin"."""


@dataclass(frozen=True)
class WordEdit:
    """A difference between a text and what was recognized.

    Attributes:
        expected: word of the text; "" if a word was inserted.
        recognized: word that was recognized; "" if a word was deleted.
    """

    expected: str
    recognized: str

    def __str__(self) -> str:
        if not self.recognized:
            return f'"{self.expected}" deleted'
        if not self.expected:
            return f'"{self.recognized}" inserted'
        return f'"{self.expected}" as "{self.recognized}"'


@dataclass(frozen=True)
class WordComparison:
    """A text beside what was recognized.

    Attributes:
        expected: words of the text.
        recognized: words that were recognized.
    """

    expected: tuple[str, ...]
    recognized: tuple[str, ...]

    @cached_property
    def edits(self) -> list[WordEdit]:
        """The fewest edits, in the order of the text."""
        return word_edits(self.expected, self.recognized)


def word_edits(expected: Sequence[str], recognized: Sequence[str]) -> list[WordEdit]:
    """Return the fewest edits (Levenshtein 1966) between two lists of words.

    Words that are only joined or split ("key pad", "keypad") are equal.
    """
    rows, columns = len(expected) + 1, len(recognized) + 1
    costs = [[0] * columns for _ in range(rows)]
    steps: list[list[tuple[int, int]]] = [[(0, 0)] * columns for _ in range(rows)]
    for i in range(rows):
        for j in range(columns):
            if i or j:
                costs[i][j], steps[i][j] = min(
                    _predecessors(costs, expected, recognized, i, j), key=lambda each: each[0]
                )
    edits, i, j = list[WordEdit](), len(expected), len(recognized)
    while i or j:
        back_i, back_j = steps[i][j]
        if costs[i][j] > costs[i - back_i][j - back_j]:
            edits.append(WordEdit("".join(expected[i - back_i : i]), "".join(recognized[j - back_j : j])))
        i, j = i - back_i, j - back_j
    return edits[::-1]


def _predecessors(
    costs: Sequence[Sequence[int]], expected: Sequence[str], recognized: Sequence[str], i: int, j: int
) -> Iterable[tuple[int, tuple[int, int]]]:
    """Yield the costs of the ways to (i, j), with the numbers of words that each way consumes; matches first."""
    if i and j:
        yield costs[i - 1][j - 1] + (expected[i - 1] != recognized[j - 1]), (1, 1)
        for count in range(2, MAX_JOINED + 1):
            if i >= count and "".join(expected[i - count : i]) == recognized[j - 1]:
                yield costs[i - count][j - 1], (count, 1)
            if j >= count and "".join(recognized[j - count : j]) == expected[i - 1]:
                yield costs[i - 1][j - count], (1, count)
    if i:
        yield costs[i - 1][j] + 1, (1, 0)
    if j:
        yield costs[i][j - 1] + 1, (0, 1)


def closest_comparison(
    expected_readings: Iterable[Sequence[str]], recognized_readings: Iterable[Sequence[str]]
) -> WordComparison:
    """Return the pair of readings with the fewest edits; of equally good ones the first."""
    recognized = [tuple(words) for words in recognized_readings]
    pairs = [WordComparison(tuple(words), other) for words in expected_readings for other in recognized]
    return min(pairs, key=lambda pair: len(pair.edits))


def most_common_edits(comparisons: Iterable[WordComparison], count: int) -> list[tuple[WordEdit, int]]:
    """Return the ``count`` most frequent edits, with how often each occurs."""
    return Counter(edit for comparison in comparisons for edit in comparison.edits).most_common(count)
