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
        reference: word of the text; "" if a word was inserted.
        hypothesis: word that was recognized; "" if a word was deleted.
    """

    reference: str
    hypothesis: str

    def __str__(self) -> str:
        if not self.hypothesis:
            return f'"{self.reference}" deleted'
        if not self.reference:
            return f'"{self.hypothesis}" inserted'
        return f'"{self.reference}" as "{self.hypothesis}"'


@dataclass(frozen=True)
class WordAlignment:
    """A text beside what was recognized.

    Attributes:
        reference: words of the text.
        hypothesis: words that were recognized.
    """

    reference: tuple[str, ...]
    hypothesis: tuple[str, ...]

    @cached_property
    def edits(self) -> list[WordEdit]:
        """The fewest edits, in the order of the text."""
        return word_edits(self.reference, self.hypothesis)


def word_edits(reference: Sequence[str], hypothesis: Sequence[str]) -> list[WordEdit]:
    """Return the fewest edits (Levenshtein 1966) between two lists of words.

    Words that are only joined or split ("key pad", "keypad") are equal.
    """
    rows, columns = len(reference) + 1, len(hypothesis) + 1
    costs = [[0] * columns for _ in range(rows)]
    steps: list[list[tuple[int, int]]] = [[(0, 0)] * columns for _ in range(rows)]
    for i in range(rows):
        for j in range(columns):
            if i or j:
                costs[i][j], steps[i][j] = min(
                    _previous_costs(costs, reference, hypothesis, i, j), key=lambda each: each[0]
                )
    edits, i, j = list[WordEdit](), len(reference), len(hypothesis)
    while i or j:
        back_i, back_j = steps[i][j]
        if costs[i][j] > costs[i - back_i][j - back_j]:
            edits.append(WordEdit("".join(reference[i - back_i : i]), "".join(hypothesis[j - back_j : j])))
        i, j = i - back_i, j - back_j
    return edits[::-1]


def _previous_costs(
    costs: Sequence[Sequence[int]], reference: Sequence[str], hypothesis: Sequence[str], i: int, j: int
) -> Iterable[tuple[int, tuple[int, int]]]:
    """Yield the costs of the ways to (i, j), with the numbers of words that each way consumes; matches first."""
    if i and j:
        yield costs[i - 1][j - 1] + (reference[i - 1] != hypothesis[j - 1]), (1, 1)
        for count in range(2, MAX_JOINED + 1):
            if i >= count and "".join(reference[i - count : i]) == hypothesis[j - 1]:
                yield costs[i - count][j - 1], (count, 1)
            if j >= count and "".join(hypothesis[j - count : j]) == reference[i - 1]:
                yield costs[i - 1][j - count], (1, count)
    if i:
        yield costs[i - 1][j] + 1, (1, 0)
    if j:
        yield costs[i][j - 1] + 1, (0, 1)


def closest_alignment(
    reference_readings: Iterable[Sequence[str]], hypothesis_readings: Iterable[Sequence[str]]
) -> WordAlignment:
    """Return the pair of readings with the fewest edits; of equally good ones the first."""
    hypothesis = [tuple(words) for words in hypothesis_readings]
    pairs = [WordAlignment(tuple(words), other) for words in reference_readings for other in hypothesis]
    return min(pairs, key=lambda pair: len(pair.edits))


def most_common_edits(alignments: Iterable[WordAlignment], count: int) -> list[tuple[WordEdit, int]]:
    """Return the ``count`` most frequent edits, with how often each occurs."""
    return Counter(edit for alignment in alignments for edit in alignment.edits).most_common(count)
