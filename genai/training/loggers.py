"""Loggers: ``metrics.csv`` of every run, and TensorBoard, Weights & Biases or MLflow. A resumed run continues them."""

import csv
import hashlib
import io
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from torch.utils.tensorboard import SummaryWriter

from genai.core.errors import UserError
from genai.core.files import read_text, write_file
from genai.runs.metrics import read_metrics
from genai.runs.run import Run

TENSORBOARD_SAMPLES = "--samples_per_plugin images=200,audio=200,text=200"
"""Without this option TensorBoard keeps only ten pictures, sounds and texts of a run."""


MAX_WAIT = 2.0
"""Seconds to wait for a name that no other file of TensorBoard in the folder has."""


class MetricsFile:
    """Writes ``metrics.csv``, with ``step`` as its first column.

    Args:
        path: the file; its rows after ``step``, from a run that was killed after its checkpoint, are dropped.
        step: last step to keep.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.columns, rows = read_metrics(path)
        self._write([row for row in rows if int(row["step"]) <= step])

    def add(self, step: int, values: dict[str, float]) -> None:
        """Append a row; a new metric adds a column."""
        row = {"step": str(step), **{name: f"{value:.8g}" for name, value in values.items()}}
        if new := [name for name in row if name not in self.columns]:
            _, rows = read_metrics(self.path)
            self.columns += new
            self._write([*rows, row])
            return
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self.columns, restval="", lineterminator="\n").writerow(row)

    def _write(self, rows: list[dict[str, Any]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_file(self.path, text.getvalue(), self.path.parent)


class Logger(ABC):
    """Receiver of a run's numbers besides ``metrics.csv``. It is created before the run folder."""

    networks: Sequence[str] = ()
    """Names of the networks, where several are trained; they begin the names of their numbers."""

    shows_samples: ClassVar[bool] = False
    """Whether it shows previews."""

    errors: tuple[type[Exception], ...] = ()
    """What ``start`` raises if a setting is wrong."""

    hint: ClassVar[str] = ""
    """What a person can do then."""

    writer: SummaryWriter | None = None
    """TensorBoard's writer for previews, once it has started; ``None``: previews are only files."""

    def watch_command(self, runs: str) -> str:
        """Command that shows the runs in the folder ``runs``; "" if there is none."""
        return ""

    @abstractmethod
    def start(self, folder: Path, step: int) -> None:
        """Open it for the run in ``folder``, from ``step`` on."""

    @abstractmethod
    def add(self, step: int, values: dict[str, float]) -> None:
        """Log the numbers of a step."""

    def close(self) -> None:  # noqa: B027
        """Write what is left."""


class CSVLogger(Logger):
    """``metrics.csv`` alone."""

    def start(self, folder: Path, step: int) -> None:
        pass

    def add(self, step: int, values: dict[str, float]) -> None:
        pass


class TensorBoardLogger(Logger):
    """Event files in the folder ``tensorboard`` of the run."""

    shows_samples = True

    def watch_command(self, runs: str) -> str:
        return f"tensorboard --logdir {runs} {TENSORBOARD_SAMPLES}"

    def start(self, folder: Path, step: int) -> None:
        purge = step + 1 if step else None
        end = time.monotonic() + MAX_WAIT
        while time.monotonic() < end and any((folder / "tensorboard").glob(f"*.tfevents.{int(time.time()):010d}.*")):
            time.sleep(0.05)  # TensorBoard orders files by name, which starts with the time in seconds
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=purge, flush_secs=10)
        both = [f"^loss/({'|'.join(['train', *self.networks])})$", "^loss/val$"]
        self.writer.add_custom_scalars({"loss": {"train and held-out": ["Multiline", both]}})

    def add(self, step: int, values: dict[str, float]) -> None:
        """Scalars; those of validation stand beside those of training in one group."""
        assert self.writer is not None
        for name, value in values.items():
            self.writer.add_scalar(tensorboard_tag(name, self.networks), value, step)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


