"""Checkpoint files that survive a kill, show damage, and never run code.

Saving: a temporary file in the same folder, fsync, the hash beside it, then ``os.replace``. The hash file names the new
and the previous content, so that a kill between the two renames leaves a pair that still fits.

Loading: the file may come from a stranger. The zip must be stored (a compressed one can be a bomb), and its pickle may
name nothing but tensors and plain containers, which is checked before anything is unpickled (and torch's own
``weights_only=True`` stays on besides).
"""

import hashlib
import os
import pickletools
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genai.core.errors import CorruptCheckpoint, RunError, short_repr

CHECKPOINT_FORMAT = 1
_PICKLE_BYTES = 32 * 2**20
_PICKLE_OPCODES = 2_000_000
_ENTRIES = 100_000
_STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_ALLOWED = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch Size"} | {
    f"torch {name}Storage" for name in _STORAGES
}


def save_checkpoint(state: Mapping[str, Any], path: Path) -> str:
    """Write ``state`` (plain types and tensors) to ``path`` and return its sha256.

    The former file stays as ``previous.ckpt`` where ``path`` is ``last.ckpt``.

    Raises:
        RunError: the disk is full or the folder cannot be written; the former file is untouched.
    """
    import torch

    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        digest = file_hash(temporary)
        previous = path.with_name("previous.ckpt")
        if path.name == "last.ckpt" and path.exists() and _fits(path):  # a damaged one must not replace a good one
            _keep(path, previous)
        former = _hashes(path)[:1]
        _write_hashes(path, [digest, *former])
        os.replace(temporary, path)
        _write_hashes(path, [digest])
        _sync(path.parent)
        return digest
    except (OSError, RuntimeError) as error:  # torch wraps a failing write in a RuntimeError
        written = 0
        if path.parent.is_dir() and temporary.exists():
            written = temporary.stat().st_size
            temporary.unlink()
        free = shutil.disk_usage(_existing(path.parent)).free
        raise RunError(
            f"cannot save {path}: {_reason(error)} after {written:,} bytes; {free:,} bytes are free there.\n"
            "The checkpoint before it is untouched."
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU. Raises ``CorruptCheckpoint`` where the hash does not fit or the content is not ours."""
    import torch

    inspect_checkpoint(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever torch makes of a file that is not what it says
        raise CorruptCheckpoint(f"{path} is damaged: {str(error).splitlines()[0][:200]}") from error
    about, weights = (state.get(key) if isinstance(state, dict) else None for key in ("genai", "state_dict"))
    if not (isinstance(about, dict) and isinstance(about.get("step"), int) and isinstance(weights, dict)):
        raise CorruptCheckpoint(f"{path} is not a checkpoint of genai.")
    if not all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in weights.items()):
        raise CorruptCheckpoint(f"{path} is refused: its weights are not tensors by name.")
    number = about.get("format")
    if not isinstance(number, int) or number != CHECKPOINT_FORMAT:
        raise CorruptCheckpoint(
            f"{path} has format {short_repr(number)}; this version of genai reads {CHECKPOINT_FORMAT}."
        )
    return dict(state)


def inspect_checkpoint(path: Path) -> None:
    """Refuse a file that is truncated, altered, a bomb, or names code. Opens nothing that it has not measured.

    Raises:
        CorruptCheckpoint: saying which.
    """
    if path.exists() and not path.is_file():  # a device or a pipe never ends
        raise CorruptCheckpoint(f"{path} is not a file.")
    if not _fits(path):
        raise CorruptCheckpoint(f"{path} is damaged: its content does not fit {path.name}.sha256.")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > _ENTRIES:
                raise CorruptCheckpoint(f"{path} is refused: {len(entries)} parts in one file.")
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise CorruptCheckpoint(f"{path} is refused: a compressed part, which can be a zip bomb.")
            if sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise CorruptCheckpoint(f"{path} is refused: its parts are larger than the file, a zip bomb.")
            if any(entry.filename != entry.orig_filename for entry in entries):
                raise CorruptCheckpoint(f"{path} is refused: a part with two names.")
            pickles = [entry for entry in entries if entry.filename.lower().endswith(".pkl")]  # torch takes DATA.PKL
            name = entries[0].filename.partition("/")[0] + "/data.pkl" if entries else ""
            if [entry.filename for entry in pickles] != [name] or pickles[0].file_size > _PICKLE_BYTES:
                raise CorruptCheckpoint(f"{path} is refused: it is not one that genai wrote.")
            _inspect_pickle(path, archive.read(pickles[0]))
    except zipfile.BadZipFile as error:
        raise CorruptCheckpoint(f"{path} is damaged, or not a checkpoint ({str(error)[:80]}).") from error
    except OSError as error:
        raise CorruptCheckpoint(f"cannot read {path}: {error.strerror}.") from error


def file_hash(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def atomic_write(path: Path, content: str) -> None:
    """Replace a small text file so that a reader, or a kill, never meets half of it.

    Bytes of a file name that are no UTF-8 become ``\\udcff``, which JSON and YAML read back.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _inspect_pickle(path: Path, content: bytes) -> None:
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if opcode.name == "GLOBAL" and argument not in _ALLOWED:
                raise CorruptCheckpoint(
                    f"{path} is refused: it names {short_repr(str(argument).replace(' ', '.'))}, which is code."
                )
            if opcode.name in ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"):
                raise CorruptCheckpoint(f"{path} is refused: it builds objects ({opcode.name}), which is code.")
            if count > _PICKLE_OPCODES:
                raise CorruptCheckpoint(f"{path} is refused: more than {_PICKLE_OPCODES:,} instructions in its pickle.")
    except (ValueError, IndexError, KeyError) as error:
        raise CorruptCheckpoint(f"{path} is damaged: {str(error)[:100]}") from error


def _hashes(path: Path) -> list[str]:
    beside = path.with_name(f"{path.name}.sha256")
    lines = beside.read_text(errors="replace").splitlines() if beside.exists() else []
    return [line.split()[0] for line in lines if line.strip()]


def _write_hashes(path: Path, hashes: list[str]) -> None:
    lines = "".join(f"{digest}  {path.name}\n" for digest in dict.fromkeys(hashes))
    atomic_write(path.with_name(f"{path.name}.sha256"), lines)


def _fits(path: Path) -> bool:
    """Whether a file has the content that the hash beside it names; without one there is nothing to say against it."""
    hashes = _hashes(path)
    return not hashes or file_hash(path) in hashes


def _keep(path: Path, previous: Path) -> None:
    """``previous`` becomes what ``path`` is now; both exist at every moment."""
    link = previous.with_name(f".{previous.name}.{os.getpid()}.tmp")
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, link)
    kept = _hashes(path)
    _write_hashes(previous, [*kept, *_hashes(previous)])
    os.replace(link, previous)
    _write_hashes(previous, kept)


def _sync(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())


def _reason(error: BaseException) -> str:
    while not (isinstance(error, OSError) and error.strerror) and (error.__cause__ or error.__context__):
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return (
        error.strerror or str(error)
        if isinstance(error, OSError)
        else (str(error) or type(error).__name__).splitlines()[0]
    )
