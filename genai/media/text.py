"""Texts as files: read in any common encoding, written as UTF-8."""

import codecs
import html
from pathlib import Path
from typing import ClassVar, Self

from genai.core.errors import UserError
from genai.core.files import read_bytes
from genai.core.terminal import terminal_text

_BYTE_ORDER_MARKS = {
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}


class Document(str):
    """A text: a ``str`` that can be read from and written to a file."""

    suffix: ClassVar[str] = ".txt"

    @classmethod
    def read(cls, path: Path, kind: str = "text") -> Self:
        """Read UTF-8 with or without a byte order mark, or UTF-16 or UTF-32 with one.

        Raises:
            UserError: the file is missing or has another encoding.
        """
        content = read_bytes(path, kind)
        encoding = next((name for name, marks in _BYTE_ORDER_MARKS.items() if content.startswith(marks)), "utf-8-sig")
        try:
            text = cls(content.decode(encoding))
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not UTF-8 text (byte {error.start} is {content[error.start]:#04x}).") from error
        if "\0" in text:
            raise UserError(f"{path} has NUL characters: it is not a text, or it is UTF-16 without a byte order mark.")
        return text

    def to_bytes(self, suffix: str | None = None) -> bytes:
        return self.encode("utf-8", "replace")

    @property
    def summary(self) -> str:
        """Its length, for people."""
        return f"{len(self):,} characters"

    @property
    def on_terminal(self) -> str:
        return terminal_text(self)

    @classmethod
    def on_page(cls, path: Path) -> str:
        return cls.read(path)._repr_html_()

    def _repr_html_(self) -> str:
        return f"<pre style='white-space: pre-wrap'>\n{html.escape(self)}</pre>"
