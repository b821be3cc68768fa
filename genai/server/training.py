"""Trainings of the server: checked requests, one process at a time, checks of data sets."""

import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from genai.core.errors import UserError, short_text
from genai.core.instantiate import parse_dataclass
from genai.core.terminal import one_line
from genai.data.registry import modality_classes
from genai.server.openai_errors import APIError
from genai.server.option_schema import describe_fields
from genai.server.run_index import RunIndex
from genai.server.settings import ServeSettings
from genai.server.training_check import check_lines, end_process
from genai.server.training_data import (
    check_modality,
    describe_modalities,
    experiments,
    find_data,
    find_set,
    modalities_with,
)
from genai.server.training_process import TrainingProcess

MAX_PROCESSES = 20
"""Newest trainings that are listed."""
DEFAULT_MINUTES = 5.0
RUN_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
OFF = "trainings are off here. The server's owner turns them on: python -m genai serve train=true data_root=FOLDER"


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Options of a training.

    Attributes:
        minutes: length in minutes; 5 if neither it nor steps nor an experiment is given.
        steps: length in steps.
        size: pixels of a side, of pictures and clips.
        block: tokens that a text model sees at once.
        seed: of weights, order and noise.
        name: last part of the name of the run: letters, digits, - and _.
    """

    minutes: Annotated[float, Gt(0), Le(1440)] | None = None
    steps: Annotated[int, Ge(1), Le(10_000_000)] | None = None
    size: Annotated[int, Ge(8), Le(256)] | None = None
    block: Annotated[int, Ge(8), Le(2048)] | None = None
    seed: Annotated[int, Ge(0), Lt(2**31)] = 0
    name: str | None = None

    def __post_init__(self) -> None:
        if self.minutes is not None and self.steps is not None:
            raise UserError("minutes=, steps=: give one of them.")
        if self.name is not None and not RUN_NAME.fullmatch(self.name):
            raise UserError(f"name={short_text(self.name)}: up to 40 letters, digits, - and _ are possible.")


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """A request for a training.

    Attributes:
        modality: what to train.
        data: id of a data set; without it, what the experiment or the modality has by default.
        experiment: name of an experiment.
        options: of ``/api/training``.
    """

    modality: str
    data: str | None = None
    experiment: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def training_words(request: TrainingRequest, options: TrainingOptions, root: Path | None) -> list[str]:
    """Return the words of the command line for a request. Raises ``UserError`` for what does not fit together."""
    check_modality(request.modality, [*modality_classes()], "training")
    words = []
    if request.experiment is not None:
        known = experiments()
        if request.experiment not in known:
            raise UserError(f"experiment=: there is no experiment '{short_text(request.experiment)}'.")
        experiment = known[request.experiment]
        if experiment.needs_data and request.data is None:
            raise UserError(f"experiment={experiment.name}: choose data= for it, it has none of its own.")
        check_modality(request.modality, [experiment.modality], f"the experiment {request.experiment}")
        words.append(f"experiment={request.experiment}")
    else:
        words.append(f"modality={request.modality}")
    if request.data is not None:
        data = find_set(root, request.data)
        check_modality(request.modality, data.modalities, f"the data set {data.id}")
        if not data.source and request.experiment is None:
            raise UserError(f"data={data.id}: choose an experiment that says how to read these arrays.")
        words += [f"data.path={data.path}"] if request.experiment and data.path else data.words
    for name in ("size", "block"):
        value = getattr(options, name)
        if value is not None:
            check_modality(request.modality, modalities_with(name), f"the option {name}")
            words.append(f"modality.{name}={value}")
    values = {name: getattr(options, name) for name in ("minutes", "steps", "seed", "name")}
    if options.minutes is not None and request.experiment is not None:
        words.append("steps=null")  # an experiment may have its own
    return words + [f"{name}={value}" for name, value in values.items() if value is not None]


class Training:
    """The trainings of a server, one at a time.

    Args:
        settings: of the server.
        index: of its runs.
    """

    def __init__(self, settings: ServeSettings, index: RunIndex) -> None:
        self.is_enabled, self.index = settings.train, index
        self.root = Path(settings.data_root).expanduser().absolute() if settings.data_root else None
        if self.root is not None and not self.root.is_dir():
            raise UserError(f"data_root={settings.data_root}: there is no such folder.")
        hidden = {str(index.root): "runs", str(Path.cwd()): ".", os.path.expanduser("~"): "~"}
        hidden = {str(self.root): "data", **hidden} if self.root else hidden
        self._hidden = {folder: name for folder, name in hidden.items() if len(folder) > 1}
        self._processes: list[TrainingProcess] = []
        self._lock, self._check_lock = threading.Lock(), threading.Lock()
        self._check: subprocess.Popen[bytes] | None = None
        self._is_closed = False

    def describe(self) -> dict[str, Any]:
        """Return what can be trained, and what is trained, as plain data."""
        if not self.is_enabled:
            empty: dict[str, Any] = {name: [] for name in ("data", "experiments", "modalities", "options", "runs")}
            return {"enabled": False, "message": OFF, **empty}
        limits = {name: modalities_with(name) for name in ("size", "block")}
        return {
            "enabled": True,
            "message": None,
            "data": [each.describe() for each in find_data(self.root).values()],
            "experiments": [asdict(each) for each in experiments().values()],
            "modalities": describe_modalities(),
            "options": [_describe_option(each, limits) for each in describe_fields(TrainingOptions)],
            "runs": [self.describe_process(each) for each in reversed(self._processes)],
        }

    def describe_process(self, process: TrainingProcess) -> dict[str, Any]:
        """Return a training as plain data."""
        step = None
        if process.run is not None:
            with suppress(APIError, UserError, OSError):
                step = self.index.state(self.index.find(process.run)).step
        return process.describe(step)

    def check_enabled(self) -> None:
        """Raise ``APIError`` if the server trains nothing."""
        if not self.is_enabled:
            raise APIError(403, OFF, "training_off")

    def start(self, values: Mapping[str, Any]) -> TrainingProcess:
        """Start a training. Raises ``UserError``, ``APIError`` if another one goes on."""
        self.check_enabled()
        request = parse_dataclass(TrainingRequest, _without_null(values))
        options = parse_dataclass(TrainingOptions, _without_null(request.options))
        if options.minutes is None and options.steps is None and request.experiment is None:
            options = replace(options, minutes=DEFAULT_MINUTES)  # an experiment has its own length
        words = [*training_words(request, options, self.root), f"runs={self.index.root}"]
        seconds = None if options.minutes is None else 60 * options.minutes
        with self._lock:
            if self._is_closed:
                raise APIError(503, "the server is about to end.", "draining", 5)
            if any(not each.is_over for each in self._processes):
                raise APIError(409, "a training goes on already: wait for its end, or stop it.", "training_runs")
            process = TrainingProcess(words, self.index.root, seconds, options.steps, self._hidden, self.index.reset)
            self._processes = [*self._processes, process][-MAX_PROCESSES:]
        return process

    def find(self, identifier: str) -> TrainingProcess:
        """Return a training. Raises ``APIError``."""
        self.check_enabled()
        for process in self._processes:
            if process.id == identifier:
                return process
        raise APIError(404, "there is no such training.")

    @property
    def is_running(self) -> bool:
        """Whether a training or a check goes on."""
        return self._check is not None or any(not each.is_over for each in self._processes)

    def stop(self) -> None:
        """Let the training save and end; no other one starts."""
        self._is_closed = True
        for process in self._processes:
            process.stop()

    def close(self) -> None:
        """End the training and the check, if they have not ended yet."""
        self.stop()
        with self._lock:
            if self._check is not None:
                end_process(self._check)
        for process in self._processes:
            if not process.is_over:
                process.close(0.5)

    def check(self, name: str) -> dict[str, Any]:
        """Return what ``genai check`` says of a data set. Raises ``UserError``, ``APIError`` if another check runs."""
        self.check_enabled()
        data = find_set(self.root, name)
        if not data.source:
            raise UserError(f"data={data.id}: arrays are checked when they are trained on.")
        if not self._check_lock.acquire(blocking=False):
            raise APIError(429, "another data set is being checked: try again in a moment.", "busy", 5)
        try:
            with tempfile.TemporaryDirectory(prefix="genai-check-") as folder:
                words = [f"modality={data.modalities[0]}", *data.words]
                lines = check_lines(words, Path(folder), start=self._start_check)
        except subprocess.SubprocessError as error:
            raise APIError(500, "the check could not be made.") from error
        finally:
            self._check = None
            self._check_lock.release()
        for place, shown in self._hidden.items():
            lines = [line.replace(place, shown) for line in lines]
        return {"lines": [one_line(line) for line in lines], "modality": data.modalities[0]}

    def _start_check(self, start: Callable[[], "subprocess.Popen[bytes]"]) -> "subprocess.Popen[bytes]":
        """Start the process of a check, which ``close`` ends. Raises ``APIError`` if the server is about to end."""
        with self._lock:
            if self._is_closed:
                raise APIError(503, "the server is about to end.", "draining", 5)
            self._check = start()
            return self._check


def _without_null(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _describe_option(entry: Mapping[str, Any], limits: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return an option with ``minimum`` and ``maximum``, and the modalities that have it."""
    minimum = entry.get("minimum", entry.get("exclusiveMinimum"))
    maximum = entry.get("maximum", entry.get("exclusiveMaximum"))
    names = limits.get(str(entry["name"]), [*modality_classes()])
    keys = ("name", "type", "default", "description")
    return {**{k: entry.get(k) for k in keys}, "minimum": minimum, "maximum": maximum, "modalities": names}
