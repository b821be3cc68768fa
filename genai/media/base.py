"""Interfaces of media: values such as texts, pictures and sounds, and the files that hold them."""

from pathlib import Path
from typing import Annotated, Any, Protocol, Self

FileName = Annotated[str, "file"]
"""Type of an option that names a file; a recipe records its absolute path and its hash."""
FILE_OR_CONTENT = "file or content"
"""Metadata of the type of an option whose text can also name the file that holds its value."""


class Media(Protocol):
    """A value that a model reads or samples: a text, a picture, a sound, a clip."""

    @property
    def suffix(self) -> str:
        """Suffix of the file that it is written to by default, such as ``".txt"``."""
        ...

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of any common type. Raises ``UserError`` naming the file."""
        ...

    def to_bytes(self, suffix: str | None = None) -> bytes:
        """Return the content of a file with that suffix."""
        ...

    @property
    def on_terminal(self) -> str:
        """Text to print in a terminal; empty if it cannot be shown there."""
        ...

    @classmethod
    def on_page(cls, path: Path) -> str:
        """Return self-contained HTML (no scripts, no links) that shows a file. Raises ``UserError`` naming the file."""
        ...


class StreamWriter(Protocol):
    """A media file to which parts are appended; the file on disk is valid at every moment."""

    def append(self, part: Any) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None: ...


def is_sequential(media: Any) -> bool:
    """Return whether the parts of such a sample follow each other, as those of a text or sound; else each replaces the
    one before."""
    return bool(getattr(media, "is_sequential", False))
