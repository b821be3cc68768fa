"""What people wrote beside their pictures and sounds: files of the same name, tables in a folder, names of folders."""

import csv
import io
import json
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genai.core.errors import UserError, short_repr
from genai.media.text import Document

BESIDE = (".txt", ".caption")
TABLES = ("metadata.jsonl", "metadata.csv", "manifest.jsonl", "manifest.csv")
NAMES = ("file_name", "path", "audio_filepath")
COLUMNS = ("text", "caption", "prompt")


@dataclass
class Captions:
    """The captions that were found.

    Attributes:
        by_stem: of a file of the same name, by that name without its suffix.
        by_name: of a row of a table, by the file that it names.
        notes: a line about each that could not be used.
    """

    by_stem: dict[str, str] = field(default_factory=dict)
    by_name: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def of(self, file: Path, root: Path) -> str:
        """The prompt of ``file``: of its own file, else of a table, else the name of its folder below ``root``."""
        stem, name = _stem(file), _plain(file)
        folder = "" if file.parent == root else file.parent.name.replace("_", " ")
        return self.by_stem.get(stem, self.by_name.get(name, " ".join(printable(folder).split())))


def read_captions(files: Sequence[Path], media: Sequence[Path], things: str) -> Captions:
    """The captions among ``files``; one that belongs to none of ``media``, ``things``, is said in the notes."""
    captions = Captions()
    stems = {_stem(file) for file in media}
    names = {_plain(file) for file in media}
    for file in files:
        try:
            if file.name in TABLES:
                for number, row in _rows(file):
                    _take(captions, file, number, row, names)
            elif file.suffix.lower() in BESIDE:
                if (stem := _stem(file)) in stems:
                    captions.by_stem[stem] = " ".join(Document.read(file).split())
                else:
                    captions.notes.append(f"{file} is a caption without a {things.removesuffix('s')}.")
        except UserError as error:
            captions.notes.append(str(error))
    return captions


def _take(captions: Captions, file: Path, number: int, row: Mapping[str, Any], names: set[str]) -> None:
    name, caption = (next((row[k] for k in keys if isinstance(row.get(k), str)), None) for keys in (NAMES, COLUMNS))
    if name is None or caption is None:
        captions.notes.append(f"{file}:{number} needs file_name, and one of {', '.join(COLUMNS)}.")
    elif (place := next(filter(names.__contains__, _places(file.parent, name)), None)) is None:
        captions.notes.append(f"{file}:{number} is about {short_repr(name)}, which is not there.")
    else:
        captions.by_name[place] = " ".join(printable(caption).split())


def _places(folder: Path, name: str) -> Iterator[str]:
    """Where a table means: LJSpeech has no folder and no suffix in its names."""
    return (_plain(folder / place) for place in (name, f"wavs/{name}.wav", f"{name}.wav"))


def printable(text: str) -> str:
    """``text`` with question marks for bytes of a file name that are no characters."""
    return text.encode("utf-8", "replace").decode()


def one_line(text: str) -> str:
    """``printable``, and without what would end a line or steer a terminal: names of files may have it."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", "?", printable(text))


def _plain(path: Path | str) -> str:
    """A path as a key: tables spell "é" as one character, file systems perhaps as two, and "a/../b" is "b"."""
    return unicodedata.normalize("NFC", os.path.normpath(path))


def _stem(file: Path) -> str:
    return _plain(file if file.is_dir() else os.path.splitext(file)[0])


def _dialect(content: str) -> dict[str, Any]:
    """Of a table with a header, between commas or bars; or LJSpeech's without: ``id|text``, ``id|text|normalised``."""
    first = content.partition("\n")[0].strip()
    if "|" not in first or "," in first.partition("|")[0]:
        return {}
    names = None if set(first.split("|")) & set(NAMES) else ("file_name", "caption", "text")
    return {"fieldnames": names, "delimiter": "|", "quoting": csv.QUOTE_NONE}


def _rows(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line, row) of a table; an empty row for a line that cannot be read. Raises ``UserError`` naming the file."""
    content = io.StringIO(Document.read(file), newline="")
    if file.suffix == ".csv":
        reader = csv.DictReader(content, **_dialect(content.getvalue()))
        try:
            yield from ((reader.line_num, row) for row in reader)
        except csv.Error as error:
            raise UserError(f"{file}:{reader.line_num} cannot be read ({error}), nor what follows.") from error
        return
    for number, line in enumerate(content, 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            yield number, row if isinstance(row, dict) else {}
