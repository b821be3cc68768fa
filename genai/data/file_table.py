"""A table of files in the cache: what was found in each file, by its name."""

import json
import os
import sqlite3
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from genai.core.cache import fallback_folder
from genai.core.errors import RunError, UserError

T = TypeVar("T")
WRITE_SECONDS = 2.0
"""Time after which new rows are written: what a killed process loses."""
LOCK_SECONDS = 30.0
"""Time to wait for another process that writes, which takes it milliseconds."""
_READ_ROWS = 500
_SCHEMA = (
    "CREATE TABLE files (name BLOB PRIMARY KEY, stamp BLOB, content_hash BLOB, thumbnail BLOB, details BLOB, "
    "checksum INTEGER) WITHOUT ROWID"
)
_SELECT = f"SELECT * FROM files WHERE name IN ({', '.join('?' * _READ_ROWS)})"
_INSERT = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)"
_CORRUPT = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_Row = tuple[bytes, bytes, bytes, bytes, bytes, int]


@dataclass(frozen=True, slots=True)
class FileInfo:
    """Result of inspecting a file.

    Attributes:
        error: why the file cannot be used; empty if it can.
        content_hash: hash of its bytes, in hexadecimal.
        thumbnail: for a picture, the bytes of a few RGB pixels.
        seconds: duration of a sound or clip; frames without times count as 8 per second.
        fps: frame rate of a clip.
        cuts: times of the scene changes of a clip in seconds.
        note: what reading changed besides the format; empty if nothing.
        is_silence: whether it is a sound without any loudness.
    """

    error: str = ""
    content_hash: str = ""
    thumbnail: bytes = b""
    seconds: float = 0.0
    fps: float = 0.0
    cuts: Sequence[float] = ()
    note: str = ""
    is_silence: bool = False


class FileTable:
    """Rows in an SQLite database, which several processes can read and write.

    A row has a checksum, as SQLite has none. A database that is damaged, or that another program made, is made again.
    Where it cannot be written or locked, a new one in a temporary folder takes its place. New rows are collected and
    written in transactions of milliseconds, so others do not wait for a file that is inspected. The journal is SQLite's
    default, and no write-ahead log, which needs memory that processes share: network file systems have none.

    Args:
        path: of the database, in the cache folder.

    Raises:
        RunError: no database can be written, not even in the temporary folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._new_rows: list[_Row] = []
        self._write_time = time.monotonic()
        self._is_reset = False

    def __enter__(self) -> "FileTable":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.write()  # after Ctrl-C, too
        finally:
            self._close()

    def read(self, stamps: Mapping[str, str]) -> dict[str, FileInfo]:
        """Return the rows of the files that still have the same stamp.

        Args:
            stamps: size and times of files, by their names.
        """
        return self._run(lambda connection: _read_rows(connection, stamps))

    def add(self, name: str, stamp: str, info: FileInfo) -> None:
        """Add a row, or replace the one of that name. It is written after ``WRITE_SECONDS``."""
        self._new_rows.append(_to_row(name, stamp, info))
        if time.monotonic() - self._write_time > WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        """Write the new rows to the disk."""
        if self._new_rows:
            self._run(lambda connection: _write_rows(connection, self._new_rows))
            self._new_rows = []
        self._write_time = time.monotonic()

    def _run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Call a function of the connection, and again with another database if this one cannot be used."""
        while True:
            try:
                self._connection = self._connection or _connect(self.path)
                return function(self._connection)
            except (sqlite3.Error, UserError) as error:
                self._close()
                self._replace(error)

    def _replace(self, error: Exception) -> None:
        """Delete the database if it is damaged for the first time, else go on in the temporary folder."""
        reason = str(error)
        is_corrupt = isinstance(error, UserError) or getattr(error, "sqlite_errorname", "").startswith(_CORRUPT)
        if is_corrupt and not self._is_reset:
            self._is_reset = True
            print(f"cache: {self.path.name} is damaged; it is made again.", file=sys.stderr, flush=True)
            try:
                for file in (self.path, self.path.with_name(f"{self.path.name}-journal")):
                    file.unlink(missing_ok=True)
                return
            except OSError as system_error:
                reason = system_error.strerror or str(system_error)
        folder = fallback_folder(self.path.parent, reason)
        if self.path.parent == folder:
            raise RunError(f"cannot write in {folder}: {reason}.") from error
        self.path = folder / self.path.name

    def _close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


def _connect(path: Path) -> sqlite3.Connection:
    """Open a database, and create the table in a new one.

    Raises:
        UserError: it is no file, or has other tables.
        sqlite3.Error: it is damaged, or cannot be opened.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise UserError(f"{path} is not a file.")
    connection = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        if not _tables(connection):
            connection.execute("BEGIN IMMEDIATE")
            if not _tables(connection):  # no other process was faster
                connection.execute(_SCHEMA)
            connection.execute("COMMIT")
        if _tables(connection) != [(_SCHEMA,)]:
            raise UserError(f"{path} has other tables.")
        connection.execute("PRAGMA journal_mode = DELETE")
    except BaseException:
        connection.close()
        raise
    return connection


def _tables(connection: sqlite3.Connection) -> list[tuple[str]]:
    return connection.execute("SELECT sql FROM sqlite_master").fetchall()


def _read_rows(connection: sqlite3.Connection, stamps: Mapping[str, str]) -> dict[str, FileInfo]:
    """Return the rows with these names and stamps. Raises ``UserError`` if one is damaged, and ``sqlite3.Error``."""
    infos: dict[str, FileInfo] = {}
    names = list(stamps)
    for start in range(0, len(names), _READ_ROWS):
        keys = [os.fsencode(name) for name in names[start : start + _READ_ROWS]]
        keys += keys[:1] * (_READ_ROWS - len(keys))
        with closing(connection.execute(_SELECT, keys)) as rows:
            for row in rows:
                name, stamp, info = _from_row(row)
                if stamps[name] == stamp:
                    infos[name] = info
    return infos


def _write_rows(connection: sqlite3.Connection, rows: Sequence[_Row]) -> None:
    with connection:  # commits, or rolls back
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_INSERT, rows)


def _to_row(name: str, stamp: str, info: FileInfo) -> _Row:
    values = {
        field.name: getattr(info, field.name) for field in fields(info) if getattr(info, field.name) != field.default
    }
    content_hash, thumbnail = bytes.fromhex(values.pop("content_hash", "")), values.pop("thumbnail", b"")
    details = json.dumps(values).encode() if values else b""
    blobs = (os.fsencode(name), stamp.encode(), content_hash, thumbnail, details)
    return (*blobs, _checksum(blobs))


def _from_row(row: _Row) -> tuple[str, str, FileInfo]:
    """Return name, stamp and information. Raises ``UserError`` for a row that is damaged, or of another version."""
    *blobs, checksum = row
    try:
        if checksum != _checksum(blobs):
            raise UserError("a row has changed.")
        name, stamp, content_hash, thumbnail, details = blobs
        values: dict[str, Any] = json.loads(details) if details else {}
        info = FileInfo(content_hash=content_hash.hex(), thumbnail=thumbnail, **values)
    except (TypeError, ValueError) as error:  # not bytes, no JSON, unknown fields
        raise UserError("a row cannot be read.") from error
    return os.fsdecode(name), stamp.decode(), info


def _checksum(blobs: Sequence[bytes]) -> int:
    return zlib.crc32(b"\0".join(blobs))
