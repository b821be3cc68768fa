"""Text from a file, a folder or a glob, or from the source code of the Python standard library."""

import hashlib
import sys
import sysconfig
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Gt, Lt

from genai.core.data import Example, Partition, Split, SplitSource, error_partitions
from genai.core.errors import UserError
from genai.core.filesystem import sort_paths
from genai.core.terminal import one_line
from genai.data.find_files import expand_glob, walk_folder
from genai.data.personal_filter import PersonalFilter, PersonalMode
from genai.data.text_documents import read_documents, with_plain_line_ends
from genai.data.text_partitions import text_partitions
from genai.data.text_split import split_documents
from genai.media.text import Document

SUFFIXES = frozenset(
    ".txt .md .rst .tex .py .pyi .js .ts .jsx .tsx .java .c .h .cc .cpp .hpp .rs .go .rb .php .swift .kt .scala "
    ".sh .sql .html .css .json .yaml .yml .toml .csv .tsv .log .jsonl .parquet".split()
)


MIN_LIST_LINES, MAX_LIST_LINE = 50, 60
"""Number of lines, and characters of the longest, from and up to which a text looks like a list."""


class TextFolder(SplitSource):
    """Documents from a file, a folder or a glob.

    A file is one document; so is each line of a ``.jsonl``, each row of a ``.parquet``, and each item of a ``.json``
    that is a list of texts or of objects with texts. Line ends become ``\\n``. Identical documents count once, and
    those of white space not at all. See ``split_documents`` for the splits.

    Args:
        path: a file, a folder (searched for ``SUFFIXES``, without hidden files) or a glob such as ``books/**/*.txt``.
        val_fraction: fraction of the characters for validation.
        field: field of a JSON object, or column of a Parquet file, that holds the text.
        documents: ``files``, or ``lines``: each line of a text file that is not empty is a document, without the spaces
            around it.
        personal: what to do about personal data, see ``PersonalFilter``.
        license: of the texts, for records and cards.

    Raises:
        UserError: there are no files, or none that can be used.
    """

    media = Document
    metrics: tuple[str, ...] = ("val_loss", "bits_per_byte", "longest_copy")

    def __init__(
        self,
        path: str,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        field: str = "text",
        documents: Literal["files", "lines"] = "files",
        personal: PersonalMode | None = None,
        license: str = "",
    ) -> None:
        self.path, self.val_fraction, self.field, self.documents = path, val_fraction, field, documents
        self.personal = personal
        self.license = license or self.license
        self.skipped, self._note = (), ""
        if documents == "lines":
            self.metrics = ("val_loss", "bits_per_byte", "novel_lines")

    @property
    def description(self) -> str:
        train, val = (sum(len(example.media) for example in split) for split in self._splits)
        return one_line(
            f"{self.path}: {train:,} characters in {len(self.train):,} documents, {val:,} in {len(self.val):,} held out"
            f"{self._note}"
        )

    def files(self) -> tuple[list[Path], list[str]]:
        """Return the files to read, in order, and errors about folders. Raises ``UserError`` if there are no files."""
        return find_texts(self.path, SUFFIXES)

    def partitions(self) -> Sequence[Partition]:
        """Return parts that are read without holding all texts in memory.

        Then each document is held out or not by its own hash, and large text files are cut into several documents.
        """
        files, errors = self.files()
        parts = text_partitions(files, self.field, self.documents, self.val_fraction, self.personal)
        return [*parts, *error_partitions(errors)]

    @cached_property
    def _splits(self) -> tuple[Split, Split]:
        documents: dict[str, str] = {}
        files, skipped = self.files()
        counts = {"empty": 0, "copies": 0}
        num_converted, personal = 0, PersonalFilter(self.personal, "document")
        for file in files:
            try:
                texts = list(read_documents(file, self.field, self.documents))  # a file is used whole or not at all
            except UserError as error:
                skipped.append(str(error))
                continue
            for original in texts:
                text = with_plain_line_ends(original)
                num_converted += text != original
                if (filtered := personal.apply(text)) is None:
                    continue
                text = filtered
                digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
                is_empty = not text or text.isspace()
                counts["empty"] += is_empty
                counts["copies"] += digest in documents
                if not is_empty:
                    documents.setdefault(digest, text)
        self.skipped, self.num_copies = tuple(map(one_line, skipped)), counts["copies"]
        if not documents:
            reasons = " ".join([str(personal.record or ""), *skipped[:3]]).strip()
            raise UserError(f"data.path={self.path}: it contains no usable text. {reasons}")
        train, val, split_note = split_documents(documents, self.val_fraction)
        left_out = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
        self._note = f"; left out: {left_out}" if left_out else ""
        if num_converted:
            self._note += f"; line ends made \\n in {num_converted:,} document{'s' * (num_converted > 1)}"
        self.personal_record = personal.record
        if personal.record:
            self._note += f"; {personal.record}"
            self.file_notes = tuple(map(one_line, personal.record.notes))
        self._note += split_note
        if len(documents) == 1 and self.documents == "files" and _is_list(next(iter(documents.values()))):
            self._note += "; its lines are short: data.documents=lines makes each a document"
        return _make_split("train", train), _make_split("val", val)


