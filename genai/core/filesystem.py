"""What file systems do differently: names, order, replacing, links, syncing and locks.

Windows, exFAT and network file systems lack some of what a local POSIX file system has. Each function here works
without it.
"""

import errno
import os
import re
import shutil
import time
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filelock import BaseFileLock

MAX_NAME_BYTES = 150
"""Length of a name in UTF-8; file systems allow 255, and a date, a number and a suffix are added."""
FULL_DISK = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""Error numbers of a disk, or of a user's share of it, without room."""
RETRY_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Waiting times before a file that another program holds open is replaced again."""
_RESERVED = re.compile(r"con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]", re.IGNORECASE)
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}


def safe_name(text: str) -> str:
    """Return ``text`` as a name that every file system accepts.

    Separators, control characters and ``: * ? " < > |`` become ``-``, dots and spaces at the ends are dropped, and a
    name of a device such as ``CON`` or ``aux.txt`` begins with ``_``. Different texts can have the same name, and names
    that differ in case alone are one file on some systems: see ``unique_folder`` in ``genai.core.files``.
    """
    characters = (
        "-" if character in '<>:"/\\|?*' or unicodedata.category(character).startswith("C") else character
        for character in unicodedata.normalize("NFC", text)
    )
    name = "".join(characters).encode()[:MAX_NAME_BYTES].decode(errors="ignore").strip(" .") or "_"
    return f"_{name}" if _RESERVED.fullmatch(name.partition(".")[0].rstrip()) else name


def sort_paths(paths: Iterable[Path]) -> list[Path]:
    """Sort paths part by part, by code points. Windows would ignore case, and order data sets in its own way."""
    return sorted(paths, key=lambda path: path.parts)


def replace_file(source: Path, target: Path) -> None:
    """Rename ``source`` to ``target``, which is replaced.

    Windows and SMB refuse this while another program reads ``target``; so it is tried again for a moment.
    """
    for seconds in RETRY_SECONDS:
        try:
            os.replace(source, target)
        except PermissionError:
            time.sleep(seconds)
        else:
            return
    os.replace(source, target)


def link_or_copy(source: Path, target: Path) -> None:
    """Make ``target`` a hard link to ``source``, or a copy if the file system has no hard links."""
    try:
        os.link(source, target)
    except (OSError, AttributeError, NotImplementedError):
        with source.open("rb") as original, target.open("wb") as copy:
            shutil.copyfileobj(original, copy)
            sync_file(copy)


def sync_file(file: IO[Any]) -> None:
    """Write an open file's content to the disk, if its file system can be told to."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def sync_folder(folder: Path) -> None:
    """Write a folder's names to the disk. Windows and some network file systems do not support it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def lock_file(path: Path) -> "BaseFileLock":
    """Acquire a lock without waiting; a file beside ``path`` is the lock if the system has none.

    Raises:
        Timeout: another process holds it.
        OSError: the folder cannot be written.
    """
    from filelock import FileLock, SoftFileLock

    lock: BaseFileLock = FileLock(path, blocking=False)
    try:
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        is_unsupported = isinstance(error, NotImplementedError) or error.errno in _UNSUPPORTED
        if not is_unsupported:
            raise
        lock = SoftFileLock(path.with_name(f"{path.name}.soft"), blocking=False)
        lock.acquire()
    return lock
