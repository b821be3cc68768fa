"""Cached files, named by a hash of the inputs they were computed from.

An entry is one file or several with the same stem, and ``NAME.sums``, which has the size, sha256 and times of each.
What does not fit its sums (a power cut, a full disk, another program) is made again. Entries are written under
temporary names, synced, and renamed, the sums last, so that several runs or ranks can share a folder. Without a usable
folder, a temporary one is used, which ends with the process.
"""

import atexit
import hashlib
import json
import os
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from genai.core.errors import RunError, UserError
from genai.core.files import open_file, read_text, write_file
from genai.core.filesystem import FULL_DISK, replace_file, sync_file, sync_folder
from genai.core.plain_data import parse_json

T = TypeVar("T")
MIN_SECONDS, MAX_SECONDS = 60.0, 24 * 3600.0
"""Seconds for which a left-over temporary file stays: that of an ended process of this machine, and any other."""
_TEMPORARY = ".making-"
_CHECKED: set[tuple[Any, ...]] = set()
"""Files that this process has hashed, with their sizes and times."""


def cache_dir() -> Path:
    """Return the cache folder: ``GENAI_CACHE``, else ``~/.cache/genai``; a temporary one if it cannot be written."""
    folder = os.environ.get("GENAI_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "genai"
    return _usable_folder(str(folder))


def cache_key(*parts: Any) -> str:
    """Hash plain values to a short key."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def cached_file(path: Path, write: Callable[[Path], None], *other_suffixes: str) -> Path:
    """Return an entry, made by ``write`` unless it is there and fits its sums.

    Args:
        path: of the entry's first file, in the cache folder.
        write: called with a temporary path; writes this file, and one with each of ``other_suffixes``.
        other_suffixes: of the other files of the entry.

    Returns:
        The path of the first file: another than ``path`` if its folder is full.

    Raises:
        RunError: there is no room at all.
    """
    suffixes = (path.suffix, *other_suffixes)
    if (state := _entry_state(path, suffixes)) == "fits":
        return path
    try:
        _make_entry(path, write, suffixes)
        if state == "damaged":
            print(f"cache: {path.name} was damaged; it is made again.", file=sys.stderr, flush=True)
        return path
    except OSError as error:
        if isinstance(error, PermissionError) and _entry_state(path, suffixes) == "fits":
            return path  # on Windows: another process has just made it and has it open
        if not _is_about(error, path.parent):
            raise  # the data cannot be read
        folder = fallback_folder(path.parent, error.strerror or str(error))
        if path.parent == folder:
            raise _full_disk_error(folder, error) from error
    try:
        return _make_entry(folder / path.name, write, suffixes)
    except OSError as error:
        raise _full_disk_error(folder, error) from error


def cached_json(path: Path, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the plain value ``compute()``, cached as JSON in ``path``."""
    file = cached_file(path, lambda temporary: write_json(temporary, compute()))
    return dict(json.loads(file.read_text(encoding="utf-8")))


def read_cached_json(path: Path) -> Any:
    """Return the value that ``cached_json`` wrote to ``path``; ``None`` if there is none, or it is damaged."""
    state = _entry_state(path, (path.suffix,))
    if state == "damaged":
        print(f"cache: {path.name} is damaged; it is made again.", file=sys.stderr, flush=True)
    return json.loads(path.read_text(encoding="utf-8")) if state == "fits" else None


def remove_cached_json(path: Path) -> None:
    """Delete an entry that ``cached_json`` made, if there is one and it can be deleted."""
    with suppress(OSError):
        _sums_file(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def fallback_folder(folder: Path, reason: str) -> Path:
    """Return the temporary folder that takes the place of ``folder``, and say so once, unless it is the same."""
    fallback = _temporary_folder()
    if fallback != folder:
        _print_fallback(folder, reason, fallback)
    return fallback


def is_cache_file(file: Path) -> bool:
    """Return whether a file, or a folder of shards, is one of genai: other programs may use the cache folder, too."""
    name = r"[0-9a-f]{24}\.\w{1,11}(\.sums|-journal|-wal|-shm)?"
    if file.is_dir() and not file.is_symlink():
        return bool(re.fullmatch(r"[0-9a-f]{24}\.shards", file.name))
    return file.is_file() and not file.is_symlink() and (bool(re.fullmatch(name, file.name)) or _is_temporary(file))


def track_progress(items: Iterable[T], label: str, total: int) -> Iterator[T]:
    """Iterate over ``items``, ``total`` of them; show a progress bar if standard error is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(file=sys.stderr)
    if not console.is_terminal or total < 2:
        return iter(items)
    return iter(track(items, label, total=total, console=console, transient=True))


def write_json(path: Path, value: Any) -> None:
    """Write a plain value to a JSON file."""
    path.write_text(json.dumps(value), encoding="utf-8")


# ------------------------------------------------------------------------------------------------------- an entry


def _make_entry(path: Path, write: Callable[[Path], None], suffixes: Sequence[str]) -> Path:
    """Write the files of an entry and its sums, and return ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_TEMPORARY}{_process_name()}-{path.name}")
    sums = {}
    try:
        write(temporary)
        for suffix in suffixes:
            with temporary.with_suffix(suffix).open("r+b") as file:
                sums[suffix] = [file.seek(0, os.SEEK_END), _digest(file)]
                sync_file(file)
        for suffix in suffixes:
            replace_file(temporary.with_suffix(suffix), path.with_suffix(suffix))
        sync_folder(path.parent)
        for suffix in suffixes:
            sums[suffix] += _stamp(path.with_suffix(suffix).stat())
        write_file(_sums_file(path), json.dumps(sums) + "\n")
    finally:
        for suffix in suffixes:
            temporary.with_suffix(suffix).unlink(missing_ok=True)
    return path


def _entry_state(path: Path, suffixes: Sequence[str]) -> Literal["fits", "damaged", "missing"]:
    """Return whether the files of an entry have the sizes and hashes of its sums.

    A file whose size and times are those of the sums is not read.
    """
    if not _sums_file(path).exists():
        return "missing"
    try:
        sums = parse_json(read_text(_sums_file(path), "line"), path.name)
        is_new = False
        for suffix in suffixes:
            with open_file(path.with_suffix(suffix)) as file:
                status = os.fstat(file.fileno())
                content, stamp = sums[suffix][:2], sums[suffix][2:]
                state = (path.with_suffix(suffix), status.st_size, *_stamp(status), *content)
                if state not in _CHECKED and (status.st_size != content[0] or stamp != _stamp(status)):
                    if [status.st_size, _digest(file)] != content:
                        raise UserError("it has changed")
                    sums[suffix], is_new = [*content, *_stamp(status)], True
                    _CHECKED.add(state)  # the sums may be on a disk that cannot be written
        if is_new:  # copied from elsewhere, or of an earlier version
            with suppress(OSError):
                write_file(_sums_file(path), json.dumps(sums) + "\n")
    except (UserError, OSError, KeyError, TypeError):
        return "damaged"
    return "fits"


def _stamp(status: os.stat_result) -> list[int]:
    """Return what changes with the content of a file, and with the file: times in ns, and its number."""
    return [status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def read_sums(path: Path) -> dict[str, tuple[int, str]]:
    """Return size and sha256 of the files of an entry, by their names. Raises ``UserError``."""
    sums = parse_json(read_text(_sums_file(path), "line"), str(_sums_file(path)))
    try:
        return {path.with_suffix(suffix).name: (size, digest) for suffix, (size, digest, *_) in sums.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{_sums_file(path)} holds no sums.") from error


def _sums_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sums")


def _digest(file: Any) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _is_about(error: OSError, folder: Path) -> bool:
    """Return whether an error is one of writing in ``folder``: it names a path there, or says that a disk is full."""
    if error.filename is None:
        return error.errno in FULL_DISK
    return Path(os.fsdecode(error.filename)).is_relative_to(folder)


def _full_disk_error(folder: Path, error: OSError) -> RunError:
    free = shutil.disk_usage(folder).free
    return RunError(f"cannot write in {folder}: {error.strerror or error}; {free:,} bytes are free there.")


# ------------------------------------------------------------------------------------------------------ the folder


@cache
def _usable_folder(name: str) -> Path:
    """Create the cache folder, remove what killed processes left; a temporary folder if it cannot be written."""
    try:
        folder = Path(name).expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        return fallback_folder(Path(name), getattr(error, "strerror", None) or str(error))
    _remove_leftovers(folder)
    return folder


@cache
def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="genai-"))
    owner = os.getpid()
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    return folder


@cache
def _print_fallback(folder: Path, reason: str, fallback: Path) -> None:
    message = f"cache: cannot write in {folder} ({reason}); {fallback} is used instead, until the end of this command."
    print(message, file=sys.stderr, flush=True)


def _process_name() -> str:
    return f"{socket.gethostname()[:40].replace('-', '_')}-{os.getpid()}"


def _remove_leftovers(folder: Path) -> None:
    """Remove temporary files of processes that were killed; other programs may have files in the folder, too."""
    for file in filter(_is_temporary, folder.glob(".*")):
        try:
            seconds = time.time() - file.stat().st_mtime
            if file.is_file() and seconds > (MIN_SECONDS if _has_no_process(file.name) else MAX_SECONDS):
                file.unlink()
        except OSError:  # another process was faster
            continue


def _is_temporary(file: Path) -> bool:
    """Return whether this version, or the one before, makes files with such a name."""
    return file.name.startswith(_TEMPORARY) or bool(re.fullmatch(r"\.[0-9a-f]{24}\.\d+\.\w{1,11}", file.name))


def _has_no_process(name: str) -> bool:
    """Return whether a temporary file belongs to a process of this machine that has ended."""
    host, _, rest = name.removeprefix(_TEMPORARY).partition("-")
    process = rest.partition("-")[0]
    if not (name.startswith(_TEMPORARY) and process.isdecimal() and host == _process_name().partition("-")[0]):
        return False
    if sys.platform == "win32":  # os.kill would end the process
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
