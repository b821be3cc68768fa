"""The runs in the folder of runs, also those that go on, as plain data; files of a run tell all of it."""

import math
import os
import threading
import time
from bisect import bisect_right
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genai.core.errors import UserError
from genai.core.files import is_inside
from genai.report.html import run_summary, train_command
from genai.report.paths import public_text, public_word
from genai.runs.compare import config_rows, result_rows, short_description
from genai.runs.metrics import MetricsReader, as_plain, spread_rows
from genai.runs.record import RunRecord, iso_seconds
from genai.runs.run import Run, run_folders
from genai.server.media_files import MEDIA_TYPES, file_kind
from genai.server.models import ModelStore, run_id
from genai.server.openai_errors import APIError

SCAN_SECONDS, MIN_SCAN_SECONDS = 3.0, 0.5
"""Time after which the folder of runs is read again, and if a run is missing."""
MAX_RUNS, MAX_READERS, MAX_POINTS = 2_000, 64, 1_000
"""Runs that are listed, runs whose numbers are kept in memory, and points of a curve."""
MAX_PREVIEWS, MAX_PREVIEW_FILES = 500, 64
"""Newest steps with previews that are listed, and files of each."""
MAX_WARNINGS = 5
LOCK_SECONDS = 2.0
"""Time after which a run is asked again whether it goes on."""


@dataclass(frozen=True)
class RunState:
    """What of a run changes while it goes on: state, step, and number of previews."""

    state: str
    step: int
    num_previews: int


