"""Markdown with texts of strangers in it: as text, in tables, and numbers with their intervals."""

import re
from collections.abc import Iterable, Iterator, Sequence

from genai.core.errors import short_text

MAX_PLAIN = 1e15
"""Smallest number that is written with an exponent."""
Z_95 = 1.96
"""Standard errors on both sides of a value that a 95 % interval has, if errors are normally distributed."""


def markdown_text(value: str) -> str:
    """Return a text of a stranger for a table of Markdown: on one line, without links, HTML and columns of its own."""
    return re.sub(r"([\\`\[\]<>|*!])", r"\\\1", short_text(value))


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table, whose cells are Markdown."""
    yield f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in head)}|"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def format_number(value: float | None) -> str:
    """Return a number for people: an integer with commas, else 4 digits; "" for ``None``."""
    if value is None:
        return ""
    if abs(value) >= MAX_PLAIN:
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def format_interval(value: float | None, standard_error: float | None) -> str:
    """Return ``0.62 ± 0.17``: a value, and ``Z_95`` standard errors in two digits; the value alone without an error."""
    if value is None or standard_error is None:
        return format_number(value)
    half = Z_95 * standard_error
    if abs(value) >= MAX_PLAIN or not 0 < half < MAX_PLAIN:
        return f"{format_number(value)} ± {half:.4g}"
    text = f"{half:.1e}"  # rounded to two digits
    digits = max(0, min(8, 1 - int(text.partition("e")[2])))
    return f"{value:,.{digits}f} ± {half:,.{digits}f}"
