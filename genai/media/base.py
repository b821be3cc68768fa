"""What media are: values that people have, and files of them."""

from pathlib import Path
from typing import Annotated, Any, Protocol, Self

FileName = Annotated[str, "file"]
"""The type of an option that names a file: a recipe keeps its absolute path and its hash."""


class Media(Protocol):
    """A value that people have: a text, a picture, a sound, a clip."""

    @property
    def suffix(self) -> str:
        """Of the file that it is written to by default: ``".txt"``."""
        ...

    @classmethod
    def read(cls, path: Path) -> Self:
        """Any file type that its users have. Raises ``UserError`` naming the file."""
        ...

    def to_bytes(self, suffix: str | None = None) -> bytes:
        """The content of a file with that suffix."""
        ...

    @property
    def on_terminal(self) -> str:
        """What a terminal can show of it; empty where that is nothing."""
        ...

    @classmethod
    def on_page(cls, path: Path) -> str:
        """HTML that shows or plays a file of it, all in itself: no script, no address. Raises ``UserError`` naming it."""
        ...


class Growing(Protocol):
    """A file of media to which parts are added; what is on the disk is whole at every moment."""

    def append(self, part: Any) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: Any) -> None: ...
