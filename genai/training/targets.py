"""Training examples of which only a part is learned, for people."""

from collections.abc import Sequence

from genai.core.terminal import terminal_text

MAX_EXAMPLE = 600
"""Characters of an example that are shown."""


def mark_targets(parts: Sequence[tuple[str, bool]], has_colors: bool = False) -> str:
    """Return the parts of an example in one line, those that are learned in green, or in brackets.

    Args:
        parts: texts, and whether they are learned.
        has_colors: whether the line is for a terminal.
    """
    begin, end = ("\033[32m", "\033[0m") if has_colors else ("[[", "]]")
    text, remaining = "", MAX_EXAMPLE
    for part, is_target in parts:
        line = terminal_text(part).replace("\n", "\\n")
        line = line if len(line) <= remaining else f"{line[:remaining]} ..."
        remaining = max(0, remaining - len(line))
        text += f"{begin}{line}{end}" if is_target else line
        if not remaining:
            break
    return text