class Stdlib(TextFolder):
    """Source code of the Python standard library on this machine, without its tests.

    Args:
        val_fraction: fraction of the files for validation.
    """

    name, license = "Python standard library", "psf-2.0"
    metrics = (*TextFolder.metrics, "parses", "infill")

    def __init__(self, val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.05) -> None:
        super().__init__(sysconfig.get_path("stdlib"), val_fraction)

    @property
    def description(self) -> str:
        return super().description.replace(self.path, f"source code of Python {sys.version.split()[0]}")

    def files(self) -> tuple[list[Path], list[str]]:
        excluded = {"test", "tests", "idle_test", "site-packages", "dist-packages", "lib2to3", "__pycache__"}
        root = Path(self.path)
        files = sort_paths(root.rglob("*.py"))
        return [file for file in files if not excluded & set(file.relative_to(root).parts)], []


def find_texts(
    name: str, suffixes: Collection[str], key: str = "data.path", item_name: str = "text"
) -> tuple[list[Path], list[str]]:
    """Return the files that an option names, in order, and errors about folders.

    Args:
        name: a file, a folder or a glob.
        suffixes: of the files that a folder is searched for.
        key: name of the option.
        item_name: what the files hold, for messages.

    Raises:
        UserError: there are no files.
    """
    if not name:
        raise UserError(f"{key}= is empty: give a file, a folder or a glob.")
    path = Path(name).expanduser()
    if path.is_file():
        return [path], []
    if path.is_dir():
        files, errors = walk_folder(path)
        matches = sort_paths(file for file in files if file.suffix.lower() in suffixes)
        if not matches:
            hint = " ".join(["", *errors[:3]])
            raise UserError(
                f"{key}={name}: no {item_name} in this folder. Looked for {' '.join(sorted(suffixes))}.{hint}"
            )
        return matches, errors
    files, errors = expand_glob(path)
    matches = sort_paths(file for file in files if not file.is_dir())
    if not matches:
        raise UserError(f"{key}={name}: there is no such file, folder or glob.")
    return matches, errors


def _is_list(text: str) -> bool:
    """Return whether a text has many short lines without gaps, such as a list of names."""
    lines = text.strip().split("\n")
    return len(lines) >= MIN_LIST_LINES and max(map(len, lines)) <= MAX_LIST_LINE and all(lines)


def _make_split(name: str, texts: Sequence[str]) -> Split:
    hashes = (hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() for text in texts)
    content_hash = hashlib.sha256("\0".join(hashes).encode()).hexdigest()
    return Split(name, len(texts), lambda index: Example(Document(texts[index])), content_hash)