class WandbLogger(Logger):
    """Weights & Biases. Its files go to the folder ``wandb`` of the current folder, as usual.

    Not into the run: wandb reads settings there, such as the address of its server, and a run may be a stranger's.

    Args:
        project: name of the project.
        name: name of the run; ``None``: that of its folder.

    Raises:
        UserError: wandb is not installed.
    """

    hint = "Log in with `wandb login`, or keep everything on this machine with WANDB_MODE=offline."

    def __init__(self, project: str = "genai", name: str | None = None) -> None:
        self.project, self.name = project, name
        self.wandb = _import("wandb", "logger=wandb")
        self.errors = (self.wandb.Error,)

    def start(self, folder: Path, step: int) -> None:
        config = Run(folder).read_config()
        self.run = self.wandb.init(
            project=self.project, name=self.name or folder.name, config=config, id=_run_id(folder),
            resume="allow",
        )  # fmt: skip

    def add(self, step: int, values: dict[str, float]) -> None:
        self.run.log({tensorboard_tag(name, self.networks): value for name, value in values.items()}, step=step)

    def close(self) -> None:
        self.run.finish()


class MLflowLogger(Logger):
    """MLflow.

    Args:
        experiment: name of the experiment.
        tracking_uri: a database such as ``sqlite:///mlflow.db``, or the address of a server; ``None``: MLflow's own
            default. A record does not choose it: ``resume=`` needs it again.

    Raises:
        UserError: mlflow is not installed.
    """

    hint = "logger.tracking_uri= is a database (sqlite:///mlflow.db) or a server; resume= needs it again."

    def __init__(self, experiment: str = "genai", tracking_uri: str | None = None) -> None:
        self.experiment, self.tracking_uri = experiment, tracking_uri
        self.mlflow = _import("mlflow", "logger=mlflow")
        self.errors = (self.mlflow.MlflowException,)

    def start(self, folder: Path, step: int) -> None:
        if self.tracking_uri:
            self.mlflow.set_tracking_uri(self.tracking_uri)
        self.mlflow.set_experiment(self.experiment)
        id_file = folder / "mlflow_run_id"
        if id_file.exists():
            self.mlflow.start_run(run_id=read_text(id_file, "line", folder))
        else:
            write_file(id_file, str(self.mlflow.start_run(run_name=folder.name).info.run_id), folder)

    def add(self, step: int, values: dict[str, float]) -> None:
        tags = {tensorboard_tag(name, self.networks): value for name, value in values.items()}
        self.mlflow.log_metrics({re.sub(r"[^\w ./-]", "-", tag): value for tag, value in tags.items()}, step=step)

    def close(self) -> None:
        self.mlflow.end_run()


class RunLogger:
    """``metrics.csv`` and the chosen logger of a run, from ``step`` on. Only the first process has one."""

    def __init__(self, folder: Path, step: int, logger: Logger, networks: Sequence[str] = ()) -> None:
        self.metrics, self.logger = MetricsFile(folder / "metrics.csv", step), logger
        logger.networks = networks
        try:
            logger.start(folder, step)
        except logger.errors as error:
            raise UserError(f"{type(logger).__name__}: {str(error).splitlines()[0][:300]}\n{logger.hint}") from error

    @property
    def writer(self) -> SummaryWriter | None:
        """TensorBoard's writer, for previews."""
        return self.logger.writer

    def add(self, step: int, values: dict[str, float]) -> None:
        """Log the numbers of a step."""
        self.metrics.add(step, values)
        self.logger.add(step, values)

    def close(self) -> None:
        """Write what is left."""
        self.logger.close()


def _import(package: str, choice: str) -> Any:
    """An optional package. Raises ``UserError`` with the line that installs it."""
    try:
        return import_module(package)
    except ImportError as error:
        raise UserError(f"{choice} needs the package {package}: pip install {package}") from error


def _run_id(folder: Path) -> str:
    """An id that a resumed run has again."""
    return hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]


def tensorboard_tag(name: str, networks: Sequence[str] = ()) -> str:
    """Return the tag of a metric: grouped into losses, other metrics of each network, validation, and speed."""
    if name in TENSORBOARD_TAGS:
        return TENSORBOARD_TAGS[name]
    if name.endswith("_per_s"):
        return f"speed/{name}"
    group = next((group for group in ("val", *networks) if name.startswith(f"{group}_")), None)
    rest = name.removeprefix(f"{group}_")
    if group is None:
        return f"train/{name}" if name.partition("/")[0] == "reward" else name
    return f"loss/{group}" if rest == "loss" else f"{group}/{rest}"


TENSORBOARD_TAGS = {
    "loss": "loss/train",
    "val_loss": "loss/val",
    "memory_mb": "speed/memory_mb",
}
