"""Reading ``metrics.csv`` of a run, also while it grows."""

import csv
import io
import math
import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genai.core.errors import UserError
from genai.core.files import MAX_BYTES, open_file, read_text

MAX_ROWS, MAX_DIGITS = 1_000_000, 19
"""Rows of ``metrics.csv`` that are read, and digits of a step."""
MAX_COLUMNS, MAX_NUMBERS = 200, 20_000_000
"""Columns of ``metrics.csv``, and numbers of a run that are kept in memory."""
MAX_VALUE = 1e30
"""Larger values are left out, as are those that are not finite."""
MAX_LINE_BYTES = 64 * 2**10
"""Longest line with the names of the columns."""


def read_metrics(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return columns and complete rows of ``metrics.csv``, no rows if there is no file. Raises ``UserError``."""
    text = read_text(path, "metrics", path.parent) if os.path.lexists(path) else ""
    if text.count("\n") > MAX_ROWS:
        raise UserError(f"{path} has more than {MAX_ROWS:,} rows.")
    reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))  # without an incomplete last line
    try:
        columns = list(reader.fieldnames or ["step"])
        if "step" not in columns:
            raise UserError(f"cannot read {path}: it has no column step.")
        complete = [row for row in reader if None not in (*row, *row.values())]
    except csv.Error as error:
        raise UserError(f"cannot read {path}: {error}.") from error
    return columns, [row for row in complete if row["step"].isdecimal() and len(row["step"]) < MAX_DIGITS]


class MetricsReader:
    """The numbers of a run, of which only what is new is read again.

    Args:
        path: ``metrics.csv`` of the run.

    Attributes:
        columns: names of the columns, ``step`` first.
        values: of each column; NaN where a row has none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._clear()

    def _clear(self) -> None:
        self.columns: list[str] = []
        self.values: dict[str, array[float]] = {"step": array("d")}
        self._place, self._start = 0, (0, 0, b"")

    def update(self) -> None:
        """Read the lines that are complete and new. Raises ``UserError`` if the file cannot be read."""
        if not os.path.lexists(self.path):
            self._clear()
            return
        with open_file(self.path, MAX_BYTES["metrics"], self.path.parent) as file:
            status = os.fstat(file.fileno())
            start = (status.st_dev, status.st_ino, file.readline(MAX_LINE_BYTES))
            if start != self._start or status.st_size < self._place:  # written anew, as for a new column
                self._clear()
                self._start = start
            file.seek(self._place)
            content = file.read(MAX_BYTES["metrics"])
        content = content[: content.rfind(b"\n") + 1]  # without an incomplete last line
        self._place += len(content)
        if not content:
            return
        try:
            rows = csv.reader(io.StringIO(content.decode("utf-8-sig", "replace"), newline=""))
            if not self.columns:
                self._set_columns(next(rows))
            for row in rows:
                self._add(row)
        except (csv.Error, StopIteration) as error:
            raise UserError(f"cannot read {self.path}: {error}.") from error

    def _set_columns(self, names: list[str]) -> None:
        if "step" not in names:
            raise UserError(f"cannot read {self.path}: it has no column step.")
        if len(names) > MAX_COLUMNS:
            raise UserError(f"cannot read {self.path}: it has more than {MAX_COLUMNS} columns.")
        self.columns = names
        self.values = {name: array("d") for name in names}

    def _add(self, row: Sequence[str]) -> None:
        cells = dict(zip(self.columns, row, strict=False))
        step = cells.get("step", "")
        if len(row) != len(self.columns) or not step.isdecimal() or len(step) >= MAX_DIGITS:
            return
        if len(self.values["step"]) >= MAX_ROWS:
            raise UserError(f"{self.path} has more than {MAX_ROWS:,} rows.")
        if len(self.values["step"]) * len(self.columns) >= MAX_NUMBERS:
            raise UserError(f"{self.path} has more than {MAX_NUMBERS:,} numbers.")
        for name, column in self.values.items():
            column.append(as_number(cells[name]))

    def last(self, name: str) -> float | None:
        """Return the last value of a column; ``None``: there is none."""
        column = self.values.get(name, array("d"))
        return next((value for value in reversed(column) if not math.isnan(value)), None)


def as_number(text: str) -> float:
    """Return a number of ``metrics.csv``; NaN if it is none, or absurd."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if abs(value) < MAX_VALUE else math.nan


def spread_rows(columns: Sequence[Sequence[float]], start: int, max_rows: int) -> list[int]:
    """Choose rows from ``start`` on: the first, the last, and the extremes of parts of each column.

    Args:
        columns: values, NaN where there is none.
        start: first row.
        max_rows: number of rows that are chosen at most.
    """
    end = len(columns[0]) if columns else 0
    if end - start <= max_rows:
        return list(range(start, end))
    chosen = {start, end - 1}
    num_parts = max(1, (max_rows - 2) // (2 * len(columns)))
    for column in columns:
        values = np.array(column[start:])
        rows = np.flatnonzero(~np.isnan(values))
        for part in np.array_split(rows, num_parts):
            if part.size:
                chosen |= {start + int(part[choose(values[part])]) for choose in (np.argmin, np.argmax)}
    found = sorted(chosen)
    if len(found) <= max_rows:
        return found
    return [found[int(index)] for index in np.linspace(0, len(found) - 1, max_rows)]  # there are too many columns


def as_plain(value: float) -> Any:
    """Return a number for JSON: ``None`` for NaN."""
    return None if math.isnan(value) else value
