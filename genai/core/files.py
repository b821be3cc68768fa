"""The doors for files that others may have made or changed: what is read is regular and small, what is written is new.

A pipe never ends, a device fills the memory, a link leads elsewhere. So a file is opened without waiting, and read only
if it is regular. Libraries that open files by themselves get them from ``check_file``. A file is written beside its
place and renamed, which replaces a link instead of following it.
"""

import errno
import hashlib
import io
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from genai.core.errors import UserError
from genai.core.filesystem import replace_file, sync_file

KIB, MIB = 2**10, 2**20
MAX_BYTES = {
    "line": 4 * KIB,
    "config": 256 * KIB,
    "record": 8 * MIB,
    "recipe": 4 * MIB,
    "caption": MIB,
    "midi": 512 * KIB,
    "prompts": 64 * MIB,
    "problems": 64 * MIB,
    "sample": 64 * MIB,
    "metrics": 64 * MIB,
    "card": MIB,
    "schema": MIB,
    "tokenizer": 64 * MIB,
    "lexicon": 16 * MIB,
    "index": 512 * MIB,
    "table": 1024 * MIB,
    "text": 4096 * MIB,
}
"""Largest file that is read, by its kind, in bytes."""
MAX_SECONDS = 60.0
"""Longest time to read a part of a file: beyond it the disk, or what stands for one, does not answer."""
_PART = MIB


def read_bytes(path: Path, kind: str, folder: Path | None = None) -> bytes:
    """Read a file.

    Args:
        path: the file.
        kind: key of ``MAX_BYTES``.
        folder: the folder that the file has to be in, also if links lead to it; ``None``: anywhere.

    Raises:
        UserError: there is no such file, it is a folder, a pipe or a device, it is too large, it is elsewhere.
    """
    with open_file(path, MAX_BYTES[kind], folder) as file:
        try:
            return _read_all(path, file, MAX_BYTES[kind])
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}.") from error


def read_text(path: Path, kind: str, folder: Path | None = None) -> str:
    """Read UTF-8, with or without a byte order mark. Raises ``UserError`` as ``read_bytes``, and for other bytes."""
    try:
        return read_bytes(path, kind, folder).decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {path}: it is not UTF-8.") from error


def open_file(path: Path, max_bytes: float = float("inf"), folder: Path | None = None) -> io.BufferedReader:
    """Open a regular file of at most ``max_bytes`` bytes, in ``folder`` if one is given. Raises ``UserError``."""
    path = Path(path)
    try:
        descriptor = os.open(_path_inside(path, folder), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    except (OSError, ValueError) as error:  # ValueError: a NUL character in a name
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}.") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > max_bytes:
        os.close(descriptor)
        if stat.S_ISREG(status.st_mode):
            raise UserError(f"{path} has {status.st_size:,} bytes, more than {max_bytes:,.0f}, the limit of its kind.")
        raise UserError(f"{path} is {'a folder, not a file' if stat.S_ISDIR(status.st_mode) else 'not a file'}.")
    return os.fdopen(descriptor, "rb")


