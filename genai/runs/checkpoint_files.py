"""Hashes of checkpoint files, and how a new file takes the place of the last one.

The hash of a file stands beside it. It lists the new and the previous content, so that a kill between the two renames
leaves a valid pair.
"""

import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO

from genai.core.files import file_hash, read_bytes, temporary_path, write_file
from genai.core.filesystem import link_or_copy, replace_file, sync_file, sync_folder


def read_hashes(path: Path) -> list[str]:
    """Return the hashes in the hash file of ``path``; empty if there is none. Raises ``UserError``."""
    file = path.with_name(f"{path.name}.sha256")
    text = read_bytes(file, "line", path.parent).decode("ascii", "replace") if os.path.lexists(file) else ""
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def matches_hash(path: Path) -> bool:
    """Return whether a file matches its hash file; True if it has none."""
    hashes = read_hashes(path)
    return not hashes or file_hash(path) in hashes


class HashedFile:
    """A file that is written in order, and hashed on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def write(self, content: Any) -> int:
        self._hash.update(content)
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()

    def finish(self) -> str:
        """Write the content to the disk and return its sha256."""
        sync_file(self._file)
        return self._hash.hexdigest()


def replace_checkpoint(temporary: Path, digest: str, path: Path, keep: bool) -> None:
    """Rename a complete file to ``path``, with its hash beside it.

    Args:
        temporary: the new file, synced, in the folder of ``path``.
        digest: its sha256.
        path: the checkpoint; it is replaced.
        keep: whether the content of ``path`` becomes ``previous.ckpt``.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    if keep:
        _keep_previous(path, path.with_name("previous.ckpt"))
    _write_hashes(path, [digest, *read_hashes(path)[:1]])
    replace_file(temporary, path)
    _write_hashes(path, [digest])
    sync_folder(path.parent)


def _keep_previous(path: Path, previous: Path) -> None:
    """Replace ``previous`` by the content of ``path``; both exist at every moment."""
    link = temporary_path(previous)
    try:
        link_or_copy(path, link)
        hashes = read_hashes(path)
        _write_hashes(previous, [*hashes, *read_hashes(previous)])
        replace_file(link, previous)
        _write_hashes(previous, hashes)
    finally:
        link.unlink(missing_ok=True)


def _write_hashes(path: Path, hashes: list[str]) -> None:
    lines = "".join(f"{digest}  {path.name}\n" for digest in dict.fromkeys(hashes))
    write_file(path.with_name(f"{path.name}.sha256"), lines)
