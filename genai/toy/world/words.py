"""Helpers for captions of the toy world."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches


def join_words(*words: str | None) -> str:
    """Join ``words`` with spaces, leaving out empty ones."""
    return " ".join(word for word in words if word)


def with_article(words: str) -> str:
    """Return ``words`` preceded by "a" or "an"."""
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def check_words(words: Iterable[str], filler_words: Collection[str], value_words: Collection[str]) -> None:
    """Raise ``ValueError`` for the first word that is in neither collection, and name the most similar value word."""
    unknown = next((word for word in words if word not in filler_words and word not in value_words), None)
    if unknown is not None:
        matches = get_close_matches(unknown, value_words, n=1)
        raise ValueError(f"unknown word '{unknown}'" + (f", did you mean '{matches[0]}'?" if matches else ""))
