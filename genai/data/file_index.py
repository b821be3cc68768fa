"""Cached index of the files of a folder: each file is inspected once, and again only after it changes."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genai.core.cache import cache_dir, cache_key, read_cached_json, replace_cached_json, track_progress
from genai.core.errors import UserError
from genai.core.filesystem import sort_paths
from genai.core.prefetch import prefetch_map

NUM_THREADS = min(4, os.cpu_count() or 1)
"""Number of files inspected at once; each thread holds a decoded file, which can be large."""
_FIELDS = {"wrong": "error", "content": "content_hash"}
"""Fields of ``FileInfo`` by their keys in the index file, where these differ."""


@dataclass(frozen=True)
class FileInfo:
    """Result of inspecting a file.

    Attributes:
        stamp: size and times (in ns) of the file; it is inspected again when they change. For a folder of frames, the
            total size and the latest times.
        error: why the file cannot be used; empty if it can.
        content_hash: hash of its bytes.
        thumbnail: for a picture, the bytes of a few RGB pixels in hexadecimal.
        seconds: duration of a sound or clip; frames without times count as 8 per second.
        fps: frame rate of a clip.
        cuts: times of the scene changes of a clip in seconds.
        note: what reading changed besides the format; empty if nothing.
        is_silence: whether it is a sound without any loudness.
    """

    stamp: list[int]
    error: str = ""
    content_hash: str = ""
    thumbnail: str = ""
    seconds: float = 0.0
    fps: float = 0.0
    cuts: Sequence[float] = ()
    note: str = ""
    is_silence: bool = False


def index_files(
    root: Path, files: Sequence[Path], item_name: str, inspect: Callable[[Path], dict[str, Any]]
) -> list[FileInfo]:
    """Return information about ``files`` below ``root``, reading only new and changed files.

    Args:
        root: the folder that contains them.
        files: files with one item each.
        item_name: plural noun for the items, used in messages and in the name of the index.
        inspect: returns fields of ``FileInfo`` for a file, or raises ``UserError`` if it cannot be used.
    """
    index = cache_dir() / f"{cache_key(item_name, 4, str(root.absolute()))}.json"
    known = _read_index(index)
    stamps = {str(file.relative_to(root)): _stamp(file) for file in files}
    new = [name for name, stamp in stamps.items() if name not in known or known[name].stamp != stamp]
    infos = prefetch_map(lambda name: _inspect_file(root / name, stamps[name], inspect), new, NUM_THREADS)
    try:
        for name, info in zip(new, track_progress(infos, f"checking {item_name}", len(new)), strict=True):
            known[name] = info
    finally:  # keep the results after Ctrl-C
        if new:
            _write_index(index, known)
    return [known[name] for name in stamps]


def _read_index(index: Path) -> dict[str, FileInfo]:
    try:
        rows: dict[str, dict[str, Any]] = read_cached_json(index) or {}
        return {
            name: FileInfo(**{_FIELDS.get(key, key): value for key, value in row.items()}) for name, row in rows.items()
        }
    except (TypeError, AttributeError):  # of another version
        return {}


def _write_index(index: Path, infos: Mapping[str, FileInfo]) -> None:
    keys = {field: key for key, field in _FIELDS.items()}
    rows = {
        name: {keys.get(field, field): value for field, value in asdict(info).items()} for name, info in infos.items()
    }
    replace_cached_json(index, rows)


def _list_parts(file: Path) -> list[Path]:
    """Return the files in a folder in order, or the file itself."""
    if not file.is_dir():
        return [file]
    parts = (part for part in file.iterdir() if part.is_file() and not part.name.startswith("."))
    return sort_paths(parts)


def _stamp(file: Path) -> list[int]:
    """Return size and times. The time of change reveals new permissions, and new content with an old time."""
    try:
        stats = [part.stat() for part in _list_parts(file)]
    except OSError:
        return []
    latest = [max((getattr(stat, name) for stat in stats), default=0) for name in ("st_mtime_ns", "st_ctime_ns")]
    return [sum(stat.st_size for stat in stats), *latest]


def _inspect_file(file: Path, stamp: list[int], inspect: Callable[[Path], dict[str, Any]]) -> FileInfo:
    if file.exists() and not (file.is_file() or file.is_dir()):  # opening a pipe would block
        return FileInfo(stamp, error=f"{file} is not a file.")
    try:
        fields = inspect(file)
        digest = hashlib.sha256()
        for part in _list_parts(file):
            with part.open("rb") as stream:
                hashlib.file_digest(stream, lambda: digest)
    except UserError as error:
        return FileInfo(stamp, error=str(error))
    except OSError as error:
        return FileInfo(stamp, error=f"cannot read {file}: {error.strerror}.")
    return FileInfo(stamp, content_hash=digest.hexdigest(), **fields)
