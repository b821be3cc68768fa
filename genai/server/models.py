"""Models by id: loaded when they are first asked for; the least recently used one leaves when memory is short."""

import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from genai.core.errors import CorruptCheckpoint, UserError, did_you_mean, join_names, short_text
from genai.core.terminal import one_line
from genai.inference.chat_models import PACKAGE_MODEL, has_chat_template, package_file
from genai.runs.checkpoint_files import read_hashes
from genai.runs.record import RunRecord, iso_seconds
from genai.runs.run import Run, all_runs
from genai.server.openai_errors import APIError, as_api_error
from genai.server.settings import MODEL_ID
from genai.trust.revocations import RevokedConsent

if TYPE_CHECKING:
    from genai.inference.model import Model

SCAN_SECONDS = 5.0
"""Time after which the folder of runs is read again."""
MAX_TITLE_LENGTH = 80
RETRY_SECONDS = 60.0
"""Time after which a model that could not be loaded is tried again."""


@dataclass(frozen=True)
class ModelEntry:
    """A model that can be loaded.

    Attributes:
        source: the run or file.
        created: time at which it was finished, in seconds; 0: unknown.
        modality: name of the run's modality; "" if it is not known before it is loaded.
        name: for people: that of the run, or its modality and time.
    """

    source: Path
    created: int = 0
    modality: str = ""
    name: str = ""


@dataclass(frozen=True)
class Origin:
    """The model that a sample is of: its id, and the name of its modality, "" if it is not known."""

    model_id: str
    modality: str


@dataclass
class _LoadedModel:
    model: "Model"
    num_bytes: int
    num_users: int = 0


