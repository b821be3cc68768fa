"""Checkpoint files: saved atomically, verified by a hash, loaded without running code.

Saving: write a temporary file in the same folder, fsync, write the hash file, then replace it. The hash file lists
the new and the previous content, so that a kill between the two renames leaves a valid pair.

Loading: the file may be untrusted. The zip must be uncompressed (a compressed one can be a bomb), and its pickle may
name only tensors and plain containers. This is checked before unpickling, in addition to torch's
``weights_only=True``.
"""

import hashlib
import math
import os
import pickletools
import shutil
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genai.core.errors import CorruptCheckpoint, RunError, UserError, short_repr
from genai.core.files import open_file, read_bytes, temporary_path, write_file
from genai.core.filesystem import link_or_copy, replace_file, sync_file, sync_folder
from genai.core.renamed import current_node, current_weights

CHECKPOINT_FORMAT = 1
CAN_REPLACE_MAPPED_FILES = sys.platform != "win32"
"""Whether a run can save over the checkpoint that it has resumed from while its tensors are memory-mapped."""
_MAX_PICKLE_BYTES = 32 * 2**20
_MAX_PICKLE_OPS = 2_000_000
_MAX_ENTRIES = 100_000
_STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_ALLOWED = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch Size"} | {
    f"torch {name}Storage" for name in _STORAGES
}


@dataclass(frozen=True, kw_only=True)
class CheckpointHeader:
    """What makes a checkpoint self-describing: its entry ``genai``.

    Attributes:
        version: of genai.
        model, modality: config nodes.
        modality_state: tokenizer or statistics.
        interface: sizes that the modality gives to the network.
        best: lowest validation loss so far.
        unlogged: metrics of this step that are logged after its validation.
        seconds, cpu_seconds: duration of the training so far.
        course: state of the learning-rate schedule.
    """

    version: str = ""
    model: dict[str, Any] | None = None
    modality: dict[str, Any] | None = None
    modality_state: Any = None
    interface: dict[str, Any] = field(default_factory=dict)
    format: int = CHECKPOINT_FORMAT
    step: int
    best: float = math.inf
    unlogged: dict[str, float] | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    course: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, state: Mapping[str, Any]) -> "CheckpointHeader":
        """Read the header of a loaded checkpoint. Raises ``UserError`` for a wrong type."""
        from genai.core.instantiate import read_dataclass

        return read_dataclass(cls, state.get("genai", {}))

    @property
    def entries(self) -> dict[str, Any]:
        """The entries in the file."""
        return dict(vars(self))


