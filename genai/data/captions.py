"""Captions next to media files: text files of the same name, tables in a folder, and names of folders."""

import csv
import io
import json
import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genai.core.errors import UserError, short_repr
from genai.core.terminal import printable
from genai.media.text import Document

CAPTION_SUFFIXES = (".txt", ".caption")
TABLE_NAMES = ("metadata.jsonl", "metadata.csv", "manifest.jsonl", "manifest.csv")
FILE_COLUMNS = ("file_name", "path", "audio_filepath")
CAPTION_COLUMNS = ("text", "caption", "prompt")
"""Names of the columns with the file and the caption; the first that exists is used."""


@dataclass
class Captions:
    """Captions of files.

    Attributes:
        by_stem: captions from text files, by their path without suffix.
        by_name: captions from tables, by the path of the file.
        notes: a line about each caption that could not be used.
    """

    by_stem: dict[str, str] = field(default_factory=dict)
    by_name: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def caption_of(self, file: Path, root: Path) -> str:
        """Return the caption of ``file``: from its text file, a table, or the name of its folder below ``root``."""
        stem, name = _stem(file), _normalize_path(file)
        folder_name = "" if file.parent == root else file.parent.name.replace("_", " ")
        return self.by_stem.get(stem, self.by_name.get(name, " ".join(printable(folder_name).split())))


def read_captions(files: Sequence[Path], media: Sequence[Path], item_name: str) -> Captions:
    """Read the captions among ``files``. A caption without one of ``media``, called ``item_name``, adds a note."""
    captions = Captions()
    stems = {_stem(file) for file in media}
    names = {_normalize_path(file) for file in media}
    for file in files:
        try:
            if file.name in TABLE_NAMES:
                for line, row in _read_table(file):
                    _add_row(captions, file, line, row, names)
            elif file.suffix.lower() in CAPTION_SUFFIXES:
                if (stem := _stem(file)) in stems:
                    captions.by_stem[stem] = " ".join(Document.read(file, "caption").split())
                else:
                    captions.notes.append(f"{file} is a caption without a {item_name.removesuffix('s')}.")
        except UserError as error:
            captions.notes.append(str(error))
    return captions


def _add_row(captions: Captions, file: Path, line: int, row: Mapping[str, Any], names: set[str]) -> None:
    name, caption = (
        next((row[column] for column in columns if isinstance(row.get(column), str)), None)
        for columns in (FILE_COLUMNS, CAPTION_COLUMNS)
    )
    if name is None or caption is None:
        captions.notes.append(f"{file}:{line} needs file_name, and one of {', '.join(CAPTION_COLUMNS)}.")
    elif (path := next(filter(names.__contains__, _candidate_paths(file.parent, name)), None)) is None:
        captions.notes.append(f"{file}:{line} names {short_repr(name)}, which does not exist.")
    else:
        captions.by_name[path] = " ".join(printable(caption).split())


def _candidate_paths(folder: Path, name: str) -> Iterator[str]:
    """Return the paths that a name in a table may stand for; names in LJSpeech have no folder and no suffix."""
    return (_normalize_path(folder / path) for path in (name, f"wavs/{name}.wav", f"{name}.wav"))


def _normalize_path(path: Path | str) -> str:
    """Normalize a path to a key: "é" may be one character in a table and two in a file system, and "a/../b" is "b"."""
    return unicodedata.normalize("NFC", os.path.normpath(path))


def _stem(file: Path) -> str:
    return _normalize_path(file if file.is_dir() else os.path.splitext(file)[0])


def _csv_options(content: str) -> dict[str, Any]:
    """Return options of ``csv.DictReader``.

    Supports headers with commas or bars, and LJSpeech's tables without a header: ``id|text`` or ``id|text|normalized``.
    """
    header = content.partition("\n")[0].strip()
    if "|" not in header or "," in header.partition("|")[0]:
        return {}
    names = None if set(header.split("|")) & set(FILE_COLUMNS) else ("file_name", "caption", "text")
    return {"fieldnames": names, "delimiter": "|", "quoting": csv.QUOTE_NONE}


def _read_table(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (line, row) of a table, with an empty row for an invalid line. Raises ``UserError`` naming the file."""
    content = io.StringIO(Document.read(file, "table"), newline="")
    if file.suffix == ".csv":
        reader = csv.DictReader(content, **_csv_options(content.getvalue()))
        try:
            yield from ((reader.line_num, row) for row in reader)
        except csv.Error as error:
            raise UserError(
                f"{file}:{reader.line_num} cannot be read ({error}), nor can the lines after it."
            ) from error
        return
    for line, text in enumerate(content, 1):
        if text.strip():
            try:
                row = json.loads(text)
            except (ValueError, RecursionError):
                row = None
            yield line, row if isinstance(row, dict) else {}
