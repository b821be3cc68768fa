"""A model from where it is stored: a run, a checkpoint, an exported folder, or a file of another tool."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genai.core.device import select_device
from genai.core.errors import CorruptCheckpoint, UserError, did_you_mean, short_repr, short_text
from genai.core.files import file_hash
from genai.inference.adapters import merge_adapter
from genai.inference.build import build_from_checkpoint, build_on_base, load_weights
from genai.methods.base import Method
from genai.modalities.base import Modality
from genai.networks.native.weight_format import reset_weight_format
from genai.runs.checkpoint import CheckpointHeader, load_checkpoint
from genai.runs.record import AdapterRecord, VoiceRecord, read_values
from genai.runs.run import Run, find_run, latest_run
from genai.runs.sharded_checkpoint import checkpoint_bytes
from genai.runs.voices import join_voices, read_voices

if TYPE_CHECKING:
    from genai.exchange.package import Package
    from genai.exchange.pretrained import PretrainedModel


@dataclass(frozen=True)
class StoredModel:
    """A model that was read, with the attributes of ``genai.inference.model.Model``."""

    modality: Modality
    method: Method
    record: dict[str, Any]
    file: Path
    digest: str
    step: int = 0
    notes: list[str] = field(default_factory=list)
    weights: str = "ema"
    header: CheckpointHeader | None = None
    adapters: list[AdapterRecord] = field(default_factory=list)


def read_model(
    source: str | Path | None,
    modality: str | None,
    weights: str,
    device: str,
    runs_folder: Path,
    plugins: Sequence[str],
    adapters: Mapping[str, float] | None = None,
) -> StoredModel:
    """Read the model that ``source`` names; see ``genai.load``. Raises ``UserError``, ``CorruptCheckpoint``."""
    adapters = adapters or {}
    if weights not in ("ema", "raw"):
        raise UserError(f"weights={weights!r}: it should be 'ema' or 'raw'.")
    if source is None and adapters:
        source = _base_path(next(iter(adapters)))
    adapter_weights = weights
    if any(not _is_peft_folder(name) for name in adapters):
        weights = "ema"  # runs with an adapter begin from averaged weights
    torch_device = select_device(device)
    path = Path(source).expanduser().absolute() if isinstance(source, str | Path) else None
    if path and (package := _read_package(path)):
        model = _package_model(package, weights, plugins)
    elif path and (pretrained := _read_pretrained(path)):
        model = _pretrained_model(pretrained, path)
    else:
        model = _checkpoint_model(source, modality, weights, runs_folder, plugins)
    if modality is not None and (own_modality := model.record.get("modality")) not in (None, modality):
        raise UserError(f"{path or model.file} is a model of {short_text(own_modality)}, not of {modality}.")
    if model.method.needs_consent and not (model.header and model.header.consent):
        raise UserError(f"{model.file} is refused: it makes voices, and names no consent for them.")
    if adapters:
        merged = [_merge(model, name, factor, adapter_weights, plugins) for name, factor in adapters.items()]
        voices = [voice for _, voices in merged for voice in voices]
        model = replace(_with_voices(model, voices), weights=adapter_weights, adapters=[each for each, _ in merged])
        reset_weight_format(getattr(model.method, "network", None))
    model.method.to(torch_device).eval()
    return model


def _checkpoint_model(
    source: str | Path | None, modality: str | None, weights: str, runs_folder: Path, plugins: Sequence[str]
) -> StoredModel:
    file, state, notes = open_checkpoint(source, modality, runs_folder)
    if CheckpointHeader.read(state).adapter is not None:
        built_modality, method, header = _build_adapted(state, file, weights, plugins)
    else:
        built_modality, method, header = _build(state, file, weights, plugins)
    record = read_values(Run(file.parent.parent).record_file)
    return StoredModel(built_modality, method, record, file, file_hash(file), header.step, notes, weights, header)


def _with_voices(model: StoredModel, voices: Sequence[VoiceRecord]) -> StoredModel:
    """Return a model in whose weights there are further voices."""
    if not model.header or not voices:
        return model
    consent = join_voices(read_voices(model.header.consent), voices)
    return replace(model, header=replace(model.header, consent=consent))


def _package_model(package: "Package", weights: str, plugins: Sequence[str]) -> StoredModel:
    if weights == "raw" and package.weights == "ema":
        raise UserError(f"{package.file.parent} has the averaged weights only: leave out weights=raw.")
    modality, method, header = _build(package.state, package.file, package.weights, plugins, partial=True)
    return StoredModel(
        modality, method, package.record, package.file, package.digest, header.step, [], package.weights, header
    )


def _pretrained_model(model: "PretrainedModel", path: Path) -> StoredModel:
    from genai.exchange.description import pretrained_header
    from genai.exchange.pretrained import INDEX, WEIGHTS

    origin = {name: getattr(model.origin, name) for name in ("name", "digest", "license")}
    record = {"modality": "text", "model": model.family, "license": model.origin.license, "base": origin}
    names = (WEIGHTS, INDEX) if path.is_dir() else ()
    file = next((path / name for name in names if (path / name).is_file()), path)
    header = pretrained_header(model)
    return StoredModel(model.modality, model.method, record, file, model.origin.digest, header=header)


def _build(
    state: dict[str, Any], file: Path, weights: str, plugins: Sequence[str], partial: bool = False
) -> tuple[Modality, Method, CheckpointHeader]:
    """Build the model that the content of ``file`` describes, with its weights. Raises ``CorruptCheckpoint``."""
    header = CheckpointHeader.read(state)
    with _errors_of(file):
        num_bytes = checkpoint_bytes(file)
        modality, method = build_from_checkpoint(header, state["state_dict"], num_bytes, plugins, partial)
        load_weights(method, state["state_dict"], weights, partial)
    return modality, method, header


@contextmanager
def _errors_of(file: Path) -> Iterator[None]:
    """Context in which any error from building what ``file`` describes is a ``UserError`` that names it."""
    try:
        yield
    except UserError as error:
        raise type(error)(f"{file}: {error}") from error
    except Exception as error:  # an untrusted description can cause any error
        reason = short_text(f"{type(error).__name__}: {str(error)[:120]}".splitlines()[0])
        raise CorruptCheckpoint(f"{file} does not describe a model that fits its weights ({reason}).") from error


def _build_adapted(
    state: dict[str, Any], file: Path, weights: str, plugins: Sequence[str]
) -> tuple[Modality, Method, CheckpointHeader]:
    """Load the model that the adapter in ``file`` changes, with its averaged weights, and merge the adapter into it.

    Its options, such as those of sampling, are those of the adapter's run. The hash of a base that can be an adapter
    itself is compared before it is read, so a chain of adapters has an end.

    Raises:
        UserError: the model is not there, or has changed.
        CorruptCheckpoint: the adapter does not fit.
    """
    header = CheckpointHeader.read(state)
    record = header.base or {}
    path, hint = record.get("path", ""), "Name a copy with ckpt=, and this adapter with adapter=."
    is_checkpoint = os.path.isfile(path) and not is_exported_path(Path(path))
    if not is_checkpoint and not (os.path.exists(path) and is_exported_path(Path(path))):
        raise UserError(f"{file} is an adapter, and its base, {short_repr(path)}, is not there. {hint}")
    base = None if is_checkpoint and file_hash(Path(path)) != record.get("digest") else _read_base(path, plugins)
    if base is None or base.digest != record.get("digest"):
        raise UserError(f"{file} is an adapter, and its base, {short_repr(path)}, has changed since. {hint}")
    with _errors_of(file):
        modality, method = build_on_base(header, base.method, plugins)
    merge_adapter(method, file, state, weights, plugins=plugins)
    voices = [read_voices(each.consent) for each in (base.header, header) if each]
    return modality, method, replace(header, adapter=None, consent=join_voices(*voices))


def _read_base(path: str, plugins: Sequence[str]) -> StoredModel:
    return read_model(path, None, "ema", "cpu", Path("runs"), plugins)


def _merge(
    model: StoredModel, source: str, factor: float, weights: str, plugins: Sequence[str]
) -> tuple[AdapterRecord, list[VoiceRecord]]:
    """Add an adapter to the weights of a model that was read; return what is recorded of it, and its voices.

    Raises:
        UserError: it is no adapter, or one of another model.
        CorruptCheckpoint: it is damaged.
    """
    if _is_peft_folder(source):
        from genai.exchange.peft_folder import merge_peft, peft_digest

        folder = Path(source).expanduser().absolute()
        merge_peft(model.method, folder, factor)
        return AdapterRecord(str(folder), peft_digest(folder), factor), []
    if is_pretrained_path(Path(source).expanduser().absolute()):
        raise UserError(f"adapter={source}: it is a whole model, not an adapter: give it as ckpt=.")
    file, state, notes = open_checkpoint(source)
    model.notes.extend(notes)
    header = CheckpointHeader.read(state)
    if header.adapter is None:
        raise UserError(f"adapter={source}: it is a whole model, not an adapter: give it as ckpt=.")
    if header.adapter.get("speaker") is not None:
        raise UserError(f"adapter={source}: it adds a voice, so it is a model of its own: give it as ckpt=.")
    if (header.base or {}).get("digest") != model.digest:
        base = {key: short_text(value) for key, value in (header.base or {}).items()}
        raise UserError(
            f"adapter={source} changes another model, {base.get('name')} (sha256 {base.get('digest', '')[:12]}), than "
            f"{model.file} ({model.digest[:12]}). It was at {base.get('path')}."
        )
    merge_adapter(model.method, file, state, weights, factor, plugins)
    data = Run(file.parent.parent).record.data
    record = AdapterRecord(str(file.absolute()), file_hash(file), factor, data.name, data.license)
    return record, read_voices(header.consent)


def _is_peft_folder(source: str | Path) -> bool:
    return (Path(source).expanduser() / "adapter_config.json").is_file()


def _base_path(source: str) -> str:
    """Return the path of the model that an adapter changes. Raises ``UserError`` if it is not there."""
    if _is_peft_folder(source):
        raise UserError(f"adapter={source}: name the model that it changes with ckpt=.")
    header = CheckpointHeader.read(open_checkpoint(source)[1])
    path = (header.base or {}).get("path", "")
    if header.adapter is None or not os.path.exists(path):
        raise UserError(f"adapter={source}: the model that it changes, {short_repr(path)}, is not there: give ckpt=.")
    return path


def is_exported_path(path: Path) -> bool:
    """Return whether a path could be a model that was exported here or by another tool; importing what reads them takes
    a tenth of a second."""
    folder = path.parent if path.suffix == ".safetensors" else path
    return path.suffix in (".gguf", ".safetensors") or any(
        (folder / name).is_file() for name in ("config.json", "manifest.json")
    )


def is_pretrained_path(path: Path) -> bool:
    """Return whether a path is a model of another tool."""
    if not is_exported_path(path):
        return False
    from genai.exchange.package import is_package

    return not is_package(path.parent if path.suffix == ".safetensors" else path)


def _read_package(path: Path) -> "Package | None":
    """Read the folder that ``format=genai`` has written; ``None`` for other paths. Raises ``UserError``."""
    if not is_exported_path(path):
        return None
    from genai.exchange.package import is_package, read_package

    folder = path.parent if path.suffix == ".safetensors" else path
    return read_package(folder) if is_package(folder) else None


def _read_pretrained(path: Path) -> "PretrainedModel | None":
    """Read a folder of transformers or a GGUF file; ``None`` for other paths. Raises ``UserError``."""
    if not is_exported_path(path):
        return None
    from genai.exchange.gguf_file import is_gguf_file, read_gguf
    from genai.exchange.pretrained import is_pretrained_folder, read_folder

    folder = path.parent if path.suffix == ".safetensors" else path
    if is_pretrained_folder(folder):
        return read_folder(folder)
    return read_gguf(path) if is_gguf_file(path) else None


def open_checkpoint(
    source: str | Path | None, modality: str | None = None, root: Path = Path("runs")
) -> tuple[Path, dict[str, Any], list[str]]:
    """Find and read the checkpoint that ``source`` names.

    Returns:
        Its path, its content, and one message per damaged checkpoint that was skipped.

    Raises:
        UserError: there is none.
    """
    if source is None:
        return latest_run(root, modality).load("best")
    if not isinstance(source, str | Path):
        raise UserError(f"{short_repr(source)} is not the path of a run folder or checkpoint file.")
    if "://" in str(source):
        raise UserError(f"'{source}' looks like a URL: only local files can be loaded.")
    path = Path(source).expanduser().absolute()
    if package := _read_package(path):
        return package.file, package.state, []
    if path.suffix == ".gguf" and not path.exists():
        raise UserError(f"there is no file {source}.")
    if is_exported_path(path):
        raise UserError(f"{source} is a model of another tool, not a run or checkpoint.")
    if _is_peft_folder(path):
        raise UserError(f"{source} is an adapter of peft: give it as adapter=, and the model that it changes as ckpt=.")
    if path.is_dir():
        return find_run(path).load("best")
    if not path.exists():
        names = [file.name for file in path.parent.glob("*")] if path.parent.is_dir() else []
        raise UserError(f"there is no run folder or checkpoint {source}.{did_you_mean(path.name, names)}")
    return path, load_checkpoint(path), []
