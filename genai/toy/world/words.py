"""Helpers for captions of the toy world."""


def join_words(*words: str | None) -> str:
    """Join ``words`` with spaces, leaving out empty ones."""
    return " ".join(word for word in words if word)


def with_article(words: str) -> str:
    """Return ``words`` preceded by "a" or "an"."""
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"
