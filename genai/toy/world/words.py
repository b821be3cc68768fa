"""Words of the toy world's captions: how they are put together, and what is said of one that nobody knows."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches


def join(*words: str | None) -> str:
    """``words`` with spaces between them, without what is empty."""
    return " ".join(word for word in words if word)


def article(words: str) -> str:
    """``words`` behind "a" or "an"."""
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def check_known(words: Iterable[str], fillers: Collection[str], meanings: Collection[str]) -> None:
    """Raises ``ValueError`` for the first word that is in neither, with the nearest one that means something."""
    unknown = next((word for word in words if word not in fillers and word not in meanings), None)
    if unknown is not None:
        near = get_close_matches(unknown, meanings, n=1)
        raise ValueError(f"unknown word '{unknown}'" + (f", did you mean '{near[0]}'?" if near else ""))
