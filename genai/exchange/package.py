"""A trained model of any modality as a folder that ``genai.load`` opens: weights, config, tokenizer, card, manifest.

model.safetensors   the weights of the module that samples, averaged or raw
config.json         the header of the checkpoint, and what the run's record says about data and prompts
tokenizer.json      of a text model with a tokenizer that others can read, too
README.md           the card
manifest.json       size and sha256 of each file

Nothing in it is a pickle. It may be a stranger's: the manifest is compared first, then sizes and shapes are checked.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from genai.core.errors import CorruptCheckpoint, UserError, short_repr, short_text
from genai.core.files import MIB, open_file, read_text, write_file
from genai.core.filesystem import sync_file
from genai.core.instantiate import validate_value
from genai.core.plain_data import parse_json
from genai.exchange.manifest import MANIFEST, check_manifest, write_manifest
from genai.exchange.pretrained import CONFIG, TOKENIZER, WEIGHTS, hub_root
from genai.methods.base import Method
from genai.modalities.base import Modality
from genai.modalities.text import Text
from genai.runs.checkpoint import CheckpointHeader, check_content
from genai.runs.record import RunRecord, parse_record
from genai.runs.run import Run

CARD = "README.md"
NAMES = (CARD, CONFIG, TOKENIZER, WEIGHTS)
"""Files of a package besides its manifest."""
LIBRARY = {"library_name": "genai"}
"""Entry of ``CONFIG`` and ``MANIFEST`` by which a package is recognized."""
HEADER_KEYS = ("version", "format", "step", "model", "modality", "interface", "consent")
"""Entries of a checkpoint's header that a package has as they are."""
RECORD_KEYS = (
    "modality", "model", "method", "data", "data_card", "prompts", "known_prompts", "parameters", "best", "steps",
    "seconds", "seed", "device", "devices", "threads", "precision", "versions", "hardware", "energy", "license", "base",
    "scores", "evaluation", "groups", "copying", "adapters", "sampling_energy", "consent",
)  # fmt: skip
"""Entries of a run's record that a package has: none tells of the machine or the person."""
MAX_HEADER_BYTES, MAX_TENSORS = 8 * MIB, 20_000
DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL")
TENSOR_KEY, FILE_KEY = "$tensor", "$file"
"""Entries of a modality's state in ``CONFIG`` that stand for a tensor in ``WEIGHTS``, or the text of a file."""


@dataclass(frozen=True)
class Package:
    """Content of a package.

    Attributes:
        state: as ``load_checkpoint`` returns it; without the weights that only training needs.
        record: values of the run's ``record.json``.
        weights: ``ema`` or ``raw``.
        file: the file with the weights.
        digest: sha256 of the manifest, and so of everything.
    """

    state: dict[str, Any]
    record: dict[str, Any]
    weights: Literal["ema", "raw"]
    file: Path
    digest: str


def is_package(folder: Path) -> bool:
    """Return whether a folder is a package: its config or its manifest says so."""
    return any(_has_library_name(folder / name) for name in (CONFIG, MANIFEST))


def _has_library_name(file: Path) -> bool:
    try:
        values = parse_json(read_text(file, "record"), str(file)) if file.is_file() else {}
    except UserError:
        return False
    return isinstance(values, dict) and values.get("library_name") == "genai"


# ------------------------------------------------------------------------------------------------------------ writing


