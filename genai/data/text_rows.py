"""Rows of files of texts: JSON lines, JSON lists, Parquet, and tables as spreadsheets write them."""

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from genai.core.errors import UserError, short_text
from genai.core.files import read_text
from genai.core.plain_data import check_tree, parse_json
from genai.data.parquet_rows import read_parquet_rows

T = TypeVar("T")
SUFFIXES = frozenset([".json", ".jsonl", ".parquet", ".csv", ".tsv"])
MAX_LIST_VALUES = 50_000_000
"""Values of a ``.json`` file."""
DELIMITERS = (",", ";", "\t")


def read_each(file: Path, read: Callable[[Any, str], tuple[str, T]], skipped: list[str]) -> Iterator[tuple[str, T]]:
    """Yield what ``read`` makes of each row and its place; add to ``skipped`` the errors of others, and of the file."""
    try:
        for place, row in read_rows(file):
            try:
                yield read(row, place)
            except UserError as error:
                skipped.append(str(error))
    except UserError as error:
        skipped.append(str(error))


def read_rows(file: Path) -> Iterator[tuple[str, Any]]:
    """Yield place and value of each row; of a row that is broken, the ``UserError`` in place of its value.

    Raises:
        UserError: the file cannot be read.
    """
    suffix = file.suffix.lower()
    if suffix == ".jsonl":
        for number, line in enumerate(read_text(file, "text").split("\n"), 1):
            if line.strip():
                yield f"{file}:{number}", _parse_line(line, f"{file}:{number}")
    elif suffix in (".csv", ".tsv"):
        yield from _read_table(file)
    elif suffix == ".parquet":
        for number, row in enumerate(read_parquet_rows(file), 1):
            yield f"{file}, row {number}", check_tree(row, str(file))
    else:
        rows = parse_json(read_text(file, "text"), str(file), MAX_LIST_VALUES)
        if not isinstance(rows, list):
            raise UserError(f"{file} holds a {type(rows).__name__}, not a list of rows.")
        yield from ((f"{file}, row {number}", row) for number, row in enumerate(rows, 1))


def _parse_line(line: str, place: str) -> Any:
    try:
        return parse_json(line, place)
    except UserError as error:
        return error


def _read_table(file: Path) -> Iterator[tuple[str, Any]]:
    """Yield the rows of a table whose first line names its columns, in small letters."""
    try:
        text = read_text(file, "text")
    except UserError as error:
        raise UserError(
            f"{error} A spreadsheet can save it as CSV UTF-8." if "UTF-8" in str(error) else error
        ) from error
    text = text.lstrip("\n")
    first_line = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=lambda each: len(next(csv.reader([first_line], delimiter=each), [])))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    limit = csv.field_size_limit(len(text) + 1)  # the file's own limit is that of its kind
    try:
        columns = [cell.strip().lower() for cell in next(reader, [])]
        if copies := [name for name in columns if name and columns.count(name) > 1]:
            raise UserError(f"{file} has two columns '{short_text(copies[0])}'.")
        for cells in reader:
            place = f"{file}:{reader.line_num}"
            if len(cells) > len(columns):
                yield place, UserError(f"{place} has {len(cells):,} cells, but the first line {len(columns):,}.")
            elif any(cells):
                yield place, {name: cell for name, cell in zip(columns, cells, strict=False) if name}
    except csv.Error as error:
        raise UserError(f"{file}:{reader.line_num}: {error}.") from error
    finally:
        csv.field_size_limit(limit)
