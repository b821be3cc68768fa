"""Text of others on a terminal: control characters could move its cursor, set its title or hide lines."""

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Replace bytes of file names and halves of surrogate pairs, which are no characters, by question marks."""
    return text.encode("utf-8", "replace").decode()


def terminal_text(text: str) -> str:
    """Replace control characters, other than tabs and line breaks, and changes of direction by question marks.

    Carriage returns are left out: with them, a line could cover what stands before it.
    """
    return _CONTROL.sub("?", printable(text).replace("\r", ""))


def one_line(text: str) -> str:
    """Replace control characters, tabs and line breaks by question marks."""
    return re.sub(r"[\t\n]", "?", terminal_text(text))