class RunIndex:
    """The runs in a folder, by id.

    Args:
        root: the folder.
        models: the models of the server.
    """

    def __init__(self, root: Path, models: ModelStore) -> None:
        self.root, self.models = root, models
        self._runs: dict[str, Run] = {}
        self._records: dict[Path, tuple[tuple[int, int], RunRecord]] = {}
        self._readers: OrderedDict[Path, MetricsReader] = OrderedDict()
        self._last_numbers: dict[Path, tuple[tuple[int, int], dict[str, float | None]]] = {}
        self._is_running: dict[Path, tuple[float, bool]] = {}
        self._scan_time = -SCAN_SECONDS
        self._lock = threading.RLock()

    def reset(self) -> None:
        """Ask again which runs go on at the next request: one has ended."""
        with self._lock:
            self._is_running.clear()

    def list(self) -> dict[str, Any]:
        """Return all runs as plain data, the newest first."""
        entries = []
        for name in self._scan():
            with suppress(APIError, UserError, OSError):
                entries.append(self.describe(name))
        entries.sort(key=lambda entry: (entry["created"], entry["id"]), reverse=True)
        return {"object": "list", "data": entries}

    def find(self, name: str) -> Run:
        """Return a run. Raises ``APIError``."""
        run = self._scan(name).get(name)
        if run is None or not run.record_file.is_file():
            raise APIError(404, "there is no such run.")
        return run

    def describe(self, name: str) -> dict[str, Any]:
        """Return a run as plain data. Raises ``APIError``, ``UserError`` if its record cannot be read."""
        run = self.find(name)
        record, state = self.record(run), self.state(run)
        numbers = self._numbers(run, state.state == "running")
        return {
            "id": name,
            "modality": record.modality,
            "state": state.state,
            "created": iso_seconds(record.started),
            "step": state.step,
            "max_steps": record.total_steps,
            "seconds": _duration(record, state.state),
            "val_loss": numbers["val_loss"],
            "best": record.best and _finite(record.best.val_loss),
            "best_step": record.best and record.best.step,
            "train_loss": numbers["loss"],
            "data": short_description(public_text(record.data.description, [str(word) for word in record.overrides])),
            "model": name in self.models.entries(),
            "health": record.warnings[-MAX_WARNINGS:],
        }

    def details(self, name: str) -> dict[str, Any]:
        """Return a run with its summary, its words, and the names of its numbers. Raises as ``describe``."""
        run = self.find(name)
        record = self.record(run)
        words = [str(word) for word in record.overrides]
        summary = {**run_summary(record), "Data": public_text(record.data.description, words)}
        if record.started:
            summary["Train it"] = train_command(record)
        with self._lock:
            columns = self._reader(run).columns
        words = [public_word(word) for word in words]
        return {**self.describe(name), "rows": [[*row] for row in summary.items()], "words": words, "columns": columns}

    def metrics(self, name: str, after: int) -> dict[str, Any]:
        """Return the numbers of a run from the step after ``after`` on, thinned. Raises ``APIError``, ``UserError``."""
        run = self.find(name)
        with self._lock:
            reader = self._reader(run)
            steps = reader.values["step"]
            start = bisect_right(steps, after)
            rows = spread_rows([*reader.values.values()], start, MAX_POINTS)
            columns = {name: [as_plain(values[row]) for row in rows] for name, values in reader.values.items()}
            columns["step"] = [int(steps[row]) for row in rows]
            return {"columns": columns, "last_step": int(steps[-1]) if steps else 0}

    def previews(self, name: str) -> dict[str, Any]:
        """Return the previews of a run, by step. Raises ``APIError``."""
        run = self.find(name)
        steps = sorted(_preview_steps(run))[-MAX_PREVIEWS:]
        return {"data": [{"step": step, "files": _preview_files(run, step)} for step in steps]}

    def preview_file(self, name: str, step: int, file_name: str) -> tuple[Path, Path]:
        """Return the path of a preview and the folder that it has to be in. Raises ``APIError``."""
        run = self.find(name)
        if step not in _preview_steps(run) or file_name not in [file["name"] for file in _preview_files(run, step)]:
            raise APIError(404, "there is no such preview.")
        return _preview_folder(run, step) / file_name, run.folder

    def compare(self, first: str, second: str) -> dict[str, Any]:
        """Return what differs between two runs. Raises ``APIError``, ``UserError`` if a file cannot be read."""
        runs = self.find(first), self.find(second)
        words = [str(word) for run in runs for word in self.record(run).overrides]
        differences, results = (
            [[public_text(text, words) for text in row] for row in rows]
            for rows in (config_rows(*runs), result_rows(*runs))
        )
        return {"differences": differences, "results": results}

    def record(self, run: Run) -> RunRecord:
        """Return the record of a run, which is read again if its file has changed. Raises ``UserError``."""
        status = os.lstat(run.record_file)
        state = status.st_mtime_ns, status.st_size
        with self._lock:  # another thread may look for the runs anew
            if run.folder not in self._records or self._records[run.folder][0] != state:
                self._records[run.folder] = state, run.record
            return self._records[run.folder][1]

    def state(self, run: Run) -> RunState:
        """Return state, step and number of previews of a run. Raises ``UserError``, ``OSError``."""
        record = self.record(run)
        is_running = self._is_trained(run, record)
        if not is_running:
            record = self.record(run)  # it may have been finished in between
        last_step = self._numbers(run, is_running)["step"] or 0
        if is_running:
            state = "running"
        elif record.finished:
            state = "finished"
        else:
            state = "stopped" if run.has_checkpoint else "failed"
        return RunState(state, max(record.steps, int(last_step)), len(_preview_steps(run)))

    def _is_trained(self, run: Run, record: RunRecord) -> bool:
        """Return whether a run goes on; asking takes its lock for a moment, so it is not done often."""
        if record.finished:
            return False
        with self._lock:
            last_time, is_running = self._is_running.get(run.folder, (-LOCK_SECONDS, False))
            if time.monotonic() - last_time > LOCK_SECONDS:
                is_running = run.is_running
                self._is_running[run.folder] = time.monotonic(), is_running
            return is_running

    def _numbers(self, run: Run, is_running: bool) -> dict[str, float | None]:
        """Return the last step and losses of a run; they are read once if it does not go on."""
        with self._lock:
            state = 0, 0
            with suppress(OSError):
                status = os.lstat(run.folder / "metrics.csv")
                state = status.st_mtime_ns, status.st_size
            last_state, numbers = self._last_numbers.get(run.folder, ((-1, -1), {}))
            if is_running or last_state != state:
                reader = self._reader(run)
                numbers = {column: reader.last(column) for column in ("step", "loss", "val_loss")}
                self._last_numbers[run.folder] = state, numbers
            return numbers

    def _reader(self, run: Run) -> MetricsReader:
        """Return the numbers of a run, up to date; none if the file cannot be read."""
        reader = self._readers.pop(run.folder, None) or MetricsReader(run.folder / "metrics.csv")
        with suppress(UserError):
            reader.update()
        self._readers[run.folder] = reader
        if len(self._readers) > MAX_READERS:
            self._readers.popitem(last=False)
        return reader

    def _scan(self, missing: str = "") -> dict[str, Run]:
        """Return the runs, which are looked for again if that was a while ago, or ``missing`` is not there."""
        with self._lock:
            limit = MIN_SCAN_SECONDS if missing and missing not in self._runs else SCAN_SECONDS
            if time.monotonic() - self._scan_time > limit:
                runs: dict[str, Run] = {}
                for folder in run_folders(self.root):
                    name = run_id(Run(folder), self.root)
                    if name and name not in runs and is_inside(folder, self.root) and len(runs) < MAX_RUNS:
                        runs[name] = Run(folder)
                self._runs, self._scan_time = runs, time.monotonic()
                folders = {run.folder for run in runs.values()}
                known: dict[Path, Any]
                for known in (self._records, self._last_numbers, self._is_running):
                    for folder in [folder for folder in known if folder not in folders]:
                        del known[folder]
            return self._runs


def _preview_folder(run: Run, step: int) -> Path:
    return run.folder / "previews" / f"{step:08d}"


def _preview_steps(run: Run) -> list[int]:
    """Return the steps with previews."""
    with suppress(OSError):
        names = os.listdir(run.folder / "previews")
        return [int(name) for name in names if name.isdecimal() and name.isascii() and name == f"{int(name[:18]):08d}"]
    return []


def _preview_files(run: Run, step: int) -> list[dict[str, str]]:
    """Return name, kind and type of the previews of a step."""
    with suppress(OSError):
        names = sorted(os.listdir(_preview_folder(run, step)))
        media = [(name, kind) for name in names if (kind := file_kind(Path(name)))]
        return [
            {"name": name, "kind": kind, "type": MEDIA_TYPES[Path(name).suffix.lower()]}
            for name, kind in media[:MAX_PREVIEW_FILES]
        ]
    return []


def _duration(record: RunRecord, state: str) -> float:
    """Return the seconds of training; of a run that goes on since its start, as its record is from the last save."""
    if state == "running" and not record.resumed and iso_seconds(record.started):
        return round(max(record.seconds, time.time() - iso_seconds(record.started)), 1)
    return _finite(record.seconds) or 0.0


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
