"""Texts as files: read in any common encoding, written as UTF-8."""

import codecs
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from genai.core.errors import UserError
from genai.core.files import read_bytes
from genai.core.terminal import terminal_text

_BYTE_ORDER_MARKS = {
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}


@dataclass(frozen=True)
class TokenProbability:
    """A generated token, as the model itself saw it: before temperature, filters, penalties and bias.

    Attributes:
        content: its bytes, which can be a part of a character.
        log_prob: natural logarithm of its probability.
        top_log_probs: the most probable tokens in its place with theirs, the most probable one first.
    """

    content: bytes
    log_prob: float
    top_log_probs: Sequence[tuple[bytes, float]] = ()


class Document(str):
    """A text: a ``str`` that can be read from and written to a file.

    Attributes:
        tokens: of a sample with ``logprobs``: those that were generated.
    """

    suffix: ClassVar[str] = ".txt"
    is_sequential: ClassVar[bool] = True
    tokens: Sequence[TokenProbability] = ()

    @property
    def side_files(self) -> dict[str, bytes]:
        """Files beside that of the text, by what their names end in."""
        return {"-logprobs.json": _tokens_json(self.tokens)} if self.tokens else {}

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


def _tokens_json(tokens: Sequence[TokenProbability]) -> bytes:
    entry = lambda content, log_prob: {  # noqa: E731
        "token": content.decode("utf-8", "replace"),
        "bytes": list(content),
        "logprob": round(log_prob, 6),
    }
    entries = [
        entry(token.content, token.log_prob) | {"top_logprobs": [entry(*each) for each in token.top_log_probs]}
        for token in tokens
    ]
    return json.dumps(entries, indent=1, ensure_ascii=False).encode("utf-8")
