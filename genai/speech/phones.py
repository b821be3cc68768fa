"""Phones: the sounds of words, as the other files of this room exchange them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

PAUSE = "sil"
"""Symbol of a pause, which stands where no phone sounds."""


@dataclass(frozen=True)
class Phone:
    """A sound of a word.

    Attributes:
        symbol: as a dictionary writes it, without stress: ``"aɪ"``.
        stress: 0: none, 1: primary, 2: secondary.
    """

    symbol: str
    stress: Literal[0, 1, 2] = 0


@dataclass(frozen=True)
class Word:
    """A word with its sounds.

    Attributes:
        text: as it is read aloud, in small letters.
        phones: its sounds; empty if nothing is said.
        pause: mark after it that asks for a pause: ``","``, ``"."``, ``"?"``, ``"!"``; "" if there is none.
    """

    text: str
    phones: tuple[Phone, ...]
    pause: str = ""


@dataclass(frozen=True)
class Alignment:
    """When each sound of a recording begins and ends.

    Attributes:
        symbols: of phones, and ``PAUSE`` where nothing is said, in order.
        words: for each symbol, the index of its word; -1 for a pause.
        frames: for each symbol, its number of frames, at least 1; their sum is the length of the recording.
        score: mean log-likelihood of a frame: low where recording and text do not belong together.
    """

    symbols: tuple[str, ...]
    words: tuple[int, ...]
    frames: tuple[int, ...]
    score: float


def phones_of(words: Sequence[Word]) -> list[Phone]:
    """Return the sounds of words, in order."""
    return [phone for word in words for phone in word.phones]
