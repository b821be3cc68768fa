"""Rows of Parquet files, a few at a time."""

from collections.abc import Iterator, Sequence
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
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise UserError(f"{file}: Parquet needs pyarrow: pip install 'genai[parquet]'.") from None
    check_file(file)
    try:
        with parquet.ParquetFile(file) as table:
            if missing := set(columns or ()) - set(table.schema_arrow.names):
                raise UserError(f"{file} has no readable column '{min(missing)}'.")
            if (size := _declared_size(table.metadata, columns)) > MAX_BYTES["text"]:
                raise UserError(f"{file} declares {size:,} bytes; at most {MAX_BYTES['text']:,} are read.")
            for batch in table.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns and list(columns)):
                yield from batch.to_pylist()
    except (ArrowException, ValueError, OSError) as error:  # ValueError: text that is not UTF-8
        raise UserError(f"{file} cannot be read ({short_text(str(error).split(chr(10))[0])}).") from error


def _declared_size(metadata: Any, columns: Sequence[str] | None) -> int:
    """Return the bytes of columns without compression, as the file declares them."""
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    parts = (group.column(index) for group in groups for index in range(group.num_columns))
    names = None if columns is None else set(columns)
    return sum(
        part.total_uncompressed_size
        for part in parts
        if names is None or part.path_in_schema.split(".")[0] in names or part.path_in_schema in names
    )
