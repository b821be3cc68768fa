"""Checkpoint files: saved atomically, verified by a hash, loaded without running code.

Saving: write a temporary file in the same folder, fsync, write the hash file, then replace it. Numbers that are not
finite are not saved. A sharded checkpoint has a manifest in this place (``sharded_checkpoint``).

Loading: the file may be untrusted. ``zip_parts`` and ``pickle_outline`` look at all of it before torch reads it, with
``weights_only=True``; ``load_checkpoint`` then checks everything that sampling uses, and what the caller adds.
"""

import math
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from genai.core.errors import CorruptCheckpoint, RunError, UserError, short_repr, short_text
from genai.core.files import open_file, temporary_path
from genai.core.plain_data import AllowInfNan, check_tree
from genai.core.renamed import current_node, current_weights
from genai.runs.checkpoint_files import HashedFile, matches_hash, replace_checkpoint
from genai.runs.pickle_outline import check_torch_file
from genai.runs.sharded_checkpoint import checkpoint_bytes, is_manifest, load_shards, remove_unused_folders
from genai.runs.tensor_tree import named_tensors
from genai.runs.voices import check_voices, read_voices
from genai.runs.zip_parts import read_end

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINT_FORMAT = 1
CAN_REPLACE_MAPPED_FILES = sys.platform != "win32"
"""Whether a run can save over the checkpoint that it has resumed from while its tensors are memory-mapped."""
MAX_WEIGHT = 1e18
"""Largest absolute value of a weight: the square of a larger one may be infinite."""


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
        adapter: config node of the adapter whose weights these are; ``None``: those of a whole model.
        base: the model that was trained further: its ``path``, ``digest`` (sha256), ``name`` and ``license``.
        consent: of each voice in the model, the values of a ``VoiceRecord``.
    """

    version: str = ""
    model: dict[str, Any] | None = None
    modality: dict[str, Any] | None = None
    modality_state: Any = None
    interface: dict[str, Any] = field(default_factory=dict)
    format: int = CHECKPOINT_FORMAT
    step: Annotated[int, Ge(0)]
    best: Annotated[float, AllowInfNan, Ge(-math.inf)] = math.inf
    unlogged: Annotated[dict[str, float] | None, AllowInfNan] = None
    seconds: Annotated[float, Ge(0)] = 0.0
    cpu_seconds: Annotated[float, Ge(0)] = 0.0
    course: dict[str, Any] = field(default_factory=dict)
    adapter: dict[str, Any] | None = None
    base: dict[str, str] | None = None
    consent: list[dict[str, Any]] = field(default_factory=list)

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
        RunError: a number is not finite, the disk is full or the folder cannot be written. The file stays as it was.
    """
    import torch

    check_finite(state, path)
    temporary = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            hashed = HashedFile(file)
            torch.save(dict(state), hashed)  # type: ignore[arg-type]
            digest = hashed.finish()
        check_torch_file(temporary)
        is_good = path.name == "last.ckpt" and path.exists() and matches_hash(path)
        replace_checkpoint(temporary, digest, path, keep=is_good)  # a damaged file is not kept
        remove_unused_folders(path.parent)
        return digest
    except CorruptCheckpoint as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"cannot save {path}, because it could not be read again: it {error}") from error
    except (OSError, RuntimeError) as error:  # torch wraps a failing write in a RuntimeError
        written = 0
        if path.parent.is_dir() and temporary.exists():
            written = temporary.stat().st_size
            temporary.unlink()
        raise saving_error(path, error, written) from error


def check_finite(state: Mapping[str, Any], path: Path) -> None:
    """Raise ``RunError`` if a number of the checkpoint ``path`` is not finite."""
    if problem := describe_not_finite(state):
        raise RunError(
            f"{path.name} is not saved, because {problem}. Earlier checkpoints are kept.\n"
            "Try a smaller learning rate, a larger optimizer.eps or a smaller grad_clip."
        )


def saving_error(path: Path, error: BaseException, written: int | None = None) -> RunError:
    """Return the error of a checkpoint that could not be written, with the room that its disk has."""
    free = shutil.disk_usage(_nearest_existing(path.parent)).free
    after = "" if written is None else f" after {written:,} bytes"
    return RunError(
        f"cannot save {path}: {_root_cause(error)}{after}; {free:,} bytes are free there.\n"
        "The previous checkpoint is unchanged."
    )


Check = Callable[[dict[str, Any], int], None]
"""Callback that checks the content of a checkpoint and the size of its file in bytes, and raises ``UserError``."""


