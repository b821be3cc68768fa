"""Sharded checkpoints: a folder with a file of each process, and a manifest that names all of them.

checkpoints/last.ckpt                  the manifest: step, folder, and size and sha256 of each file in it
checkpoints/last-00000120-5be31d07/
    state.pt                           the checkpoint without its sharded tensors, as ``torch.save`` writes it
    shard-00000.safetensors            rows of the sharded tensors, and where they begin

The manifest is written last, so it stands for a complete checkpoint, and its hash for all of the content. A shard has
the layout of ``torch.distributed.checkpoint.HuggingFaceStorageReader``, which reads the sharded tensors too.
"""

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le

from genai.core.errors import CorruptCheckpoint, UserError, short_repr, short_text
from genai.core.files import file_hash, open_file, read_bytes, temporary_path
from genai.core.instantiate import validate_value
from genai.core.limits import check_memory
from genai.core.plain_data import parse_json
from genai.runs.checkpoint_files import HashedFile, matches_hash, replace_checkpoint
from genai.runs.pickle_outline import check_torch_file
from genai.runs.tensor_tree import map_tensors

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST_FORMAT = 1
STATE = "state.pt"
FOLDER_NAME = re.compile(r"[a-z]{1,20}-[0-9]{8,20}-[0-9a-f]{8}")
FILE_NAME = re.compile(r"state\.pt|shard-[0-9]{5,9}\.safetensors")
HASH = re.compile(r"[0-9a-f]{64}")
OFFSETS, OFFSET = "DCP_SHARDING_INFO", "saved_offsets"
"""Keys of torch for the place of a shard in its tensor, in the metadata of a file."""
DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
"""Data types of torch, as safetensors names them."""
BLOCK_BYTES = 16 * 2**20
NUM_READS = 3
"""How often a checkpoint is read anew that was replaced meanwhile."""
Count = Annotated[int, Ge(0), Le(2**60)]


@dataclass(frozen=True)
class ShardFile:
    """Size in bytes and hash of a file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The files of a sharded checkpoint, by name, and the folder beside the manifest that has them."""

    step: int
    folder: str
    files: dict[str, ShardFile]

    @property
    def num_bytes(self) -> int:
        """Size of all files."""
        return sum(file.size for file in self.files.values())


# ------------------------------------------------------------------------------------------------------------ writing


def new_folder_name(path: Path, step: int) -> str:
    """Return a name for the folder of a sharded checkpoint, which no other one has."""
    return f"{path.stem}-{step:08d}-{secrets.token_hex(4)}"


def write_state(state: Any, path: Path) -> ShardFile:
    """Write a checkpoint without its sharded tensors. Raises ``OSError``, ``CorruptCheckpoint``."""
    import torch

    with path.open("xb") as file:
        hashed = HashedFile(file)
        torch.save(state, hashed)  # type: ignore[arg-type]
        digest = hashed.finish()
    check_torch_file(path)
    return ShardFile(path.stat().st_size, digest)


def write_shard(tensors: Mapping[str, "Tensor"], offsets: Mapping[str, Sequence[int]], path: Path) -> ShardFile:
    """Write a part of each tensor as safetensors, without a copy, and hash it on the way.

    Args:
        tensors: on the CPU.
        offsets: of the first element of each part in its whole tensor.
        path: the new file.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    import torch

    names = sorted(tensors, key=lambda name: -tensors[name].element_size())  # each part is aligned
    places = {name: {OFFSET: list(offsets[name])} for name in names}
    header: dict[str, Any] = {"__metadata__": {"format": "pt", "DCP_VERSION": "1.0", OFFSETS: json.dumps(places)}}
    end = 0
    for name in names:
        start, end = end, end + tensors[name].nbytes
        dtype = DTYPES[str(tensors[name].dtype).removeprefix("torch.")]
        header[name] = {"dtype": dtype, "shape": list(tensors[name].shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    size = 0
    with path.open("xb") as file:
        hashed = HashedFile(file)
        contents: Iterator[Any] = (tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy() for name in names)
        for content in chain((len(text).to_bytes(8, "little"), text), contents):
            for start in range(0, len(content), BLOCK_BYTES):
                hashed.write(content[start : start + BLOCK_BYTES])
            size += len(content)
        digest = hashed.finish()
    return ShardFile(size, digest)


def write_manifest(manifest: Manifest, path: Path) -> str:
    """Make a complete folder the checkpoint ``path``, remove folders without use, and return the manifest's sha256.

    If ``path`` is ``last.ckpt``, the previous manifest is kept as ``previous.ckpt``, and so is its folder.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    content = json.dumps({"library_name": "genai", "format": MANIFEST_FORMAT, **asdict(manifest)}, indent=2)
    temporary = temporary_path(path)
    try:
        with temporary.open("xb") as file:
            hashed = HashedFile(file)
            hashed.write(f"{content}\n".encode())
            digest = hashed.finish()
        replace_checkpoint(temporary, digest, path, keep=path.name == "last.ckpt" and _can_be_kept(path))
    finally:
        temporary.unlink(missing_ok=True)
    remove_unused_folders(path.parent)
    return digest


