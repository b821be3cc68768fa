"""The phones that a model knows, and words and alignments as rows of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from genai.speech.batch import Sentence
from genai.speech.phones import PAUSE, Alignment, Word

MARKS = ("", ",", ".", "?", "!")
"""Marks after words; others count as a comma."""
NUM_STRESSES = 3
"""Stresses of phones; in the same column, pauses have the numbers of ``MARKS`` after them."""
ROWS = NUM_STRESSES + len(MARKS)
"""Values of the column of stresses and marks."""


@dataclass(frozen=True)
class PhoneTable:
    """Numbers of symbols.

    Attributes:
        symbols: the first is ``PAUSE``.
    """

    symbols: tuple[str, ...]

    def number(self, symbol: str) -> int:
        """Return the number of a symbol, of its nearest relative if it is unknown, else that of a pause.

        A relative has the same first letter: a long vowel stands for a short one, a diphthong for its beginning.
        """
        if symbol in self.symbols:
            return self.symbols.index(symbol)
        relatives = [known for known in self.symbols[1:] if symbol and known[0] == symbol[0]]
        return self.symbols.index(min(relatives, key=lambda known: abs(len(known) - len(symbol)))) if relatives else 0

    def unknown(self, words: Sequence[Word]) -> list[str]:
        """Return the symbols of words that the table lacks, each once."""
        return sorted({phone.symbol for word in words for phone in word.phones} - {*self.symbols})

    def sentence(self, words: Sequence[Word]) -> Sentence:
        """Return words with a pause before and after them, and where a mark asks for one."""
        words = [word for word in words if word.phones]
        rows, symbols, owners = [_pause("")], [PAUSE], [-1]
        for index, word in enumerate(words):
            for place, phone in enumerate(word.phones):
                rows.append((self.number(phone.symbol), phone.stress, int(place == 0)))
                symbols.append(phone.symbol)
                owners.append(index)
            if word.pause or index == len(words) - 1:
                rows.append(_pause(word.pause))
                symbols.append(PAUSE)
                owners.append(-1)
        texts = tuple(word.text for word in words)
        return Sentence(torch.tensor(rows), tuple(symbols), tuple(owners), texts)

    def aligned(self, words: Sequence[Word], alignment: Alignment) -> NDArray[np.int64]:
        """Return the symbols of an alignment as rows (phones, 3), as in ``SpeechBatch``."""
        rows = []
        previous, place = -1, 0
        for symbol, owner in zip(alignment.symbols, alignment.words, strict=True):
            if owner < 0:
                rows.append(_pause(words[previous].pause if previous >= 0 else ""))
                continue
            place = place + 1 if owner == previous else 0
            previous = owner
            rows.append((self.number(symbol), words[owner].phones[place].stress, int(place == 0)))
        return np.array(rows, np.int64).reshape(-1, 3)


def make_phone_table(utterances: Sequence[Sequence[Word]]) -> PhoneTable:
    """Return the table of all phones in utterances."""
    found = {phone.symbol for words in utterances for word in words for phone in word.phones}
    return PhoneTable((PAUSE, *sorted(found)))


def _pause(mark: str) -> tuple[int, int, int]:
    return 0, NUM_STRESSES + MARKS.index(mark if mark in MARKS else ","), 0