class ModelStore:
    """Models by id.

    Args:
        runs: folder with the runs; each finished one is a model.
        named: paths of models by id, in place of those runs.
        max_bytes: memory for weights.
        device, plugins: see ``genai.load``.
    """

    def __init__(
        self, runs: str, named: Mapping[str, str] | None, max_bytes: int, device: str, plugins: Sequence[str]
    ) -> None:
        self.runs, self.named, self.max_bytes = Path(runs).expanduser(), named, max_bytes
        self.device, self.plugins = device, plugins
        self._loaded: OrderedDict[str, _LoadedModel] = OrderedDict()
        self._load_errors: dict[str, float] = {}
        self._entries: dict[str, ModelEntry] = {}
        self._scan_time = -SCAN_SECONDS
        self._origins: dict[str, Origin] = {}
        self._origins_state: tuple[float, int] | None = None
        self._digests: dict[str, str] = {}
        self._has_chat: dict[Path, bool] = {}
        self._lock, self._load_lock, self._scan_lock = threading.Lock(), threading.Lock(), threading.Lock()

    def entries(self) -> dict[str, ModelEntry]:
        """Return the models that there are, by id."""
        with self._scan_lock:
            if time.monotonic() - self._scan_time > SCAN_SECONDS:
                self._entries = self._scan()
                self._scan_time = time.monotonic()
            return dict(self._entries)

    def _scan(self) -> dict[str, ModelEntry]:
        if self.named is not None:
            return {name: _named_entry(name, Path(path).expanduser()) for name, path in self.named.items()}
        entries: dict[str, ModelEntry] = {}
        for run in all_runs(self.runs):
            record = run.record
            if not record.finished or not run.can_sample:
                continue
            name = run_id(run, self.runs)
            if name and name not in entries:
                entries[name] = ModelEntry(
                    run.folder, iso_seconds(record.finished), record.modality or "", run_title(record)
                )
        if file := package_file():
            entries.setdefault(PACKAGE_MODEL, ModelEntry(file, modality="text", name="SmolLM2"))
        return entries

    def has_chat(self, model_id: str, entry: ModelEntry) -> bool | None:
        """Return whether a model has a chat template; ``None``: it is not known before it is loaded."""
        if model := self._loaded.get(model_id):
            return getattr(model.model.modality, "chat_template", None) is not None
        if model_id == PACKAGE_MODEL:
            return True
        is_unknown = entry.source not in self._has_chat and entry.source.is_dir() and entry.created
        if is_unknown and entry.modality == "text":  # others need not be opened
            self._has_chat[entry.source] = has_chat_template(entry.source)
        return self._has_chat.get(entry.source)

    def origins(self) -> dict[str, Origin]:
        """Return the models by the hashes of their checkpoints; files of other tools only if they were loaded."""
        entries = self.entries()
        with self._scan_lock:
            state = (self._scan_time, len(self._digests))
            if state != self._origins_state:
                self._origins = {
                    digest: Origin(name, entry.modality)
                    for name, entry in entries.items()
                    for digest in {*_checkpoint_hashes(entry.source), self._digests.get(name, "")} - {""}
                }
                self._origins_state = state
            return self._origins

    @property
    def loaded(self) -> list[str]:
        """Ids of the models in memory, the least recently used first."""
        return list(self._loaded)

    def find(self, model_id: str) -> ModelEntry:
        """Return what is known of a model before it is loaded. Raises ``APIError``."""
        entries = self.entries()
        if model_id not in entries:
            names = join_names(list(entries)[:20])
            hint = did_you_mean(model_id, entries)
            raise APIError(
                404, f"there is no model '{short_text(model_id)}'.{hint} There are: {names}.", "model_not_found"
            )
        return entries[model_id]

    def acquire(self, model_id: str) -> "Model":
        """Return a model, which stays in memory until ``release``; loading takes seconds. Raises ``APIError``."""
        entry = self.find(model_id)
        with self._load_lock:  # one at a time, while models in memory are used
            if model := self.acquire_loaded(model_id):
                return model
            loaded = self._load(model_id, entry)
            with self._lock:
                self._loaded[model_id] = loaded
                try:
                    self._free_memory(model_id)
                except APIError:
                    del self._loaded[model_id]
                    raise
                loaded.num_users += 1
            return loaded.model

    def acquire_loaded(self, model_id: str) -> "Model | None":
        """Return a model as ``acquire`` does, at once; ``None``: it is not in memory."""
        with self._lock:
            if model_id not in self._loaded:
                return None
            self._loaded.move_to_end(model_id)
            self._loaded[model_id].num_users += 1
            return self._loaded[model_id].model

    def release(self, model_id: str) -> None:
        """Say that a model from ``acquire`` is not used any more."""
        with self._lock:
            self._loaded[model_id].num_users -= 1

    def _load(self, model_id: str, entry: ModelEntry) -> _LoadedModel:
        from genai.inference.model import load

        message = f"the model '{model_id}' cannot be loaded: its file is damaged or refused. The server's log says why."
        if time.monotonic() - self._load_errors.get(model_id, -RETRY_SECONDS) < RETRY_SECONDS:
            raise APIError(503, message, "model_damaged", int(RETRY_SECONDS))
        try:
            model = load(entry.source, device=self.device, plugins=self.plugins)
        except RevokedConsent as error:
            raise as_api_error(error) from error
        except (CorruptCheckpoint, UserError, OSError) as error:
            print(one_line(f"{model_id}: {error}"), file=sys.stderr, flush=True)
            self._load_errors[model_id] = time.monotonic()
            raise APIError(503, message, "model_damaged", int(RETRY_SECONDS)) from error
        self._digests[model_id] = model.digest
        return _LoadedModel(model, weight_bytes(model.method))

    def _free_memory(self, model_id: str) -> None:
        """Drop models that nobody uses until the weights fit, the least recently used first. Raises ``APIError``."""
        for name, entry in tuple(self._loaded.items()):
            if sum(each.num_bytes for each in self._loaded.values()) <= self.max_bytes:
                return
            if name != model_id and not entry.num_users:
                del self._loaded[name]
        total = sum(each.num_bytes for each in self._loaded.values())
        if total > self.max_bytes:
            raise APIError(503, "the memory for models is full: try again in a moment.", "memory_full", 5)


def run_id(run: Run, root: Path) -> str | None:
    """Return the id of a run below ``root``: its folders; ``None``: they have characters that ids do not have."""
    name = "_".join(run.folder.relative_to(root).parts or (run.folder.name,))
    return name if MODEL_ID.fullmatch(name) else None


def run_title(record: RunRecord) -> str:
    """Return the name of a run for people: its own ``name=`` or, without one, modality and time of its start."""
    names = [str(word).partition("=")[2] for word in record.overrides if str(word).startswith("name=")]
    if names and names[-1] not in ("", "null"):
        return one_line(names[-1])[:MAX_TITLE_LENGTH]
    modality = str(record.modality or "model")
    return f"{modality[:1].upper()}{modality[1:]}, {record.started[:16].replace('T', ' ')}"


def _named_entry(name: str, source: Path) -> ModelEntry:
    """Return what the record of a run says of it, if a model is one."""
    with suppress(UserError, OSError):
        if source.is_dir():
            return ModelEntry(source, modality=Run(source).record.modality or "", name=name)
    return ModelEntry(source, name=name)


def _checkpoint_hashes(source: Path) -> set[str]:
    """Return the hashes of a model's checkpoints as far as files tell them."""
    with suppress(UserError, OSError):
        return Run(source).checkpoint_hashes if source.is_dir() else set(read_hashes(source))
    return set()


def weight_bytes(module: nn.Module) -> int:
    """Return the memory of a module's parameters and buffers, in bytes."""
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
