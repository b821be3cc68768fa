"""Documents of text files: the whole file, its lines, or a field of its rows."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genai.core.errors import UserError
from genai.data.parquet_rows import read_parquet_rows
from genai.media.text import Document


def read_documents(file: Path, field: str, documents: str = "files") -> Iterator[str]:
    """Yield the documents of one file. Raises ``UserError`` naming the file, and the line, that cannot be read.

    Args:
        file: the file.
        field: field of a JSON object, or column of a Parquet file, that holds the text.
        documents: ``files`` or ``lines``, the documents of a text file.
    """
    if file.suffix.lower() == ".jsonl":
        for number, line in enumerate(Document.read(file).split("\n"), 1):
            if line.strip():
                yield json_field(line, field, f"{file}:{number}")
    elif file.suffix.lower() == ".parquet":
        yield from (str(row[field]) for row in read_parquet_rows(file, [field]) if row[field])
    else:
        text = str(Document.read(file))
        items = _json_items(text, field) if file.suffix.lower() == ".json" else None
        if items is not None:
            yield from items
        elif documents == "lines":
            yield from filter(None, map(str.strip, re.split(r"[\r\n]", text)))
        else:
            yield text


def _json_items(text: str, field: str) -> list[str] | None:
    """Return the texts of a JSON list of texts, or of objects with a text in ``field``; ``None`` for anything else."""
    if not text.lstrip().startswith("["):
        return None
    try:
        values: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    items: list[Any] = [value.get(field) if isinstance(value, dict) else value for value in values]
    if not items or not all(isinstance(item, str) for item in items):
        return None
    return [_to_unicode(item) for item in items]


def _to_unicode(text: str) -> str:
    """Replace halves of surrogate pairs, which JSON can spell."""
    return text.encode("utf-8", "replace").decode()


def json_field(line: str, field: str, where: str) -> str:
    """Return the text in a field of a line of JSON. Raises ``UserError`` naming the place ``where``."""
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON ({error}); the file is skipped.") from error
    if not isinstance(value, dict) or not isinstance(value.get(field), str):
        raise UserError(f"{where} has no text in the field '{field}'; the file is skipped.")
    return _to_unicode(str(value[field]))


def with_plain_line_ends(text: str) -> str:
    """Return a text whose line ends are ``\\n``."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
