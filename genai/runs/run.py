"""Run folders: their records, their checkpoints, and how to find them.

runs/2026-01-31/12-00-00-text-gpt/
    config.yaml  record.json  metrics.csv  checkpoints/{best,last}.ckpt  tensorboard/  previews/
    data_card.md  data_card.json  model_card.md
"""

import json
import math
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, Timeout

from genai.core.errors import CorruptCheckpoint, UserError, did_you_mean
from genai.core.files import is_inside, remove_path, unique_folder, write_file
from genai.core.filesystem import lock_file, safe_name
from genai.core.plain_data import parse_yaml
from genai.core.terminal import one_line
from genai.runs.checkpoint import Check, CheckpointHeader, load_checkpoint
from genai.runs.checkpoint_files import read_hashes
from genai.runs.git import git_state
from genai.runs.record import RunRecord, parse_record, read_mapping, read_values
from genai.runs.sharded_checkpoint import unused_folders

MAX_DEPTH = 4
"""Folders between the one in which runs are looked for and a run: a date, a sweep, and two of a person's own."""
LOCK_SECONDS = 0.5
"""Time in which a lock is free again that a process took only to ask whether another one holds it."""


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path

    @property
    def record_file(self) -> Path:
        """The file of the record."""
        return self.folder / "record.json"

    @property
    def record(self) -> RunRecord:
        """Record of the run, without values if there is none yet. Raises ``UserError`` if it cannot be read."""
        return parse_record(read_values(self.record_file), self.record_file)

    def write_record(self, **values: Any) -> None:
        """Add ``values``, fields of ``RunRecord``, to ``record.json``."""
        RunRecord(**values)
        content = json.dumps(read_values(self.record_file) | values, indent=2, ensure_ascii=False)
        write_file(self.record_file, content + "\n", self.folder)

    def read_config(self) -> dict[str, Any]:
        """Return the content of ``config.yaml``; empty if there is none. Raises ``UserError`` if it cannot be read."""
        return read_mapping(self.folder / "config.yaml", "config", parse_yaml)

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest validation loss, to sample from."""
        return self.folder / "checkpoints" / "best.ckpt"

    @property
    def has_checkpoint(self) -> bool:
        """Whether the run has a checkpoint."""
        return any((self.folder / "checkpoints").glob("*.ckpt"))

    @property
    def can_sample(self) -> bool:
        """Whether the run has a checkpoint of a model that makes samples."""
        return self.has_checkpoint and self.record.can_sample

    @property
    def checkpoint_hashes(self) -> set[str]:
        """sha256 of the checkpoints, from their hash files."""
        files = (self.folder / "checkpoints").glob("*.ckpt.sha256")
        return {digest for file in files for digest in read_hashes(file.with_suffix(""))}

    def load(self, *names: str, check: Check | None = None) -> tuple[Path, dict[str, Any], list[str]]:
        """Load the first undamaged checkpoint of ``names`` (``"best"``), then of the others, newest first.

        Args:
            names: of files.
            check: see ``load_checkpoint``.

        Returns:
            Its path, its content, and one message per damaged checkpoint that was skipped.

        Raises:
            CorruptCheckpoint: there is none.
        """
        folder = self.folder / "checkpoints"
        files = [folder / f"{name}.ckpt" for name in (*names, "last", "previous", "best")]
        notes: list[str] = []
        for file in dict.fromkeys(file for file in files if file.exists()):
            try:
                return file, load_checkpoint(file, check), notes
            except CorruptCheckpoint as error:
                notes.append(str(error))
        if notes:
            raise CorruptCheckpoint("this run has no undamaged checkpoint. " + " ".join(notes))
        raise UserError(f"{self.folder} has no checkpoint yet, so it cannot be resumed. Start a new run.")

    @property
    def best_saved_loss(self) -> float:
        """Lowest validation loss in ``best.ckpt``; infinity if it is not there or damaged.

        The file may be newer than the checkpoint that a run resumes from.
        """
        try:
            return CheckpointHeader.read(load_checkpoint(self.best)).best if self.best.exists() else math.inf
        except UserError:
            return math.inf

    def check_links(self) -> None:
        """Raise ``UserError`` for parts where training cannot write: links that lead out, files for folders."""
        for name in ("checkpoints", "previews", "tensorboard"):
            if os.path.lexists(self.folder / name) and not (self.folder / name).is_dir():
                raise UserError(f"{self.folder / name} should be a folder: remove it to continue the run.")
        for path, folders, files in os.walk(self.folder):
            for part in (Path(path, name) for name in (*folders, *files)):
                if part.is_symlink() and not is_inside(part, self.folder):
                    raise UserError(f"{part} is a link that leads out of the run: remove it to continue the run.")

    def temporary_files(self) -> list[Path]:
        """Return the temporary files, and folders of shards, of a process that was killed while saving."""
        checkpoints = self.folder / "checkpoints"
        return [*self.folder.glob(".*.tmp"), *checkpoints.glob(".*.tmp"), *unused_folders(checkpoints)]

    def remove_temporary_files(self) -> None:
        """Remove what ``temporary_files`` returns."""
        for path in self.temporary_files():
            remove_path(path)

    def lock(self, seconds: float = 0.0) -> BaseFileLock:
        """Acquire the lock for training in this folder.

        Args:
            seconds: time to try again, as a process that asks ``is_locked`` holds the lock for a moment.

        Raises:
            UserError: another process holds it.
        """
        end = time.monotonic() + seconds
        while True:
            try:
                return lock_file(self.folder / ".lock")
            except Timeout:
                if time.monotonic() >= end:
                    raise UserError(f"{self.folder} is being trained by another process.") from None
                time.sleep(0.02)
            except OSError as error:
                raise UserError(f"cannot write in {self.folder}: {error.strerror}.") from error

    @property
    def is_running(self) -> bool:
        """Whether a process is training in this folder; nothing is written to find out."""
        return (self.folder / ".lock").exists() and self.is_locked

    @property
    def is_locked(self) -> bool:
        """Whether a process is training in this folder, or asks that."""
        return self.is_active(0.0)

    def is_active(self, seconds: float = LOCK_SECONDS) -> bool:
        """Return whether a process is training in this folder; one that only asks that is waited for."""
        try:
            self.lock(seconds).release()
        except UserError:
            return True
        return False


def create_run(root: Path, name: str, folder: Path | None = None) -> Run:
    """Create a new folder ``root/<date>/<time>-<name>`` or, if it is empty or not there, ``folder``.

    A number is added if another run is there. Raises ``UserError`` if that fails.
    """
    now = datetime.now()
    target = folder or root / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}-{safe_name(name)}"
    try:
        if folder and folder.is_dir() and not any(folder.iterdir()):  # Hydra has made it
            return Run(folder)
        return Run(unique_folder(target))
    except OSError as error:
        raise UserError(f"cannot create the run folder {target}: {error.strerror}.") from error


def all_runs(root: Path, depth: int = MAX_DEPTH) -> Iterator[Run]:
    """Yield the runs in ``root`` and down to ``depth`` folders below it, newest first.

    Runs with an unreadable record are skipped, with a message.
    """
    entries = []
    for folder in run_folders(root.expanduser(), depth):
        run = Run(folder)
        try:
            entries.append((run.record.started, run.folder.name, run))
        except UserError as error:
            print(one_line(f"{error} It is skipped."), file=sys.stderr)
    yield from (run for _, _, run in sorted(entries, key=lambda entry: entry[:2], reverse=True))


def run_folders(folder: Path, depth: int = MAX_DEPTH) -> Iterator[Path]:
    """Yield ``folder`` if it is that of a run, else those of runs below it. Hidden folders are left out."""
    with suppress(OSError):  # it is no folder, or may not be read
        if (folder / "record.json").is_file():
            yield folder
            return
        for child in sorted(folder.iterdir()) if depth > 0 else ():
            if not child.name.startswith(".") and child.is_dir():
                yield from run_folders(child, depth - 1)


def latest_run(root: Path, modality: str | None = None) -> Run:
    """Return the run (of ``modality``, if given) that was finished last, or else the newest one with a checkpoint.

    A line on standard error names a newer run that is not finished.

    Raises:
        UserError: no run has a checkpoint.
    """
    runs = [run for run in all_runs(root) if modality in (None, run.record.modality) and run.can_sample]
    if runs:
        return _latest(runs)
    kind = f"{modality} run" if modality else "run"
    raise UserError(
        f"no {kind} with a checkpoint is in {root.expanduser()}/. "
        f"Train one: python -m genai.train modality={modality or 'image'}"
    )


def latest_run_per_modality(root: Path) -> list[Run]:
    """Return what ``latest_run`` returns for each modality, in the order of their starts.

    Raises:
        UserError: there is none at all.
    """
    runs: dict[str, list[Run]] = {}
    for run in all_runs(root):
        if run.can_sample:
            runs.setdefault(str(run.record.modality), []).append(run)
    latest = [_latest(group) for group in runs.values()] or [latest_run(root)]
    return sorted(latest, key=lambda run: run.record.started)


def _latest(runs: Sequence[Run]) -> Run:
    """Return the run that was finished last, or the first one if none is finished; say what is passed over.

    Args:
        runs: one or more, newest first.
    """
    finished = [run for run in runs if run.record.finished]
    latest = max(finished, key=lambda run: (run.record.finished, run.record.started), default=runs[0])
    record = latest.record
    if not record.finished:
        print(one_line(f"{shell_path(latest.folder)} is unfinished ({record.progress})"), file=sys.stderr, flush=True)
    for run in runs if record.finished else ():
        other = run.record
        if not other.finished and max([other.started, *other.resumed]) > record.started:
            line = f"{shell_path(run.folder)} is newer, but unfinished ({other.progress}); ckpt= would take it"
            print(one_line(line), file=sys.stderr, flush=True)
            break
    return latest


def shell_path(path: Path) -> str:
    """Quote a path for a printed command, relative to the working folder if possible."""
    path = path.absolute()
    short_path = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return shlex.quote(one_line(short_path.as_posix()))


def find_run(path: str | Path) -> Run:
    """Return the run whose folder is ``path`` or contains it. Raises ``UserError`` with the nearest name."""
    folder = Path(path).expanduser()
    for candidate in (folder, *list(folder.parents)[:2]):
        if (candidate / "record.json").is_file():
            return Run(candidate)
    if below := list(all_runs(folder)):
        count = f"{len(below)} run{'s' * (len(below) > 1)}, such as {shell_path(below[0].folder)}"
        raise UserError(f"{path} is not a run folder. It contains {count}.")
    existing = [str(run.folder) for run in all_runs(folder.parent.parent, depth=3)]
    if not folder.exists():
        raise UserError(
            f"{path} is not a run folder: nothing is there.{did_you_mean(str(folder), existing)} Nothing is downloaded."
        )
    raise UserError(f"{path} is not a run folder: it has no record.json.{did_you_mean(str(folder), existing)}")


def environment_info() -> dict[str, Any]:
    """Collect versions, git commit and hardware for the record."""
    packages = {}
    for package in ("genai", "torch", "lightning", "hydra-core", "tokenizers", "numpy"):
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            packages[package] = "unknown"
    return {
        "versions": {"python": platform.python_version(), **packages},
        "git": git_state(Path.cwd()),
        "hardware": {"machine": platform.machine(), "processor": processor_name(), "system": platform.platform()},
        "command": sys.argv[:],
    }


def processor_name() -> str:
    """Return the name of the CPU."""
    file = Path("/proc/cpuinfo")
    if file.exists():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
