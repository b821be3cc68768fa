"""Rows of Parquet files, a few at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genai.core.errors import UserError, short_text
from genai.core.files import MAX_BYTES, check_file

ROWS_AT_ONCE = 64


def read_parquet_rows(file: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file as dictionaries.

    Args:
        file: the file.
        columns: names of those to read; ``None``: all.

    Raises:
        UserError: it cannot be read, holds text that is not UTF-8, declares too many bytes, or pyarrow is missing.
    """
    with _open_table(file) as table:
        if missing := set(columns or ()) - set(table.schema_arrow.names):
            raise UserError(f"{file} has no readable column '{min(missing)}'.")
        _check_declared_size(file, table.metadata, columns, range(table.metadata.num_row_groups))
        for batch in table.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns and list(columns)):
            yield from batch.to_pylist()


@dataclass(frozen=True)
class ParquetGroup:
    """A group of rows of a Parquet file, which can be read by itself.

    Attributes:
        file: the file.
        number: of the group in it.
        first_row: number of its first row, from 1.
        columns: names of the columns.
        stamp: changes when the file does.
    """

    file: Path
    number: int
    first_row: int
    columns: tuple[str, ...]
    stamp: str

    @property
    def name(self) -> str:
        """The group, for people."""
        return f"{self.file.name}, group {self.number + 1}"

    def read(self, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the number of each row, and the row. Raises ``UserError`` if it cannot be read, or is too large."""
        with _open_table(self.file) as table:
            _check_declared_size(self.file, table.metadata, columns, [self.number])
            first = self.first_row
            for batch in table.iter_batches(ROWS_AT_ONCE, [self.number], list(columns)):
                yield from enumerate(batch.to_pylist(), first)
                first += batch.num_rows


def list_groups(file: Path) -> list[ParquetGroup]:
    """Return the groups of rows of a file. Raises ``UserError`` if it cannot be read."""
    with _open_table(file) as table:
        status, columns, first = file.stat(), tuple(table.schema_arrow.names), 1
        groups = list[ParquetGroup]()
        for number in range(table.metadata.num_row_groups):
            stamp = f"{file.absolute()} {status.st_size} {status.st_mtime_ns} {number}"
            groups.append(ParquetGroup(file, number, first, columns, stamp))
            first += table.metadata.row_group(number).num_rows
        return groups


@contextmanager
def _open_table(file: Path) -> Iterator[Any]:
    """Open a Parquet file; what pyarrow raises becomes a ``UserError`` naming it."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise UserError(f"{file}: Parquet needs pyarrow: pip install 'genai[parquet]'.") from None
    check_file(file)
    try:
        with parquet.ParquetFile(file) as table:
            yield table
    except (ArrowException, ValueError, OSError) as error:  # ValueError: text that is not UTF-8
        raise UserError(f"{file} cannot be read ({short_text(str(error).split(chr(10))[0])}).") from error


def _check_declared_size(file: Path, metadata: Any, columns: Sequence[str] | None, groups: Sequence[int]) -> None:
    """Raise ``UserError`` if columns of some groups of rows have too many bytes without compression."""
    parts = (metadata.row_group(number).column(index) for number in groups for index in range(metadata.num_columns))
    names = None if columns is None else set(columns)
    size = sum(
        part.total_uncompressed_size
        for part in parts
        if names is None or part.path_in_schema.split(".")[0] in names or part.path_in_schema in names
    )
    if size > MAX_BYTES["text"]:
        raise UserError(f"{file} declares {size:,} bytes; at most {MAX_BYTES['text']:,} are read.")
