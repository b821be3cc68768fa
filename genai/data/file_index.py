"""What is known of the files of a folder: each is looked at once, and again only when it has changed."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genai.core.cache import cache_dir, cache_key, track_progress
from genai.core.errors import UserError
from genai.core.prefetch import ahead
from genai.runs.checkpoint import atomic_write

THREADS = min(4, os.cpu_count() or 1)
"""Each holds one decoded file at least, which can be large."""


@dataclass(frozen=True)
class Looked:
    """What looking at a file has told.

    Attributes:
        stamp: size and times (in ns) of the file then; with another stamp it is another file. Of a folder whose files
            belong together: all their sizes, and the latest times.
        wrong: why it cannot be used; empty where it can.
        content: a hash of its bytes.
        thumbnail: of a picture, the bytes of a few RGB pixels, in hexadecimal.
        seconds: of a sound or a clip; of frames without a rate, at 8 a second.
    """

    stamp: list[int]
    wrong: str = ""
    content: str = ""
    thumbnail: str = ""
    seconds: float = 0.0


def survey(root: Path, files: Sequence[Path], things: str, look: Callable[[Path], dict[str, Any]]) -> list[Looked]:
    """What is known of ``files`` below ``root``; only what is new among them is read.

    Args:
        root: the folder that they are in.
        files: with one of the ``things`` in each.
        things: a name for people, and of the index.
        look: gives fields of ``Looked`` for a file, or raises ``UserError`` where it cannot be used.
    """
    index = cache_dir() / f"{cache_key(things, 2, str(root.absolute()))}.json"
    known = _read(index)
    stamps = {str(file.relative_to(root)): _stamp(file) for file in files}
    new = [name for name, stamp in stamps.items() if name not in known or known[name].stamp != stamp]
    looks = ahead(lambda name: _looked(root / name, stamps[name], look), new, THREADS)
    try:
        for name, looked in zip(new, track_progress(looks, f"looking at {things}", len(new)), strict=True):
            known[name] = looked
    finally:  # what has been seen when somebody presses Ctrl-C need not be seen again
        if new:
            index.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(index, json.dumps({name: asdict(looked) for name, looked in known.items()}))
    return [known[name] for name in stamps]


def _read(index: Path) -> dict[str, Looked]:
    try:
        rows: dict[str, dict[str, Any]] = json.loads(index.read_text(encoding="utf-8"))
        return {name: Looked(**row) for name, row in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # none yet, or a damaged one: it is made anew
        return {}


def _parts(file: Path) -> list[Path]:
    """The files in a folder, in order; a file itself."""
    if not file.is_dir():
        return [file]
    return sorted(part for part in file.iterdir() if part.is_file() and not part.name.startswith("."))


def _stamp(file: Path) -> list[int]:
    """The time of change tells of new permissions, and of new content under an old time of modification."""
    try:
        parts = [part.stat() for part in _parts(file)]
    except OSError:
        return []
    latest = [max((getattr(part, name) for part in parts), default=0) for name in ("st_mtime_ns", "st_ctime_ns")]
    return [sum(part.st_size for part in parts), *latest]


def _looked(file: Path, stamp: list[int], look: Callable[[Path], dict[str, Any]]) -> Looked:
    if file.exists() and not (file.is_file() or file.is_dir()):  # to open a pipe is to wait for ever
        return Looked(stamp, wrong=f"{file} is no file.")
    try:
        told = look(file)
        digest = hashlib.sha256()
        for part in _parts(file):
            with part.open("rb") as content:
                hashlib.file_digest(content, lambda: digest)
    except UserError as error:
        return Looked(stamp, wrong=str(error))
    except OSError as error:
        return Looked(stamp, wrong=f"cannot read {file}: {error.strerror}.")
    return Looked(stamp, content=digest.hexdigest(), **told)
