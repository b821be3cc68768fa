"""Writing systems in texts, by the Unicode names of their letters."""

import unicodedata
from collections import Counter
from functools import lru_cache

KINDS = frozenset(["LETTER", "IDEOGRAPH", "SYLLABLE"])
"""Words in the names of letters that begin with a writing system; symbols such as the micro sign have none."""


def count_scripts(text: str) -> Counter[str]:
    """Return how many letters of each writing system a text has: ``{"Latin": 120, "Cyrillic": 3}``."""
    counts = Counter[str]()
    for character, count in Counter(text).items():
        if character.isalpha():
            counts[script_of(character)] += count
    return counts


@lru_cache(maxsize=4096)
def script_of(letter: str) -> str:
    """Return the writing system of a letter, the first word of its Unicode name: ``Latin``, ``CJK``, ``Hiragana``."""
    first, *words = unicodedata.name(letter, "").replace("-", " ").split() or [""]
    if not KINDS.intersection(words):
        return "other"
    return first if first == "CJK" else first.capitalize()
