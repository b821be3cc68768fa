"""Cached index of the files of a folder: each file is inspected once, and again only after it changes."""

import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from genai.core.cache import cache_dir, cache_key, read_cached_json, remove_cached_json, track_progress
from genai.core.errors import UserError
from genai.core.filesystem import sort_paths
from genai.core.prefetch import prefetch_map
from genai.data.file_table import FileInfo, FileTable

NUM_THREADS = min(4, os.cpu_count() or 1)
"""Number of files inspected at once; each thread holds a decoded file, which can be large."""


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
    stamps = {str(file.relative_to(root)): _stamp(file) for file in files}
    with FileTable(cache_dir() / f"{cache_key(item_name, 4, str(root.absolute()))}.sqlite") as table:
        _import_json(table)
        infos = table.read(stamps)
        new = [name for name in stamps if name not in infos]
        results = prefetch_map(lambda name: _inspect_file(root / name, inspect), new, NUM_THREADS)
        for name, info in zip(new, track_progress(results, f"checking {item_name}", len(new)), strict=True):
            infos[name] = info
            table.add(name, stamps[name], info)
    return [infos[name] for name in stamps]


def _import_json(table: FileTable) -> None:
    """Move the rows of the JSON file that was the index before to the table."""
    file = table.path.with_suffix(".json")
    if not file.exists():
        return
    names = {"wrong": "error", "content": "content_hash"}
    known = {field.name for field in fields(FileInfo)}
    try:
        rows: dict[str, dict[str, Any]] = read_cached_json(file) or {}
        for name, row in rows.items():
            values = {names.get(key, key): value for key, value in row.items()}
            values["thumbnail"] = bytes.fromhex(values.get("thumbnail", ""))
            info = FileInfo(**{key: value for key, value in values.items() if key in known})
            table.add(name, _format_stamp(row["stamp"]), info)
    except (TypeError, AttributeError, KeyError, ValueError):  # of another version
        pass
    table.write()
    remove_cached_json(file)


def _list_parts(folder: Path) -> list[Path]:
    """Return the files in a folder in order."""
    return sort_paths(part for part in folder.iterdir() if part.is_file() and not part.name.startswith("."))


def _stamp(file: Path) -> str:
    """Return size and times (in ns); of a folder of frames the total size and the latest times.

    The time of change reveals new permissions, and new content with an old time.
    """
    try:
        status = file.stat()
        stats = [part.stat() for part in _list_parts(file)] if stat.S_ISDIR(status.st_mode) else [status]
    except OSError:
        return ""
    latest = [max((getattr(status, name) for status in stats), default=0) for name in ("st_mtime_ns", "st_ctime_ns")]
    return _format_stamp([sum(status.st_size for status in stats), *latest])


def _format_stamp(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))


def _inspect_file(file: Path, inspect: Callable[[Path], dict[str, Any]]) -> FileInfo:
    if file.exists() and not (file.is_file() or file.is_dir()):  # opening a pipe would block
        return FileInfo(error=f"{file} is not a file.")
    try:
        values = inspect(file)
        digest = hashlib.sha256()
        for part in _list_parts(file) if file.is_dir() else [file]:
            with part.open("rb") as stream:
                hashlib.file_digest(stream, lambda: digest)
    except UserError as error:
        return FileInfo(error=str(error))
    except OSError as error:
        return FileInfo(error=f"cannot read {file}: {error.strerror}.")
    return FileInfo(content_hash=digest.hexdigest(), **values)