def write_package(
    folder: Path,
    modality: Modality,
    method: Method,
    header: CheckpointHeader,
    weights: str,
    record: Mapping[str, Any],
    card: str,
) -> None:
    """Write a package.

    Args:
        folder: an empty folder.
        modality, method: the trained model.
        header: of its checkpoint.
        weights: which weights it has, ``ema`` or ``raw``.
        record: values of its run's ``record.json``, without paths; only those of ``RECORD_KEYS`` are written.
        card: content of ``CARD``.

    Raises:
        UserError: the modality's state has a value that JSON lacks.
        OSError: the folder cannot be written.
    """
    tensors, aliases = _stored_tensors(method)
    state_tensors: dict[str, Tensor] = {}
    modality_state = _encode(modality.state(), "modality_state", state_tensors)
    tokenizer = modality_state.get("json") if isinstance(modality, Text) else None
    if tokenizer is not None:
        modality_state["json"] = {FILE_KEY: TOKENIZER}
        write_file(folder / TOKENIZER, tokenizer)
    config = {
        **LIBRARY,
        **{name: getattr(header, name) for name in HEADER_KEYS},
        "modality_state": modality_state,
        "weights": weights,
        "tied": aliases,
        "record": {name: record[name] for name in RECORD_KEYS if record.get(name) is not None},
    }
    try:
        content = json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"this model's description cannot be written as JSON: {short_text(str(error))}.") from error
    write_file(folder / CONFIG, content + "\n")
    write_file(folder / CARD, card)
    save_file({**tensors, **state_tensors}, folder / WEIGHTS, {"format": "pt"})
    shutil.copymode(folder / CONFIG, folder / WEIGHTS)  # safetensors lets nobody else read it
    with (folder / WEIGHTS).open("rb+") as file:
        sync_file(file)
    write_manifest(folder)


def _stored_tensors(method: Method) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors to store, and those that are the same as others, as name and name of the other.

    A discriminator is left out: sampling, and training from these weights, do without. It stays if the model would be
    refused because it is much larger than its file.
    """
    state: Mapping[str, Tensor] = method.state_dict(keep_vars=True)
    first_names: dict[int, str] = {}
    for name in sorted(state, key=lambda name: not name.startswith("ema_module.")):
        first_names.setdefault(id(state[name]), name)
    aliases = {name: first_names[id(tensor)] for name, tensor in state.items() if first_names[id(tensor)] != name}
    tensors = {name: state[name].detach().cpu().contiguous() for name in first_names.values()}
    needed = {name: tensor for name, tensor in tensors.items() if name.startswith(("ema_module.", "codec."))}
    num_elements = sum(tensor.numel() for tensor in (*method.parameters(), *method.buffers()))
    is_enough = num_elements <= sum(tensor.nbytes for tensor in needed.values())
    return (needed if is_enough else tensors), aliases


def _encode(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Return a value of a modality's state as JSON has it; its tensors go into ``tensors``. Raises ``UserError``."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {TENSOR_KEY: name}
    if isinstance(value, Mapping):
        if any(not isinstance(key, str) or key in (TENSOR_KEY, FILE_KEY) for key in value):
            raise UserError(f"format=genai: {short_text(name)} has a key that is no text, or is {TENSOR_KEY}.")
        return {key: _encode(part, f"{name}.{key}", tensors) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(part, f"{name}.{index}", tensors) for index, part in enumerate(value)]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise UserError(f"format=genai: {short_text(name)} is {short_repr(value)}, which is no plain value or tensor.")


# ------------------------------------------------------------------------------------------------------------ reading


def read_package(folder: Path) -> Package:
    """Read a package. Tensors are memory-mapped.

    Raises:
        CorruptCheckpoint: a file is missing, superfluous or changed, or does not fit the others.
        UserError: a file cannot be read.
    """
    digest, config = check_package(folder)
    file = folder / WEIGHTS
    tensors = _read_tensors(file)
    tied = validate_value(config.get("tied", {}), dict[str, str], "tied")
    weights: Literal["ema", "raw"] = validate_value(config.get("weights"), Literal["ema", "raw"], "weights")
    names = {name: name for name in tensors if not name.startswith("modality_state.")}
    names |= {alias: name for alias, name in tied.items() if name in names}
    state_dict = {f"method.{name}": tensors[source] for name, source in names.items()}
    state_dict |= {
        name.replace("method.ema_module.", "ema.module.", 1): tensor
        for name, tensor in state_dict.items()
        if name.startswith("method.ema_module.")
    }
    entries = {name: config[name] for name in HEADER_KEYS if name in config}
    entries["modality_state"] = _decode(config.get("modality_state"), tensors, folder)
    state = check_content({"genai": entries, "state_dict": state_dict}, folder, file.stat().st_size)
    return Package(state, _record(config), weights, file, digest)


def check_package(folder: Path) -> tuple[str, dict[str, Any]]:
    """Compare a package with its manifest. Raises ``CorruptCheckpoint``.

    Returns:
        The sha256 of the manifest, and the content of ``CONFIG``.
    """
    root = hub_root(folder)
    digest = check_manifest(folder, root, NAMES)
    if missing := next((name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()), None):
        raise CorruptCheckpoint(f"{folder} has no {missing}.")
    config = parse_json(read_text(folder / CONFIG, "record", root), str(folder / CONFIG))
    if not isinstance(config, dict):
        raise CorruptCheckpoint(f"{folder / CONFIG} holds a {type(config).__name__}, not values by name.")
    return digest, config


def _record(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a run's record in a config; a stranger's other entries are left out."""
    values = config.get("record")
    return {name: values[name] for name in RECORD_KEYS if name in values} if isinstance(values, dict) else {}