def load_checkpoint(path: Path, check: Check | None = None) -> dict[str, Any]:
    """Read a checkpoint onto the CPU and check all that sampling and training use.

    Args:
        path: the file, or the manifest of a sharded checkpoint, whose tensors are joined.
        check: what else has to be true, as for continuing a run.

    Raises:
        CorruptCheckpoint: it is damaged or refused.
        UserError: what ``check`` raises.
    """
    import torch

    if is_manifest(path):
        return check_content(load_shards(path), path, checkpoint_bytes(path), check)
    inspect_checkpoint(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=CAN_REPLACE_MAPPED_FILES)
    except Exception as error:  # torch raises various errors for an invalid file
        raise CorruptCheckpoint(f"{path} is damaged: {_first_line(error)}") from error
    return check_content(state, path, path.stat().st_size, check)


def check_content(state: Any, path: Path, num_bytes: int, check: Check | None = None) -> dict[str, Any]:
    """Check all that sampling and training use, and return it with current names.

    Args:
        state: content of a checkpoint; its values may be of any type.
        path: its file or folder, for messages.
        num_bytes: size of the file with its weights.
        check: as for ``load_checkpoint``.

    Raises:
        CorruptCheckpoint: something is missing, of a wrong type or out of range.
        UserError: what ``check`` raises, or the consent for a voice in it was revoked.
    """
    import torch

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
        check_tree({**metadata, "modality_state": None}, "its description", others=())
        voices = read_voices(CheckpointHeader.read(state).consent)
    except UserError as error:
        raise CorruptCheckpoint(f"{path} is not a checkpoint of genai: {error}") from error
    check_voices(voices, path)
    if problem := describe_not_finite({"state_dict": weights}):
        raise CorruptCheckpoint(f"{path} has weights that are not numbers: {problem}.")
    nodes = {key: current_node(metadata[key]) for key in ("model", "modality") if key in metadata}
    state = {**state, "genai": {**metadata, **nodes}, "state_dict": current_weights(weights)}
    try:
        if check:
            check(state, num_bytes)
    except CorruptCheckpoint as error:
        raise CorruptCheckpoint(f"{path}: {error}") from error
    except UserError:
        raise
    except Exception as error:  # an untrusted description can cause any error
        raise CorruptCheckpoint(f"{path} does not describe what it holds ({_first_line(error)}).") from error
    return state


def inspect_checkpoint(path: Path) -> None:
    """Check that a file is complete, unaltered, no zip bomb, and names no code; check sizes before reading.

    Raises:
        CorruptCheckpoint: names the reason.
    """
    try:
        with open_file(path) as file:
            read_end(file)  # before the hash, for which a huge file needs minutes
        if not matches_hash(path):
            raise CorruptCheckpoint(f"is damaged: its content does not match {path.name}.sha256.")
        check_torch_file(path)
    except CorruptCheckpoint as error:
        raise CorruptCheckpoint(f"{path} {error}") from error
    except UserError as error:  # it is a pipe, or its hash is
        raise CorruptCheckpoint(str(error)) from error
    except OSError as error:
        raise CorruptCheckpoint(f"cannot read {path}: {error.strerror}.") from error


def describe_not_finite(state: Mapping[str, Any]) -> str:
    """Return what is wrong with a number of a checkpoint; "" if all are finite, and no weight is beyond ``MAX_WEIGHT``.

    Args:
        state: tensors by name, and such mappings and lists, as ``state_dict`` and ``optimizer_states`` are.
    """
    import torch

    distinct = {id(tensor): (name, tensor) for name, tensor in named_tensors(state)}
    groups: dict[Any, list[tuple[str, Tensor]]] = {}
    for name, tensor in distinct.values():
        if tensor.is_floating_point() and tensor.numel():
            groups.setdefault((tensor.device, tensor.dtype), []).append((name, tensor))
    for named in groups.values():
        largest_values = torch.stack(torch._foreach_norm([tensor for _, tensor in named], math.inf)).tolist()
        for (name, tensor), largest in zip(named, largest_values, strict=True):
            limit = MAX_WEIGHT if name.startswith("state_dict.") else sys.float_info.max
            if not largest <= limit and not _is_mask(tensor):  # it is nan if any value is
                return f"{short_text(name.removeprefix('state_dict.'))} holds {largest:.0e}"
    return ""


def _is_mask(tensor: "Tensor") -> bool:
    """Return whether all values are 0 or minus infinity, as in the buffers of attention."""
    return bool(((tensor == 0) | (tensor == -math.inf)).all())


def _nearest_existing(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())


def _first_line(error: BaseException) -> str:
    return short_text((str(error) or type(error).__name__).splitlines()[0])


def _root_cause(error: BaseException) -> str:
    while not (isinstance(error, OSError) and error.strerror) and (error.__cause__ or error.__context__):
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return (
        error.strerror or str(error)
        if isinstance(error, OSError)
        else (str(error) or type(error).__name__).splitlines()[0]
    )
