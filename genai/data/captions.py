"""Captions next to media files: text files of the same name, tables in a folder, and names of folders and files."""

import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

from genai.core.caption_choice import Caption
from genai.core.errors import UserError, did_you_mean, join_names
from genai.core.terminal import printable
from genai.data.caption_table import TABLE_NAMES, normalize_column, read_table
from genai.media.text import Document

CAPTION_SUFFIXES = (".txt", ".caption")
CaptionReaders = Mapping[str, Callable[[Path], str]]
"""Functions that read captions from files of other formats, by suffix in lower case. They raise ``UserError``."""
_COUNTER = re.compile(r"(?<=.)(?:[ _-]+\d+| *\(\d+\))$")
"""The number at the end of ``red_ball_01``, ``red ball-2`` or ``red ball (3)``."""


@dataclass
class Captions:
    """Captions of files.

    Attributes:
        by_stem: captions from text files, or files of other formats, by their path without suffix.
        by_name: captions from tables, by the path of the file.
        columns: what tables say besides, by the path of the file: values by the names of columns.
        choices: captions of which one is drawn in each epoch, by the path of the file.
        caption_columns: the columns of tables that captions are in; empty: captions are where they usually are.
        found_columns: names of all columns of tables.
        notes: a line about each caption, or whole table, that could not be used.
        num_unused: number of captions that could not be used.
    """

    by_stem: dict[str, str] = field(default_factory=dict)
    by_name: dict[str, str] = field(default_factory=dict)
    columns: dict[str, Mapping[str, str]] = field(default_factory=dict)
    choices: dict[str, tuple[Caption, ...]] = field(default_factory=dict)
    caption_columns: Sequence[str] = ()
    found_columns: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    num_unused: int = 0

    def caption_of(self, file: Path, root: Path) -> str:
        """Return the caption of ``file``: from its text file, a table, or the name of its folder below ``root``."""
        stem, name = _stem(file), _normalize_path(file)
        if self.caption_columns:
            return self.by_name.get(name, "")
        folder_name = "" if file.parent == root else file.parent.name.replace("_", " ")
        return self.by_stem.get(stem, self.by_name.get(name, " ".join(printable(folder_name).split())))

    def choices_of(self, file: Path) -> tuple[Caption, ...]:
        """Return the captions of which one is drawn in each epoch; none if there is only one."""
        return () if _stem(file) in self.by_stem else self.choices.get(_normalize_path(file), ())

    def columns_of(self, file: Path, root: Path) -> Mapping[str, str]:
        """Return what is known of ``file`` besides its caption: columns of tables, and the name of its ``folder``."""
        folder = {} if file.parent == root else {"folder": " ".join(printable(file.parent.name).split())}
        return folder | dict(self.columns.get(_normalize_path(file), {}))

    def origin_of(self, file: Path, root: Path) -> str:
        """Return where the caption of ``file`` comes from; "" if it has none."""
        if _stem(file) in self.by_stem:
            return "text files"
        if _normalize_path(file) in self.by_name:
            return "tables"
        return "names of folders" if self.caption_of(file, root) else ""

    def check_columns(self) -> None:
        """Raise ``UserError`` if a column that captions should be in is in no table."""
        for name in self.caption_columns:
            if normalize_column(name) not in self.found_columns:
                known = f" There are: {join_names(sorted(self.found_columns))}." if self.found_columns else ""
                hint = did_you_mean(name, self.found_columns)
                raise UserError(f"data.captions={printable(name)}: no {TABLE_NAMES[0]} has this column.{hint}{known}")


def read_captions(
    files: Sequence[Path],
    media: Sequence[Path],
    item_name: str,
    caption_columns: Sequence[str] = (),
    readers: CaptionReaders = MappingProxyType({}),
) -> Captions:
    """Read the captions among ``files``. A caption without one of ``media``, called ``item_name``, adds a note.

    With ``caption_columns``, captions are in these columns of tables alone. A text file wins over one of ``readers``.

    Raises:
        UserError: no table has one of these columns.
    """
    captions = Captions(caption_columns=caption_columns)
    stems = {_stem(file) for file in media}
    names = {_normalize_path(file) for file in media}
    for file in files:
        try:
            if file.name in TABLE_NAMES:
                _add_table(captions, file, names)
            elif file.suffix.lower() in (*CAPTION_SUFFIXES, *readers) and not caption_columns:
                if _stem(file) in stems:
                    _add_file(captions, file, readers)
                else:
                    captions.notes.append(f"{file} is a caption without a {item_name.removesuffix('s')}.")
                    captions.num_unused += 1
        except UserError as error:
            captions.notes.append(str(error))
            captions.num_unused += file.name not in TABLE_NAMES
    captions.check_columns()
    if not captions.by_stem and not captions.by_name:
        tables = [file for file in files if file.suffix in (".csv", ".tsv", ".jsonl") and file.name not in TABLE_NAMES]
        captions.notes += [
            f"{file} is not read: a table of captions is called metadata{file.suffix}." for file in tables
        ]
    return captions


def name_caption(file: Path) -> str:
    """Return the name of a file as a caption: "red ball" for ``red_ball_01.png`` and ``red_ball (2).png``."""
    name = file.name if file.is_dir() else file.stem
    return " ".join(printable(_COUNTER.sub("", name)).replace("_", " ").split())


def describe_prompts(prompts: Sequence[str]) -> str:
    """Return how many different prompts there are, and how many items have none, for the description of a source."""
    count, num_empty = len({*prompts} - {""}), prompts.count("")
    if not count:
        return "no captions found: nothing to ask for"
    without = f" ({num_empty:,} without)" if num_empty else ""
    return f"{count:,} different prompts{without}" if count > 1 else f"1 prompt{without}"


def _add_file(captions: Captions, file: Path, readers: CaptionReaders) -> None:
    """Add the caption in ``file``; a text file replaces that of another format. Raises ``UserError``."""
    if read := readers.get(file.suffix.lower()):
        captions.by_stem.setdefault(_stem(file), read(file))
    else:
        captions.by_stem[_stem(file)] = " ".join(Document.read(file, "caption").split())


def _add_table(captions: Captions, file: Path, names: set[str]) -> None:
    """Add the captions of a table in ``file`` for the files ``names``."""

    @cache  # each dialect of a table is tried on all its rows
    def find_file(name: str) -> str | None:
        return next(filter(names.__contains__, _candidate_paths(file.parent, name)), None)

    table = read_table(file, find_file, captions.caption_columns)
    captions.found_columns.update(map(normalize_column, table.columns))
    captions.choices.update({row.file: row.captions for row in table.rows if not row.problem})
    captions.by_name.update({row.file: row.caption for row in table.rows if not row.problem})
    captions.columns.update({row.file: row.columns for row in table.rows if row.columns})
    captions.notes += table.notes(file)
    captions.num_unused += len(table.rows) - table.num_used


def _candidate_paths(folder: Path, name: str) -> Iterator[str]:
    """Return the paths that a name in a table may stand for; names in LJSpeech have no folder and no suffix."""
    return (_normalize_path(folder / path) for path in (name, f"wavs/{name}.wav", f"{name}.wav"))


def _normalize_path(path: Path | str) -> str:
    """Normalize a path to a key: "é" may be one character in a table and two in a file system, and "a/../b" is "b"."""
    return unicodedata.normalize("NFC", os.path.normpath(path))


def _stem(file: Path) -> str:
    return _normalize_path(file if file.is_dir() else os.path.splitext(file)[0])
