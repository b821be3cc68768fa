"""Text that is already somewhere: the standard library's source, or a file, a folder, a glob of one's own."""

import glob
import hashlib
import json
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Gt, Lt

from genai.core.data import Divided, Example, Split
from genai.core.errors import UserError
from genai.media.text import Document

SUFFIXES = frozenset(
    ".txt .md .rst .tex .py .pyi .js .ts .jsx .tsx .java .c .h .cc .cpp .hpp .rs .go .rb .php .swift .kt .scala "
    ".sh .sql .html .css .json .yaml .yml .toml .csv .tsv .log .jsonl .parquet".split()
)


class TextFolder(Divided):
    """Documents from a file, a folder or a glob.

    A file is one document; each line of ``.jsonl`` and each row of ``.parquet`` is one by itself. Several documents are
    split as wholes, with equal ones on the same side; a single one is cut in two by position.

    Args:
        path: a file, a folder (searched through by ``SUFFIXES``, hidden ones left out) or a glob such
            as ``books/**/*.txt``.
        val_fraction: what is held out.
        field: of a JSON line or a Parquet row that holds the text.

    Raises:
        UserError: nothing is there, or nothing in it can be used.
    """

    media = Document
    metrics: ClassVar[tuple[str, ...]] = ("val_loss", "bits_per_byte", "longest_copy")

    def __init__(self, path: str, val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1, field: str = "text") -> None:
        self.path, self.val_fraction, self.field = path, val_fraction, field
        self.skipped = ()

    @property
    def description(self) -> str:
        train, val = (sum(len(example.media) for example in split) for split in self._splits)
        return (
            f"{self.path}: {train:,} characters in {len(self.train):,} documents, {val:,} in {len(self.val):,} held out"
        )

    def files(self) -> list[Path]:
        """The files to read, in order. Raises ``UserError`` where there are none."""
        if not self.path:
            raise UserError("data.path= is empty: give a file, a folder or a glob.")
        path = Path(self.path).expanduser()
        if path.is_file():
            return [path]
        if path.is_dir():
            files = (file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
            found = sorted(file for file in files if not _hidden(file.relative_to(path)))
            if not found:
                raise UserError(
                    f"data.path={self.path}: no text in this folder. Looked for {' '.join(sorted(SUFFIXES))}."
                )
            return found
        found = sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())
        if not found:
            raise UserError(f"data.path={self.path}: there is no such file, folder or glob.")
        return found

    @cached_property
    def _splits(self) -> tuple[Split, Split]:
        documents: dict[str, str] = {}
        skipped: list[str] = []
        for file in self.files():
            try:
                for text in list(read_documents(file, self.field)):  # a file is taken whole or not at all
                    if text:
                        documents.setdefault(hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(), text)
            except UserError as error:
                skipped.append(str(error))
        self.skipped = tuple(skipped)
        if not documents:
            raise UserError(f"data.path={self.path}: nothing in it can be used. {' '.join(skipped[:3])}")
        if len(documents) == 1:
            (text,) = documents.values()
            cut = len(text) - max(1, int(len(text) * self.val_fraction))
            return _split("train", [text[:cut]]), _split("val", [text[cut:]])
        count = min(len(documents) - 1, max(1, round(len(documents) * self.val_fraction)))
        held = set(sorted(documents)[:count])  # by hash: no order, no names
        train = [text for digest, text in documents.items() if digest not in held]
        return _split("train", train), _split("val", [documents[digest] for digest in documents if digest in held])


class Stdlib(TextFolder):
    """The Python standard library's own source on this machine, without its tests.

    Args:
        val_fraction: of its files that are held out.
    """

    metrics = (*TextFolder.metrics, "parses")

    def __init__(self, val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.05) -> None:
        super().__init__(sysconfig.get_path("stdlib"), val_fraction)

    @property
    def description(self) -> str:
        return super().description.replace(self.path, f"Python {sys.version.split()[0]}'s own source")

    def files(self) -> list[Path]:
        left_out = {"test", "tests", "idle_test", "site-packages", "dist-packages", "lib2to3", "__pycache__"}
        root = Path(self.path)
        found = sorted(root.rglob("*.py"))
        return [file for file in found if not left_out & set(file.relative_to(root).parts)]


def _hidden(file: Path) -> bool:
    return any(part.startswith(".") for part in file.parts)


def read_documents(file: Path, field: str) -> Iterator[str]:
    """The documents of one file. Raises ``UserError`` naming the file, and the line, that cannot be read."""
    if file.suffix.lower() == ".jsonl":
        for number, line in enumerate(Document.read(file).split("\n"), 1):
            if line.strip():
                yield _field(line, field, f"{file}:{number}")
    elif file.suffix.lower() == ".parquet":
        yield from _parquet(file, field)
    else:
        yield str(Document.read(file))


def _field(line: str, field: str, where: str) -> str:
    try:
        value: Any = json.loads(line)
    except ValueError as error:
        raise UserError(f"{where} is not JSON ({error}), so the whole file is left out.") from error
    if not isinstance(value, dict) or not isinstance(value.get(field), str):
        raise UserError(f"{where} has no text in a field '{field}', so the whole file is left out.")
    return str(value[field]).encode("utf-8", "replace").decode()  # JSON can spell half a surrogate pair


def _parquet(file: Path, field: str) -> Iterator[str]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise UserError(f"{file}: Parquet needs pyarrow: pip install 'genai[parquet]'.") from None
    try:
        yield from (str(value) for value in parquet.read_table(file, columns=[field])[field].to_pylist() if value)
    except (ArrowException, KeyError, OSError) as error:
        raise UserError(f"{file} has no readable column '{field}' ({str(error).splitlines()[0][:100]}).") from error


def _split(name: str, texts: Sequence[str]) -> Split:
    digest = hashlib.sha256("\0".join(hashlib.sha256(t.encode("utf-8", "replace")).hexdigest() for t in texts).encode())
    return Split(name, len(texts), lambda index: Example(Document(texts[index])), digest.hexdigest())
