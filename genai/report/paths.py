"""Names of files on a page that is passed on: without the folders of this machine."""

from pathlib import Path

from genai.core.terminal import one_line


def public_path(path: str | Path) -> str:
    """Return a path relative to the working folder or, outside it, its last part."""
    absolute, folder = Path(path).absolute(), Path.cwd()
    return one_line(absolute.relative_to(folder).as_posix() if absolute.is_relative_to(folder) else absolute.name)


def public_word(word: str) -> str:
    """Return a word of the command line with ``public_path`` for a value that is an absolute path."""
    key, equals, value = word.partition("=")
    return f"{key}={public_path(value)}" if equals and Path(value).is_absolute() else word


def public_text(text: str, words: list[str]) -> str:
    """Return a text in which paths of ``words`` of the command line, and the working and home folder, are shortened."""
    values = (word.partition("=")[2] for word in words)
    for value in sorted({value for value in values if Path(value).is_absolute()}, key=len, reverse=True):
        text = text.replace(value, public_path(value))
    for folder, name in ((Path.cwd(), ""), (Path.home(), "~/")):
        text = text if folder == folder.parent else text.replace(f"{folder}/", name)  # "//" is part of addresses
    return text