def file_hash(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal. Raises ``UserError`` if it cannot be read."""
    with open_file(path) as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}.") from error


def check_file(path: Path, max_bytes: float = float("inf"), folder: Path | None = None) -> Path:
    """Return ``path`` if ``open_file`` opens it, for readers that open files by themselves. Raises ``UserError``."""
    open_file(path, max_bytes, folder).close()
    return path


def is_address(path: str) -> bool:
    """Return whether a path names a protocol, as ``s3://bucket/folder`` does."""
    return bool(re.match(r"[a-z][a-z0-9+.-]+://", path))


def is_inside(path: Path, folder: Path) -> bool:
    """Return whether ``path`` is below ``folder``, also if links lead to it."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a loop of links
        return False


def write_file(path: Path, content: bytes | str, folder: Path | None = None) -> None:
    """Replace a file atomically: write beside it, sync, rename. A link is replaced, not followed.

    Bytes of file names that are not UTF-8 are written as ``\\udcff``, which JSON and YAML read back.

    Args:
        path: the file.
        content: what the file should hold.
        folder: the folder that the file has to be in: no folder on the way to it is a link that leads out.

    Raises:
        UserError: ``path`` is not inside ``folder``.
        OSError: the disk is full or the folder cannot be written.
    """
    if folder is not None and not is_inside(path.parent, folder):
        raise UserError(f"{path.parent} is a link that leads out of {folder}: nothing is written there.")
    temporary = temporary_path(path)
    try:
        with temporary.open("xb") as file:
            file.write(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)
            sync_file(file)
        replace_file(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_private_file(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, at every moment, whole or not at all. Raises ``OSError``."""
    temporary = temporary_path(path)
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            sync_file(file)
        replace_file(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: Path, folder: Path | None = None, exist_ok: bool = True) -> Path:
    """Create a folder and those above it; if that fails, none of them stays.

    Args:
        path: the folder.
        folder: the folder that it has to be in.
        exist_ok: whether it may exist.

    Raises:
        UserError: a link leads out of ``folder``.
        OSError: it cannot be created.
    """
    if folder is not None and not is_inside(path, folder):
        raise UserError(f"{path} is a link that leads out of {folder}: nothing is written there.")
    missing = [parent for parent in (path, *path.parents) if not os.path.lexists(parent)]
    try:
        path.mkdir(parents=True, exist_ok=exist_ok)
    except OSError:
        for parent in missing:
            with suppress(OSError):
                parent.rmdir()
        raise
    return path


def remove_path(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it; nothing if it is not there. Raises ``OSError``."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def unique_folder(path: Path) -> Path:
    """Create the folder ``path``, or ``path-2``, ``path-3``, ... if it exists, and return it. Raises ``OSError``."""
    for count in range(1, 1000):
        unique = path if count == 1 else path.with_name(f"{path.name}-{count}")
        try:
            return make_folder(unique, exist_ok=False)
        except FileExistsError:
            if not unique.is_dir():
                raise
    raise FileExistsError(errno.EEXIST, "it and 998 numbered copies exist already", str(path))


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that becomes ``path`` at the end.

    After an error, or Ctrl-C, nothing of it stays: neither the folder nor those above it that were created.

    Raises:
        UserError: ``path`` exists, and is not an empty folder.
        OSError: it cannot be written.
    """
    path = path.resolve()
    if os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"{path} is there already: name a new folder.")
    missing = [parent for parent in path.parents if not parent.exists()]
    temporary = temporary_path(path)
    try:
        make_folder(temporary, exist_ok=False)
        yield temporary
        if path.is_dir():  # Windows does not replace an empty folder
            path.rmdir()
        replace_file(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in missing:
            with suppress(OSError):
                parent.rmdir()  # fails if the folder is in it


def temporary_path(path: Path) -> Path:
    """Return a hidden name beside ``path`` that no other process uses."""
    return path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.tmp")


def _path_inside(path: Path, folder: Path | None) -> Path:
    """Return the path without links, if it is inside ``folder``."""
    if folder is None:
        return path
    if not is_inside(path, folder):
        raise UserError(f"{path} is a link that leads out of {folder}: it is not read.")
    return path.resolve()


def _read_all(path: Path, file: io.BufferedReader, max_bytes: int) -> bytes:
    parts, size = [], 0
    while True:
        start = time.monotonic()
        part = file.read(_PART)
        parts.append(part)
        size += len(part)
        if size > max_bytes:  # it grows while it is read, as files below /proc do
            raise UserError(f"{path} has more than {max_bytes:,} bytes, the limit of its kind.")
        if time.monotonic() - start > MAX_SECONDS:
            raise UserError(f"{path} cannot be read: its disk does not answer.")
        if not part:
            return b"".join(parts)


_BINARY = getattr(os, "O_BINARY", 0) if sys.platform == "win32" else 0