def _can_be_kept(path: Path) -> bool:
    """Return whether a checkpoint is there and not damaged; of shards only the sizes are compared."""
    try:
        if not path.exists() or not matches_hash(path):
            return False
        if is_manifest(path):
            _check_sizes(path, read_manifest(path))
    except UserError:
        return False
    return True


def unused_folders(folder: Path) -> list[Path]:
    """Return the folders of shards in ``folder`` that no manifest names, as after a kill."""
    if not folder.is_dir():
        return []
    names = set()
    for path in folder.glob("*.ckpt"):
        try:
            with open_file(path) as file:
                if file.read(1) != b"{":  # a whole file
                    continue
            names.add(read_manifest(path).folder)
        except (UserError, OSError):  # it cannot be read now: which folder it names is not known
            return []
    folders = (path for path in folder.iterdir() if FOLDER_NAME.fullmatch(path.name) and path.name not in names)
    return [path for path in folders if path.is_dir() and not path.is_symlink()]


def remove_unused_folders(folder: Path) -> None:
    """Remove what ``unused_folders`` returns."""
    for path in unused_folders(folder):
        shutil.rmtree(path, ignore_errors=True)


# ------------------------------------------------------------------------------------------------------------ reading


def is_manifest(path: Path) -> bool:
    """Return whether a checkpoint file is there, can be read and is a manifest."""
    try:
        with open_file(path) as file:
            return file.read(1) == b"{"
    except (UserError, OSError):
        return False


def checkpoint_bytes(path: Path) -> int:
    """Return the size of a checkpoint, with all its shards. Raises ``CorruptCheckpoint``, ``OSError``."""
    return read_manifest(path).num_bytes if is_manifest(path) else path.stat().st_size


def read_manifest(path: Path) -> Manifest:
    """Read a manifest; the files that it names are not looked at. Raises ``CorruptCheckpoint``."""
    try:
        values = parse_json(read_bytes(path, "index"), str(path))
        if not isinstance(values, dict) or values.get("format") != MANIFEST_FORMAT:
            raise UserError(f"{path} is no manifest of format {MANIFEST_FORMAT}.")
        step = validate_value(values.get("step"), Count, "step")
        folder = _checked_name(values.get("folder"), FOLDER_NAME)
        entries = validate_value(values.get("files"), dict[str, dict[str, Any]], "files")
        files = {}
        for name, entry in entries.items():
            size = validate_value(entry.get("size"), Count, f"{short_text(name)}.size")
            files[_checked_name(name, FILE_NAME)] = ShardFile(size, _checked_name(entry.get("sha256"), HASH))
        if STATE not in files:
            raise UserError(f"it does not name {STATE}.")
    except UserError as error:
        reason = str(error) if str(error).startswith(f"{path} ") else f"{path} is no manifest of a checkpoint: {error}"
        raise CorruptCheckpoint(reason) from error
    return Manifest(step, folder, files)


def load_shards(path: Path) -> dict[str, Any]:
    """Return the content of a sharded checkpoint, with whole tensors in memory.

    All sizes and hashes are compared before anything is used. If training replaces the checkpoint meanwhile, the new
    one is read.

    Raises:
        CorruptCheckpoint: a file is missing, damaged or refused; the message names it.
        UserError: it does not fit into the memory of this machine.
    """
    for reads_left in reversed(range(NUM_READS)):
        digest = file_hash(path)
        try:
            return _load_shards(path)
        except (UserError, OSError) as error:
            if not reads_left or file_hash(path) == digest:
                if isinstance(error, OSError):
                    raise CorruptCheckpoint(f"{path} cannot be read: {error.strerror or error}.") from error
                raise
    raise AssertionError


