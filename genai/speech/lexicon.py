"""A user's own pronunciations: a text file with ``word  phones`` in each line.

    # names
    genai     dʒ ɛ n ˈeɪ aɪ
    Saoirse   s ˈɪ ɹ ʃ ə

Phones are those of the other words, by default what ``espeak-ng --ipa`` writes, separated by spaces; ˈ and ˌ mark
primary and secondary stress.
"""

import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from genai.core.errors import UserError, short_text
from genai.core.files import read_text
from genai.speech.phones import Phone

STRESS_MARKS: dict[str, Literal[1, 2]] = {"ˈ": 1, "'": 1, "ˌ": 2}
MAX_SYMBOL = 12
"""Longest symbol of a phone in characters."""
_VOWELS = set("aeiouyæøœɐɑɒɔəɘɚɛɜɝɞɤɨɪɯɵɶʉʊʌʏᵻᵿ")


def read_lexicon(path: Path) -> dict[str, tuple[Phone, ...]]:
    """Read a lexicon: phones by word in small letters.

    Empty lines and those that begin with ``#`` are skipped.

    Raises:
        UserError: the file cannot be read, is too large, or a line is wrong; the message names file and line.
    """
    path = Path(path)
    phones: dict[str, tuple[Phone, ...]] = {}
    for number, line in enumerate(read_text(path, "lexicon").split("\n"), 1):
        word, *symbols = line.split()[:200] or ["#"]
        if word.startswith("#"):
            continue
        key = lexicon_key(word)
        if not key or not all(character in "'-" or character.isalpha() for character in _without_marks(key)):
            raise UserError(
                f"{path}, line {number}: '{short_text(word)}' is no word: words have letters, apostrophes and hyphens."
            )
        if not symbols:
            raise UserError(f"{path}, line {number}: '{short_text(word)}' has no phones: write 'word  phones'.")
        if key in phones:
            raise UserError(f"{path}, line {number}: '{short_text(word)}' is there a second time.")
        try:
            phones[key] = parse_phones(symbols)
        except UserError as error:
            raise UserError(f"{path}, line {number}: {error}") from error
    return phones


def lexicon_key(word: str) -> str:
    """Return a word as ``normalize`` writes it."""
    return unicodedata.normalize("NFKC", word.replace("’", "'")).lower()


def parse_phones(parts: Iterable[str]) -> tuple[Phone, ...]:
    """Return phones of symbols that may begin with a mark of stress, or follow one: ``["h", "ə", "l", "ˈoʊ"]``.

    Stress before a consonant, as dictionaries write it before a syllable, is moved to the vowel after it.

    Raises:
        UserError: a mark without a phone, or a symbol that is longer than ``MAX_SYMBOL``.
    """
    phones: list[Phone] = []
    pending: Literal[0, 1, 2] = 0
    for part in parts:
        marks = [STRESS_MARKS[character] for character in part if character in STRESS_MARKS]
        symbol = "".join(character for character in part if character not in STRESS_MARKS)
        pending = marks[0] if marks else pending
        if not symbol:
            continue
        if len(symbol) > MAX_SYMBOL:
            raise UserError(f"'{short_text(symbol)}' is too long for a phone: separate phones by spaces.")
        is_vowel = not _VOWELS.isdisjoint(symbol) or "\N{COMBINING VERTICAL LINE BELOW}" in symbol
        phones.append(Phone(symbol, pending if is_vowel else 0))
        pending = 0 if is_vowel else pending
    if not phones:
        raise UserError("there is no phone.")
    if pending:  # no vowel follows: the last phone has the stress
        phones[-1] = Phone(phones[-1].symbol, pending)
    return tuple(phones)


def _without_marks(word: str) -> str:
    return "".join(character for character in word if unicodedata.category(character)[0] != "M")
