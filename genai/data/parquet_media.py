"""Media in Parquet files, in the layout of the Hugging Face hub: bytes in a column, captions in another."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Gt, Lt

from genai.core.cache import cache_key
from genai.core.data import Example, IterableSource, Partition, error_partitions, held_out
from genai.core.errors import UserError, join_names
from genai.core.personal_record import PersonalRecord
from genai.data.media_readers import MediaReader
from genai.data.parquet_rows import ParquetGroup, list_groups
from genai.data.personal_filter import PersonalFilter, PersonalMode, personal_stamp
from genai.data.text import find_texts

CAPTION_COLUMNS = ("caption", "text", "prompt", "label")


class ParquetMedia(IterableSource):
    """Media in the rows of Parquet files.

    A column holds the bytes of a file, or ``{"bytes": ..., "path": ...}``, as data sets of the Hugging Face hub do. The
    prompt is the text, or the number, in another one.

    Args:
        path: a Parquet file, a folder of them, or a glob.
        reader: of the media.
        val_fraction: fraction of the rows for validation, selected by their content.
        column: with the media; ``None``: the first one that has a usual name.
        caption_column: with the prompts; ``None``: the first one that has a usual name, if there is one.
        personal: what to do about personal data in captions, see ``PersonalFilter``.

    Raises:
        UserError: there is no Parquet file, or pyarrow is missing.
    """

    media: type[Any] = object  # type: ignore[misc]

    def __init__(
        self,
        path: str,
        reader: MediaReader,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        column: str | None = None,
        caption_column: str | None = None,
        personal: PersonalMode | None = None,
    ) -> None:
        self.personal = personal
        self.path, self.reader, self.val_fraction = path, reader, val_fraction
        self.column, self.caption_column = column, caption_column
        self.media, self.metrics = reader.media, reader.metrics

    def partitions(self) -> Sequence[Partition]:
        files, errors = find_texts(self.path, (".parquet",), item_name="Parquet file")
        options = (
            self.val_fraction,
            self.column,
            self.caption_column,
            self.reader.options,
            *personal_stamp(self.personal),
        )
        return [
            Partition(
                group.name,
                cache_key("parquet", group.stamp, *options),
                {split: partial(self._filter, group, split == "val") for split in ("train", "val")},
            )
            for file in files
            for group in list_groups(file)
        ] + error_partitions(errors)

    def _filter(self, group: ParquetGroup, is_val: bool) -> Iterator[Example | UserError | PersonalRecord]:
        return PersonalFilter(self.personal, "caption").read(self._read(group, is_val))

    def _read(self, group: ParquetGroup, is_val: bool) -> Iterator[Example | UserError]:
        """Yield the examples of one split in a group of rows."""
        for name in (self.column, self.caption_column):
            if name and name not in group.columns:
                raise UserError(f"{group.file} has no column '{name}'. It has: {join_names(group.columns)}.")
        column = self._find_column(group, self.column, self.reader.columns)
        caption_column = self._find_column(group, self.caption_column, CAPTION_COLUMNS)
        if column is None:
            yield UserError(
                f"{group.file} has no column {' or '.join(self.reader.columns)}: name one, data.column=. It has: "
                f"{join_names(group.columns)}."
            )
            return
        try:
            for number, row in group.read([column] if caption_column is None else [column, caption_column]):
                content, suffix = _file_of(row[column])
                place = f"{group.file}, row {number}"
                if not content or len(content) > self.reader.max_bytes:
                    if not is_val:
                        yield UserError(f"{place}: the column '{column}' holds no file.")
                elif held_out(content, self.val_fraction) == is_val:
                    media = self.reader.read_content(content, suffix, place)
                    caption = "" if caption_column is None else _caption(row[caption_column])
                    yield media if isinstance(media, UserError) else Example(media, caption)
        except UserError as error:
            yield error

    def _find_column(self, group: ParquetGroup, name: str | None, names: Sequence[str]) -> str | None:
        """Return the column with a name, or the first with a usual one; ``None`` if there is none."""
        return next((each for each in ([name] if name else names) if each in group.columns), None)


def _caption(value: Any) -> str:
    """Return the prompt in a cell: a text, a whole number, or the first of a list of texts; else ""."""
    if isinstance(value, list):
        value = value[0] if value else None
    is_plain = isinstance(value, str | int) and not isinstance(value, bool)
    return " ".join(str(value).split()) if is_plain else ""


def _file_of(value: Any) -> tuple[bytes, str]:
    """Return content and suffix of the file in a cell; no content if there is none."""
    if isinstance(value, bytes):
        return value, ""
    if not isinstance(value, Mapping) or not isinstance(value.get("bytes"), bytes):
        return b"", ""
    suffix = Path(str(value.get("path") or "")).suffix.lower()
    return value["bytes"], suffix if re.fullmatch(r"\.\w{1,9}", suffix, re.ASCII) else ""
