"""Texts in parts: ranges of bytes of large files, rows of tables, and small files together. None is held in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from genai.core.cache import cache_key
from genai.core.data import Example, Partition, held_out
from genai.core.errors import UserError, join_names
from genai.core.files import MAX_BYTES, open_file
from genai.core.personal_record import PersonalRecord
from genai.data.parquet_rows import ParquetGroup, list_groups
from genai.data.personal_filter import PersonalFilter, PersonalMode, personal_stamp
from genai.data.text_documents import json_field, read_documents, with_plain_line_ends
from genai.media.text import Document

PART_BYTES = 128 * 2**20
"""Size of the range of a file, or of the small files together, that one process reads."""
DOCUMENT_BYTES = 2**20
"""Size of the documents, about, into which a text file is cut that is larger than a part."""


@dataclass(frozen=True)
class TextRange:
    """Lines of a file: those that begin between two places.

    Attributes:
        file: the file.
        start, stop: places in bytes.
        is_whole: whether that is all of it.
    """

    file: Path
    start: int
    stop: int
    is_whole: bool

    @property
    def name(self) -> str:
        """The range, for people."""
        return self.file.name if self.is_whole else f"{self.file.name}, from byte {self.start:,}"

    @property
    def stamp(self) -> str:
        """Changes when the file does."""
        status = self.file.stat()
        return f"{self.file.absolute()} {status.st_size} {status.st_mtime_ns} {self.start} {self.stop}"

    @property
    def num_bytes(self) -> int:
        """Size of the range."""
        return self.stop - self.start

    def read(self, field: str, documents: str) -> Iterator[str | UserError]:
        """Yield documents, or why one cannot be read.

        Args:
            field: field of a JSON object that holds the text.
            documents: ``files`` or ``lines``, the documents of a text file.
        """
        if self.is_whole and self.file.suffix.lower() != ".jsonl":
            try:
                yield from read_documents(self.file, field, documents)
            except UserError as error:
                yield error
            return
        lines = _read_lines(self)
        if self.file.suffix.lower() == ".jsonl":
            yield from (_document(line, field, self.file, place) for place, line in lines if line)
        elif documents == "lines":
            yield from (line if isinstance(line, UserError) else line.strip() for _, line in lines)
        else:
            yield from _join_lines(line for _, line in lines)


@dataclass(frozen=True)
class TextRows:
    """The rows of a group of a Parquet file, which make a part of their own."""

    group: ParquetGroup
    num_bytes: int = PART_BYTES

    @property
    def name(self) -> str:
        """The rows, for people."""
        return self.group.name

    @property
    def stamp(self) -> str:
        """Changes when the file does."""
        return self.group.stamp

    def read(self, field: str, documents: str) -> Iterator[str | UserError]:
        """Yield the texts in the column ``field``, or why they cannot be read."""
        try:
            for _, row in self.group.read([field]):
                yield str(row[field] or "")
        except KeyError:
            yield UserError(f"{self.group.file} has no column '{field}'. It has: {join_names(self.group.columns)}.")
        except UserError as error:
            yield error


def text_partitions(
    files: Sequence[Path], field: str, documents: str, val_fraction: float, personal: PersonalMode | None = None
) -> list[Partition]:
    """Return the parts of text files.

    Args:
        files: in order.
        field: field of a JSON object, or column of a Parquet file, that holds the text.
        documents: ``files`` or ``lines``, the documents of a text file.
        val_fraction: fraction of the documents that are held out.
        personal: see ``PersonalFilter``.
    """
    groups: list[list[TextRange | TextRows]] = []
    size = 0
    for member in (each for file in files for each in _ranges(file)):
        size += member.num_bytes
        if not groups or size > PART_BYTES:
            groups.append([])
            size = member.num_bytes
        groups[-1].append(member)
    return [
        Partition(
            group[0].name,
            cache_key(
                "text", [member.stamp for member in group], field, documents, val_fraction, *personal_stamp(personal)
            ),
            {
                split: partial(_read_split, group, field, documents, val_fraction, split == "val", personal)
                for split in ("train", "val")
            },
        )
        for group in groups
    ]


def _ranges(file: Path) -> Iterator[TextRange | TextRows]:
    """Yield the ranges of a file that can be read by themselves."""
    if file.suffix.lower() == ".parquet":
        yield from map(TextRows, list_groups(file))
        return
    size = file.stat().st_size
    if size <= PART_BYTES or file.suffix.lower() == ".json":
        yield TextRange(file, 0, size, True)
        return
    for start in range(0, size, PART_BYTES):
        yield TextRange(file, start, min(start + PART_BYTES, size), False)


def _read_split(
    members: Sequence[TextRange | TextRows],
    field: str,
    documents: str,
    val_fraction: float,
    is_val: bool,
    personal: PersonalMode | None,
) -> Iterator[Example | UserError | PersonalRecord]:
    """Yield the different documents of one split; both splits read all, so errors and finds are those of training."""
    mode = None if is_val and personal == "report" else personal
    hashes, personal_filter = set[int](), PersonalFilter(mode, "document")
    for text in (text for member in members for text in member.read(field, documents)):
        if isinstance(text, UserError):
            if not is_val:
                yield text
            continue
        text = with_plain_line_ends(text)
        if (changed := personal_filter.apply(text)) is None:
            if not is_val:
                yield personal_filter.left_out
            continue
        text = changed
        content = text.encode("utf-8", "replace")
        digest = hash(content)  # of 64 bits: two different documents of a part hardly ever share one
        if text and not text.isspace() and digest not in hashes and held_out(content, val_fraction) == is_val:
            hashes.add(digest)
            yield Example(Document(text))
    if (record := personal_filter.record) and not is_val:
        yield record


def _read_lines(text_range: TextRange) -> Iterator[tuple[int, str | UserError]]:
    """Yield the place and the text of each line, or why it cannot be read."""
    limit = MAX_BYTES["sample"]
    try:
        file = open_file(text_range.file)
    except UserError as error:
        yield text_range.start, error
        return
    with file:
        file.seek(max(0, text_range.start - 1))
        if text_range.start:
            _skip_line(file, limit)  # the line that begins before belongs to the range before
        while (place := file.tell()) < text_range.stop and (line := file.readline(limit)):
            where = f"{text_range.file}, byte {place:,}"
            if len(line) == limit and not line.endswith(b"\n"):
                _skip_line(file, limit)
                yield place, UserError(f"{where}: a line has more than {limit:,} bytes.")
                continue
            try:
                yield place, line.decode("utf-8-sig" if place == 0 else "utf-8")
            except UnicodeDecodeError:
                yield place, UserError(f"{where}: the line is not UTF-8.")


def _skip_line(file: IO[bytes], limit: int) -> None:
    """Read up to the end of a line, a part at a time."""
    while (part := file.readline(limit)) and not part.endswith(b"\n"):
        pass


def _document(line: str | UserError, field: str, file: Path, place: int) -> str | UserError:
    """Return the text of a line of JSON; "" for an empty one."""
    if isinstance(line, UserError) or not line.strip():
        return line
    try:
        return json_field(line, field, f"{file}, byte {place:,}")
    except UserError as error:
        return UserError(str(error).replace("the file is skipped", "the line is left out"))


def _join_lines(lines: Iterator[str | UserError]) -> Iterator[str | UserError]:
    """Yield documents of about ``DOCUMENT_BYTES``, and errors as they are."""
    parts, size = list[str](), 0
    for line in lines:
        if isinstance(line, UserError):
            yield line
            continue
        parts.append(line)
        size += len(line)
        if size >= DOCUMENT_BYTES:
            yield "".join(parts)
            parts, size = [], 0
    if parts:
        yield "".join(parts)
