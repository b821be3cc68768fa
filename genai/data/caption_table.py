"""Tables of captions: CSV in the dialects that programs and people write, and JSON lines."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from genai.core.caption_choice import Caption, whole_text
from genai.core.errors import short_repr, short_text
from genai.core.terminal import printable
from genai.media.text import Document

TABLE_NAMES = tuple(f"{stem}.{suffix}" for stem in ("metadata", "manifest") for suffix in ("jsonl", "csv", "tsv"))
FILE_COLUMNS = (
    "file_name", "filename", "file", "path", "file_path", "filepath", "audio_filepath", "image", "audio", "video",
)  # fmt: skip
CAPTION_COLUMNS = ("text", "caption", "prompt", "description", "label")
"""Names of the columns with the file and the caption, in any case; the first that can be used is."""
KEYWORD_COLUMNS = ("keywords", "tags")
"""Names of columns whose lists, or texts with commas, are keywords of which some are used."""
DELIMITERS = (",", ";", "\t", "|")
MAX_LISTED_COLUMNS = 12
MAX_COLUMN_CHARACTERS = 100
"""Values of other columns that are longer are no names of groups."""
MAX_LIST_CHARACTERS = 1_000
"""Lists of texts that are longer are not kept."""

FindFile = Callable[[str], str | None]
"""Returns the key of the file that a name in a table stands for; ``None`` if there is none."""


@dataclass(frozen=True)
class TableRow:
    """A row of a table.

    Attributes:
        line: where it stands in the file.
        file: key of the file that it names.
        caption: on one line.
        problem: why it cannot be used; empty if it can.
        columns: its short values in other columns, by their names in lower case with underscores.
        captions: all captions, if there are several, or keywords; the first of them is ``caption``.
    """

    line: int
    file: str = ""
    caption: str = ""
    problem: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    captions: tuple[Caption, ...] = ()


@dataclass(frozen=True)
class RowReader:
    """How rows of values are read.

    Attributes:
        find_file: finds the file that a row names.
        caption_columns: the columns with captions; empty: the first of ``CAPTION_COLUMNS`` that can be used.
    """

    find_file: FindFile
    caption_columns: Sequence[str] = ()

    def read(self, line: int, values: Mapping[str, Any]) -> TableRow:
        """Build a row from its values by the names of its columns."""
        by_name = {normalize_column(name): value for name, value in values.items()}
        files = [by_name[name] for name in FILE_COLUMNS if isinstance(by_name.get(name), str)]
        captions = self._named_captions(by_name) if self.caption_columns else _default_captions(by_name)
        if not files or captions is None:
            return TableRow(line, problem=f"needs file_name, and one of {', '.join(CAPTION_COLUMNS)}.")
        keys = (
            self.find_file(spelling) for name in files for spelling in (name, name.strip(), name.replace("\\", "/"))
        )
        if (key := next(filter(None, keys), None)) is None:
            return TableRow(line, problem=f"names {short_repr(files[0])}, which does not exist.")
        caption = whole_text(captions[0]) if captions else ""
        has_choice = len(captions) > 1 or not all(isinstance(text, str) for text in captions)
        columns = {**_other_columns(by_name), **_list_columns(values)}
        return TableRow(line, key, caption, columns=columns, captions=captions if has_choice else ())

    def _named_captions(self, by_name: Mapping[str, Any]) -> tuple[Caption, ...]:
        """Return the captions in the columns that are asked for; none if they are empty."""
        return tuple(caption for name in self.caption_columns for caption in _read_captions(name, by_name.get(name)))


@dataclass(frozen=True)
class CaptionTable:
    """The rows of a table, its columns, and why the rows after them could not be read."""

    rows: list[TableRow]
    columns: Sequence[str]
    error: str = ""
    num_used: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_used", sum(not row.problem for row in self.rows))

    def notes(self, file: Path) -> Iterator[str]:
        """Yield a line about each row that cannot be used; one line if none can be used."""
        if self.error:
            yield f"{file}:{self.error}"
        problems = [f"{file}:{row.line} {row.problem}" for row in self.rows if row.problem]
        if self.num_used or (len(problems) <= 1 and not self._missing):
            yield from problems
        elif self._missing and self.columns:
            columns = ", ".join(short_text(name) for name in self.columns[:MAX_LISTED_COLUMNS])
            more = ", ..." * (len(self.columns) > MAX_LISTED_COLUMNS)
            yield f"{file} has the columns {columns}{more}: name one of them {' and one '.join(self._missing)}."
        else:
            yield f"{file}: none of its {len(self.rows):,} rows can be used. The first: {problems[0]}"

    @property
    def _missing(self) -> list[str]:
        """Names for the columns that the table lacks."""
        names = {normalize_column(name) for name in self.columns}
        kinds = {"file_name": FILE_COLUMNS, "caption": CAPTION_COLUMNS}
        return [name for name, known in kinds.items() if self.columns and not names & set(known)]


def read_table(file: Path, find_file: FindFile, caption_columns: Sequence[str] = ()) -> CaptionTable:
    """Read a table with one of ``TABLE_NAMES``. Raises ``UserError`` naming a file that is no text.

    Captions are in ``caption_columns``; without any, in the first of ``CAPTION_COLUMNS`` that can be used.

    A CSV may have commas, semicolons, tabs or bars, and quotes that are doubled or escaped by backslashes: of these
    dialects the one is taken that names the most files. Its header may be missing if its first cell names a file, and
    always with bars, as in LJSpeech: ``id|text`` or ``id|text|normalized``.
    """
    content = str(Document.read(file, "table"))
    reader = RowReader(find_file, [normalize_column(name) for name in caption_columns])
    return _read_json_lines(content, reader) if file.suffix == ".jsonl" else _read_csv(content, reader)


# ------------------------------------------------------------------------------------------------------------ CSV


def _read_csv(content: str, reader: RowReader) -> CaptionTable:
    best: CaptionTable | None = None
    parsed: list[dict[str, Any]] = []
    for options in _csv_options(content):
        if options in parsed:
            continue
        table = _parse_csv(content, reader, options)
        if options.pop("strict", False):
            if table.error:
                continue  # what breaks the rules of a dialect is another one
            parsed.append(options)  # without errors, the same without strictness is the same
        if best is None or table.num_used > best.num_used:
            best = table
        if best.num_used == len(best.rows) and not best.error:
            break
    return best or CaptionTable([], ())


def _csv_options(content: str) -> Iterator[dict[str, Any]]:
    """Yield options of ``csv.reader``, the likely ones first."""
    first_line = content.lstrip().partition("\n")[0]
    for delimiter in [each for each in DELIMITERS if each in first_line] or [","]:
        if delimiter == "|":
            yield {"delimiter": delimiter, "quoting": csv.QUOTE_NONE}
            continue
        options = {
            "delimiter": delimiter,
            "skipinitialspace": re.search(f'{delimiter} +"', content) is not None,
        }
        escape = {"escapechar": "\\", "doublequote": False}
        yield {**options, "strict": True}
        if '\\"' in content:
            yield {**options, **escape, "strict": True}
            yield {**options, **escape}
        yield options
        if '"' in content:
            yield {"delimiter": delimiter, "quoting": csv.QUOTE_NONE}


def _parse_csv(content: str, reader: RowReader, options: Mapping[str, Any]) -> CaptionTable:
    lines = csv.reader(io.StringIO(content, newline=""), **options)
    delimiter = options["delimiter"]
    joint = f"{delimiter} " if options.get("skipinitialspace") else delimiter
    columns: list[str] | None = None
    rows, header, error = list[TableRow](), list[str](), ""
    try:
        for cells in lines:
            if not any(cells):
                continue
            if columns is None:
                columns = header = [cell.strip() for cell in cells]
                names = {normalize_column(name) for name in header}
                if names & set(FILE_COLUMNS) or (delimiter != "|" and reader.find_file(cells[0].strip()) is None):
                    continue
                columns, header = ["file_name", "caption", *["text"] * (delimiter == "|" and len(cells) > 2)], []
            rows.append(_csv_row(lines.line_num, cells, columns, joint, reader))
    except csv.Error as problem:
        error = f"{lines.line_num} cannot be read ({problem}), nor can the lines after it."
    return CaptionTable(rows, header, error)


def _csv_row(line: int, cells: list[str], columns: list[str], joint: str, reader: RowReader) -> TableRow:
    """Build a row. If the last column is the caption, it may have delimiters that are not quoted."""
    while len(cells) > len(columns) and not cells[-1].strip():
        cells.pop()
    if len(cells) > len(columns):
        if normalize_column(columns[-1]) not in CAPTION_COLUMNS:
            return TableRow(line, problem=f"has {len(cells)} cells for {len(columns)} columns: quote its caption.")
        cells = [*cells[: len(columns) - 1], joint.join(cells[len(columns) - 1 :])]
    return reader.read(line, dict(zip(columns, cells, strict=False)))


# ----------------------------------------------------------------------------------------------------- JSON lines


def _read_json_lines(content: str, reader: RowReader) -> CaptionTable:
    rows, columns = list[TableRow](), dict[str, None]()
    for line, text in enumerate(io.StringIO(content, newline=""), 1):
        if text.strip():
            try:
                values = json.loads(text)
            except (ValueError, RecursionError):
                values = None
            values = values if isinstance(values, dict) else {}
            columns.update(dict.fromkeys(values))
            rows.append(reader.read(line, values))
    return CaptionTable(rows, list(columns))


def _list_columns(values: Mapping[str, Any]) -> dict[str, str]:
    """Return lists of texts, such as keywords, joined by commas."""
    texts = {
        normalize_column(name): " ".join(printable(", ".join(value)).split())
        for name, value in values.items()
        if isinstance(value, list) and all(isinstance(each, str) for each in value)
    }
    return {name: text for name, text in texts.items() if name and 0 < len(text) <= MAX_LIST_CHARACTERS}


def _default_captions(by_name: Mapping[str, Any]) -> tuple[Caption, ...] | None:
    """Return the caption of the first column that has a text, or the texts of a list; ``None`` if there is none."""
    values = [by_name[name] for name in CAPTION_COLUMNS if name in by_name]
    if texts := [value for value in values if isinstance(value, str)]:
        return (_plain_text(texts[0]),)
    lists = (_read_captions("text", value) for value in values if isinstance(value, list))
    if captions := next(filter(None, lists), ()):
        return captions
    return (str(by_name["label"]),) if type(by_name.get("label")) is int else None


def _read_captions(column: str, value: Any) -> tuple[Caption, ...]:
    """Return the captions in a cell: a text, a number, or a list of texts; keywords are one caption."""
    texts = value if isinstance(value, list) else value.split(",") if _is_keyword_text(column, value) else [value]
    texts = [text for part in texts if type(part) in (str, int, float) and (text := _plain_text(part))]
    return (tuple(texts),) if texts and column in KEYWORD_COLUMNS else tuple(texts)


def _is_keyword_text(column: str, value: Any) -> bool:
    return column in KEYWORD_COLUMNS and isinstance(value, str)


def _plain_text(value: str | int | float) -> str:
    """Return a value on one line."""
    return " ".join(printable(str(value)).split())


def _other_columns(by_name: Mapping[str, Any]) -> dict[str, str]:
    """Return the short values that are neither files nor captions."""
    texts = {
        name: " ".join(printable(str(value)).split())
        for name, value in by_name.items()
        if name not in FILE_COLUMNS and name not in CAPTION_COLUMNS[:-1] and isinstance(value, str | int | float)
    }
    return {name: text for name, text in texts.items() if name and 0 < len(text) <= MAX_COLUMN_CHARACTERS}


@lru_cache(maxsize=256)
def normalize_column(name: str) -> str:
    """Return the name of a column as tables are searched for it: ``Speaker ID`` is ``speaker_id``."""
    return name.strip().casefold().replace(" ", "_").replace("-", "_")
