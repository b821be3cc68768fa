"""The numbers of a run: ``metrics.csv``, written as it goes, and TensorBoard. Both go on where a resumed run does."""

import csv
import io
import time
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from genai.runs.checkpoint import atomic_write


class Metrics:
    """``metrics.csv`` with ``step`` as its first column.

    Args:
        path: the file; rows after ``step`` (from a run that was killed beyond its checkpoint) are dropped.
        step: the last one that counts.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.columns, rows = ["step"], []
        if path.exists():
            text = path.read_text(encoding="utf-8")
            reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))  # without a last line that is torn
            self.columns = list(reader.fieldnames or ["step"])
            complete = [row for row in reader if None not in (*row, *row.values()) and row["step"].isdecimal()]
            rows = [row for row in complete if int(row["step"]) <= step]
        self._write(rows)

    def add(self, step: int, values: dict[str, float]) -> None:
        """Append a row; a value that is new adds a column."""
        row = {"step": str(step), **{name: f"{value:.8g}" for name, value in values.items()}}
        if new := [name for name in row if name not in self.columns]:
            rows = list(csv.DictReader(io.StringIO(self.path.read_text(encoding="utf-8"))))
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
        atomic_write(self.path, text.getvalue())


class Logs:
    """Both logs of a run from ``step`` on. Only the first process has one."""

    def __init__(self, folder: Path, step: int) -> None:
        self.metrics = Metrics(folder / "metrics.csv", step)
        purge = step + 1 if step else None
        while any((folder / "tensorboard").glob(f"events.out.tfevents.{int(time.time()):010d}.*")):
            time.sleep(0.05)  # TensorBoard reads files in the order of their names, which begin with the second
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=purge, flush_secs=10)
        both = ["^loss/(train|generator|discriminator)$", "^loss/val$"]
        self.writer.add_custom_scalars({"loss": {"train and held-out": ["Multiline", both]}})

    def add(self, step: int, values: dict[str, float]) -> None:
        """Scalars; those of validation stand beside those of training in one group."""
        self.metrics.add(step, values)
        for name, value in values.items():
            self.writer.add_scalar(tag(name), value, step)

    def close(self) -> None:
        self.writer.close()


def tag(name: str) -> str:
    """Under which name TensorBoard shows a number: losses together, each player's others, and those of validation."""
    group, _, rest = name.partition("_")
    return _TAGS.get(name) or (f"{group}/{rest}" if group in ("val", "generator", "discriminator") and rest else name)


_TAGS = {
    "loss": "loss/train",
    "val_loss": "loss/val",
    "generator_loss": "loss/generator",
    "discriminator_loss": "loss/discriminator",
    "samples_per_s": "speed/samples_per_s",
    "memory_mb": "speed/memory_mb",
}