def _load_shards(path: Path) -> dict[str, Any]:
    import torch

    if not matches_hash(path):
        raise CorruptCheckpoint(f"{path} is damaged: its content does not match {path.name}.sha256.")
    manifest = read_manifest(path)
    folder = _check_sizes(path, manifest)
    check_memory(manifest.num_bytes, str(path))
    for name, entry in manifest.files.items():
        if file_hash(folder / name) != entry.sha256:
            raise CorruptCheckpoint(f"{folder / name} is damaged: its content does not match {path.name}.")
    file = folder / STATE
    try:
        check_torch_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except CorruptCheckpoint as error:
        raise CorruptCheckpoint(f"{file} {error}") from error
    except Exception as error:  # torch raises various errors for an invalid file
        raise CorruptCheckpoint(f"{file} is damaged: {short_text(str(error))}") from error
    tensors = _read_tensors([folder / name for name in sorted(manifest.files) if name != STATE])

    def insert(name: str, tensor: "Tensor") -> "Tensor":
        return tensors.pop(name) if name in tensors and not tensor.numel() else tensor

    state = map_tensors(state, insert)
    if tensors:
        raise CorruptCheckpoint(f"{folder} is refused: {STATE} has no place for {short_repr(next(iter(tensors)))}.")
    result: dict[str, Any] = state
    return result


def _check_sizes(path: Path, manifest: Manifest) -> Path:
    """Return the folder of a manifest, whose files are there and as large as it says. Raises ``CorruptCheckpoint``."""
    folder = path.parent / manifest.folder
    if not folder.is_dir() or folder.is_symlink():
        reason = "is a link" if folder.is_symlink() else "is not there: copy it with the checkpoint"
        raise CorruptCheckpoint(f"{path} is incomplete: {folder} {reason}.")
    for name, entry in manifest.files.items():
        file = folder / name
        if not os.path.lexists(file) or file.is_symlink():
            reason = "is a link: it is not read" if file.is_symlink() else "is not there"
            raise CorruptCheckpoint(f"{path} is incomplete: {file} {reason}.")
        try:
            with open_file(file) as opened:
                size = os.fstat(opened.fileno()).st_size
        except UserError as error:
            raise CorruptCheckpoint(str(error)) from error
        if size != entry.size:
            raise CorruptCheckpoint(f"{file} is damaged: it has {size:,} bytes, not {entry.size:,}.")
    return folder


def _read_tensors(files: Sequence[Path]) -> dict[str, "Tensor"]:
    """Return the whole tensors of which the files have rows. Raises ``CorruptCheckpoint``."""
    from safetensors import SafetensorError, safe_open

    parts: dict[str, list[tuple[list[int], Tensor]]] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as shard:
                places = parse_json((shard.metadata() or {}).get(OFFSETS, ""), str(file))
                for name in shard.keys():  # noqa: SIM118
                    place = places.get(name) if isinstance(places, dict) else None
                    offsets = place.get(OFFSET) if isinstance(place, dict) else None
                    part = validate_value(offsets, list[Count], OFFSET), shard.get_tensor(name)
                    parts.setdefault(name, []).append(part)
        except (SafetensorError, UserError) as error:
            raise CorruptCheckpoint(f"{file} is damaged: {short_text(str(error))}") from error
    return {name: _join_rows(name, each, files[0].parent) for name, each in parts.items()}


def _join_rows(name: str, parts: list[tuple[list[int], "Tensor"]], folder: Path) -> "Tensor":
    """Return a tensor from its parts, each a range of rows at ``[row, 0, ...]``. Raises ``CorruptCheckpoint``."""
    import torch

    parts.sort(key=lambda part: part[0])
    first, end = parts[0][1], 0
    for offsets, rows in parts:
        expected = [end, *([0] * (rows.ndim - 1))][: rows.ndim]
        same_kind = (rows.ndim, rows.shape[1:], rows.dtype) == (first.ndim, first.shape[1:], first.dtype)
        if offsets != expected or not same_kind or (len(parts) > 1 and not rows.ndim):
            raise CorruptCheckpoint(f"{folder} is refused: the parts of {short_repr(name)} do not fit together.")
        end += len(rows) if rows.ndim else 1
    return first if len(parts) == 1 else torch.cat([rows for _, rows in parts])


def _checked_name(value: Any, pattern: re.Pattern[str]) -> str:
    """Return a name that is what ``pattern`` allows. Raises ``UserError``."""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise UserError(f"it names {short_repr(value)}.")
    return value
