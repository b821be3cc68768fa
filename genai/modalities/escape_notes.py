"""Notes about backslashes in texts of a command line, which are probably meant as line breaks."""

from collections.abc import Sequence


def escape_notes(name: str, texts: Sequence[str]) -> list[str]:
    """Say that a backslash and a letter are two characters if that is probably not meant."""
    escape = next((escape for escape in ("\\n", "\\t") if any(escape in text for text in texts)), None)
    if escape is None:
        return []
    replacement = {"\\n": "a line break", "\\t": "a tab"}[escape]
    example = f"""{name}=$'{escape}' or {name}='["{escape}"]'"""
    return [f"{name}= has the two characters {escape}; {replacement} is {example}"]
