"""A run on disk: its folder, its record, which one is newest, which of its checkpoints is good.

runs/2026-01-31/12-00-00-text-gpt/
    config.yaml  record.json  metrics.csv  checkpoints/{best,last}.ckpt  tensorboard/  previews/
"""

import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from genai.core.errors import CorruptCheckpoint, UserError, did_you_mean
from genai.runs.checkpoint import atomic_write, load_checkpoint

_KINDS: dict[str, type] = {
    "overrides": list,
    "prompts": list,
    "data": dict,
    "versions": dict,
    "steps": int,
    "started": str,
}
"""What others rely on of a record, which can come from a stranger."""


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path

    @property
    def record(self) -> dict[str, Any]:
        """What ``record.json`` says; empty where there is none yet. Raises ``UserError`` where it is not readable."""
        try:
            record = dict(json.loads((self.folder / "record.json").read_text(encoding="utf-8")))
            if wrong := [key for key, kind in _KINDS.items() if not isinstance(record.get(key, kind()), kind)]:
                raise ValueError(f"{wrong[0]} is no {_KINDS[wrong[0]].__name__}")
            return record
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, RecursionError, OSError) as error:
            raise UserError(f"cannot read {self.folder / 'record.json'} ({str(error)[:100]}).") from error

    def write_record(self, **values: Any) -> None:
        """Add ``values`` to ``record.json``."""
        content = json.dumps({**self.record, **values}, indent=2, ensure_ascii=False)
        atomic_write(self.folder / "record.json", content + "\n")

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest validation loss, the one to sample from."""
        return self.folder / "checkpoints" / "best.ckpt"

    @property
    def trained(self) -> bool:
        """Whether there is a checkpoint."""
        return any((self.folder / "checkpoints").glob("*.ckpt"))

    @property
    def digests(self) -> set[str]:
        """sha256 of its checkpoints, as the files beside them have it."""
        beside = (self.folder / "checkpoints").glob("*.ckpt.sha256")
        lines = (line.split() for file in beside for line in file.read_text(errors="replace").splitlines())
        return {words[0] for words in lines if words}

    def load(self, *names: str) -> tuple[Path, dict[str, Any], list[str]]:
        """The first undamaged checkpoint among ``names`` (``"best"``), then among the others, newest first.

        Returns:
            Its path, its content, and a line about each damaged one that was passed over.

        Raises:
            CorruptCheckpoint: there is none.
        """
        folder = self.folder / "checkpoints"
        files = [folder / f"{name}.ckpt" for name in (*names, "last", "previous", "best")]
        passed_over: list[str] = []
        for file in dict.fromkeys(file for file in files if file.exists()):
            try:
                return file, load_checkpoint(file), passed_over
            except CorruptCheckpoint as error:
                passed_over.append(str(error))
        if passed_over:
            raise CorruptCheckpoint("no checkpoint is left in this run. " + " ".join(passed_over))
        raise UserError(f"{self.folder} has no checkpoint yet: there is nothing to go on from. Start a new run.")

    def tidy(self) -> None:
        """Remove what a process that was killed while it saved has left."""
        for file in (self.folder / "checkpoints").glob(".*.tmp"):
            file.unlink(missing_ok=True)

    def lock(self) -> FileLock:
        """Held while a process trains in this folder. Raises ``UserError`` where another one does."""
        lock = FileLock(self.folder / ".lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            raise UserError(f"{self.folder} is being trained by another process.") from None
        except OSError as error:
            raise UserError(f"cannot write in {self.folder}: {error.strerror}.") from error
        return lock

    @property
    def busy(self) -> bool:
        """Whether a process trains in this folder now."""
        try:
            self.lock().release()
        except UserError:
            return True
        return False


def create_run(root: Path, name: str, folder: Path | None = None) -> Run:
    """Make a new folder ``root/<date>/<time>-<name>`` (or ``folder``). Raises ``UserError`` where that fails."""
    now = datetime.now()
    wanted = folder or root / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}-{name}"
    try:
        for count in range(1, 1000):
            unique = wanted if count == 1 else wanted.with_name(f"{wanted.name}-{count}")
            try:
                unique.mkdir(parents=True, exist_ok=folder is not None)
            except FileExistsError:
                if not unique.is_dir():
                    raise
                continue
            return Run(unique)
    except OSError as error:
        raise UserError(f"cannot make the run folder {wanted}: {error.strerror}.") from error
    raise UserError(f"{wanted} and 999 more like it exist already.")


def all_runs(root: Path) -> Iterator[Run]:
    """The runs below ``root``, newest first; one whose record cannot be read is passed over, and that is said."""
    found = []
    for pattern in ("*/*/record.json", "*/*/*/record.json"):
        for file in root.glob(pattern):
            run = Run(file.parent)
            try:
                found.append((str(run.record.get("started", "")), run.folder.name, run))
            except UserError as error:
                print(f"{error} It is passed over.", file=sys.stderr)
    yield from (run for _, _, run in sorted(found, key=lambda entry: entry[:2], reverse=True))


def latest_run(root: Path, modality: str | None = None) -> Run:
    """The newest run that has a checkpoint, of ``modality`` where it is named. Raises ``UserError`` for none."""
    for run in all_runs(root):
        if modality in (None, run.record.get("modality")) and run.trained:
            return run
    kind = f"{modality} run" if modality else "run"
    raise UserError(
        f"no {kind} with a checkpoint is in {root}/. Train one: python -m genai.train modality={modality or 'image'}"
    )


def latest_run_per_modality(root: Path) -> list[Run]:
    """Of each modality the newest run that has a checkpoint, in the order they were started in.

    Raises:
        UserError: there is none at all.
    """
    found: dict[str, Run] = {}
    for run in all_runs(root):
        if run.trained:
            found.setdefault(str(run.record.get("modality")), run)
    return list(reversed(found.values())) or [latest_run(root)]


def shell_path(path: Path) -> str:
    """A path as one would type it from here."""
    try:
        return shlex.quote(str(path.absolute().relative_to(Path.cwd())))
    except ValueError:
        return shlex.quote(str(path.absolute()))


def find_run(path: str | Path) -> Run:
    """The run whose folder is ``path``, or a file in it. Raises ``UserError`` naming the nearest one."""
    folder = Path(path).expanduser()
    for candidate in (folder, *list(folder.parents)[:2]):
        if (candidate / "record.json").is_file():
            return Run(candidate)
    siblings = [str(run.folder) for run in all_runs(folder.parent.parent)]
    raise UserError(f"{path} is not a run folder.{did_you_mean(str(folder), siblings)}")


def environment_info() -> dict[str, Any]:
    """Versions, git commit and hardware, for the record."""
    packages = {}
    for package in ("genai", "torch", "lightning", "hydra-core", "tokenizers", "numpy"):
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            packages[package] = "unknown"
    return {
        "versions": {"python": platform.python_version(), **packages},
        "git": _git(),
        "hardware": {"machine": platform.machine(), "processor": _processor(), "system": platform.platform()},
        "command": sys.argv[:],
    }


def _git() -> dict[str, Any] | None:
    """The commit of the working folder, and whether it has changes."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True)
        status = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit.stdout.strip(), "changed": bool(status.stdout.strip())}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