def save_checkpoint(state: Mapping[str, Any], path: Path) -> str:
    """Write ``state`` (plain types and tensors) to ``path`` and return its sha256.

    If ``path`` is ``last.ckpt``, the previous file is kept as ``previous.ckpt``.

    Raises:
        RunError: the disk is full or the folder cannot be written; the previous file is unchanged.
    """
    import torch

    temporary = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            torch.save(dict(state), file)
            sync_file(file)
        digest = file_hash(temporary)
        if path.name == "last.ckpt" and path.exists() and _matches_hash(path):  # keep no damaged file
            _keep_previous(path, path.with_name("previous.ckpt"))
        _write_hashes(path, [digest, *read_hashes(path)[:1]])
        replace_file(temporary, path)
        _write_hashes(path, [digest])
        sync_folder(path.parent)
        return digest
    except (OSError, RuntimeError) as error:  # torch wraps a failing write in a RuntimeError
        written = 0
        if path.parent.is_dir() and temporary.exists():
            written = temporary.stat().st_size
            temporary.unlink()
        free = shutil.disk_usage(_nearest_existing(path.parent)).free
        raise RunError(
            f"cannot save {path}: {_root_cause(error)} after {written:,} bytes; {free:,} bytes are free there.\n"
            "The previous checkpoint is unchanged."
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU. Raises ``CorruptCheckpoint`` if it is damaged or refused."""
    import torch

    inspect_checkpoint(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=CAN_REPLACE_MAPPED_FILES)
    except Exception as error:  # torch raises various errors for an invalid file
        raise CorruptCheckpoint(f"{path} is damaged: {str(error).splitlines()[0][:200]}") from error
    metadata, weights = (state.get(key) if isinstance(state, dict) else None for key in ("genai", "state_dict"))
    if not (isinstance(metadata, dict) and isinstance(metadata.get("step"), int) and isinstance(weights, dict)):
        raise CorruptCheckpoint(f"{path} is not a checkpoint of genai.")
    if not all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in weights.items()):
        raise CorruptCheckpoint(f"{path} is refused: its weights are not named tensors.")
    format_number = metadata.get("format")
    if not isinstance(format_number, int) or format_number != CHECKPOINT_FORMAT:
        raise CorruptCheckpoint(
            f"{path} has format {short_repr(format_number)}; this version of genai reads {CHECKPOINT_FORMAT}."
        )
    try:
        CheckpointHeader.read(state)
    except UserError as error:
        raise CorruptCheckpoint(f"{path} is not a checkpoint of genai: {error}") from error
    nodes = {key: current_node(metadata[key]) for key in ("model", "modality") if key in metadata}
    return {**state, "genai": {**metadata, **nodes}, "state_dict": current_weights(weights)}


def inspect_checkpoint(path: Path) -> None:
    """Check that a file is complete, unaltered, no zip bomb, and names no code; check sizes before reading.

    Raises:
        CorruptCheckpoint: names the reason.
    """
    if path.exists() and not path.is_file():  # a device or a pipe may never end
        raise CorruptCheckpoint(f"{path} is not a file.")
    if not _matches_hash(path):
        raise CorruptCheckpoint(f"{path} is damaged: its content does not match {path.name}.sha256.")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > _MAX_ENTRIES:
                raise CorruptCheckpoint(f"{path} is refused: {len(entries)} parts in one file.")
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise CorruptCheckpoint(f"{path} is refused: a compressed part, which can be a zip bomb.")
            if sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise CorruptCheckpoint(f"{path} is refused: its parts are larger than the file, a zip bomb.")
            if any(entry.filename != entry.orig_filename for entry in entries):
                raise CorruptCheckpoint(f"{path} is refused: a part with two names.")
            pickles = [entry for entry in entries if entry.filename.lower().endswith(".pkl")]  # torch takes DATA.PKL
            name = entries[0].filename.partition("/")[0] + "/data.pkl" if entries else ""
            if [entry.filename for entry in pickles] != [name] or pickles[0].file_size > _MAX_PICKLE_BYTES:
                raise CorruptCheckpoint(f"{path} is refused: genai did not write it.")
            _inspect_pickle(path, archive.read(pickles[0]))
    except zipfile.BadZipFile as error:
        raise CorruptCheckpoint(f"{path} is damaged, or not a checkpoint ({str(error)[:80]}).") from error
    except OSError as error:
        raise CorruptCheckpoint(f"cannot read {path}: {error.strerror}.") from error


def file_hash(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal. Raises ``UserError`` if it cannot be read."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _inspect_pickle(path: Path, content: bytes) -> None:
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if opcode.name == "GLOBAL" and argument not in _ALLOWED:
                raise CorruptCheckpoint(
                    f"{path} is refused: it names {short_repr(str(argument).replace(' ', '.'))}, which is code."
                )
            if opcode.name in ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"):
                raise CorruptCheckpoint(f"{path} is refused: it builds objects ({opcode.name}), which is code.")
            if count > _MAX_PICKLE_OPS:
                raise CorruptCheckpoint(f"{path} is refused: more than {_MAX_PICKLE_OPS:,} instructions in its pickle.")
    except (ValueError, IndexError, KeyError) as error:
        raise CorruptCheckpoint(f"{path} is damaged: {str(error)[:100]}") from error


def read_hashes(path: Path) -> list[str]:
    """Return the hashes in the hash file of ``path``; empty if there is none. Raises ``UserError``."""
    file = path.with_name(f"{path.name}.sha256")
    text = read_bytes(file, "hash", path.parent).decode("ascii", "replace") if os.path.lexists(file) else ""
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def _write_hashes(path: Path, hashes: list[str]) -> None:
    lines = "".join(f"{digest}  {path.name}\n" for digest in dict.fromkeys(hashes))
    write_file(path.with_name(f"{path.name}.sha256"), lines)


def _matches_hash(path: Path) -> bool:
    """Return whether a file matches its hash file; True if it has none."""
    hashes = read_hashes(path)
    return not hashes or file_hash(path) in hashes


def _keep_previous(path: Path, previous: Path) -> None:
    """Replace ``previous`` by the content of ``path``; both exist at every moment."""
    link = temporary_path(previous)
    link_or_copy(path, link)
    hashes = read_hashes(path)
    _write_hashes(previous, [*hashes, *read_hashes(previous)])
    replace_file(link, previous)
    _write_hashes(previous, hashes)


def _nearest_existing(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())


def _root_cause(error: BaseException) -> str:
    while not (isinstance(error, OSError) and error.strerror) and (error.__cause__ or error.__context__):
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return (
        error.strerror or str(error)
        if isinstance(error, OSError)
        else (str(error) or type(error).__name__).splitlines()[0]
    )