def _read_tensors(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file. Raises ``CorruptCheckpoint``."""
    with open_file(file) as opened:
        num_bytes = int.from_bytes(opened.read(8), "little")
    if num_bytes > MAX_HEADER_BYTES:
        raise CorruptCheckpoint(f"{file} is refused: its header has {num_bytes:,} bytes.")
    try:
        archive: Any = safe_open(file, "pt")
        names = list(archive.keys())
        if len(names) > MAX_TENSORS:
            raise CorruptCheckpoint(f"{file} is refused: it holds {len(names):,} tensors.")
        for name in names:
            if (dtype := archive.get_slice(name).get_dtype()) not in DTYPES:
                raise CorruptCheckpoint(f"{file} is refused: {short_text(name)} has values of type {dtype}.")
        return {name: archive.get_tensor(name) for name in names}
    except (SafetensorError, OSError, RuntimeError) as error:
        raise CorruptCheckpoint(f"{file} is damaged: {short_text(str(error))}") from error


def _decode(value: Any, tensors: Mapping[str, Tensor], folder: Path) -> Any:
    """Return the modality's state of which ``value`` is the JSON. Raises ``CorruptCheckpoint``."""
    if isinstance(value, list):
        return [_decode(part, tensors, folder) for part in value]
    if not isinstance(value, dict):
        return value
    if FILE_KEY in value:
        if value != {FILE_KEY: TOKENIZER} or not (folder / TOKENIZER).is_file():
            raise CorruptCheckpoint(f"{folder / CONFIG} names {short_repr(value[FILE_KEY])}, which is not there.")
        return read_text(folder / TOKENIZER, "tokenizer", hub_root(folder))
    if TENSOR_KEY in value:
        name = value[TENSOR_KEY]
        if not isinstance(name, str) or name not in tensors:
            raise CorruptCheckpoint(f"{folder / WEIGHTS} has no tensor {short_repr(name)}.")
        return tensors[name].clone()  # the file may be replaced later
    return {key: _decode(part, tensors, folder) for key, part in value.items()}


@dataclass(frozen=True)
class PackageRun(Run):
    """A package in the place of a run folder: it has a record and the model's config, but no losses.

    Attributes:
        digest: sha256 of the manifest.
        config: content of ``CONFIG``.
    """

    digest: str
    config: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "PackageRun":
        """Compare the package with its manifest, and return it. Raises ``CorruptCheckpoint``."""
        return cls(folder, *check_package(folder))

    @property
    def record(self) -> RunRecord:
        return parse_record(_record(self.config), self.folder / CONFIG)

    @property
    def checkpoint_hashes(self) -> set[str]:
        return {self.digest}

    def read_config(self) -> dict[str, Any]:
        return {name: self.config.get(name) for name in ("model", "modality")}
