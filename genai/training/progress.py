"""Progress bar of a run, or a line every few seconds if the output is not a terminal."""

import math
import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from genai.training.module import TrainingModule


class TrainingProgress:
    """Shows steps, losses, samples per second and time left."""

    def __init__(self, line_every: float = 5.0) -> None:
        self.console = Console(file=sys.stderr)
        self.line_every, self.next_line = line_every, 0.0
        self.bar: RichProgress | None = None
        self.task = TaskID(0)
        self.metrics: dict[str, float] = {}
        self.active = False

    def start(self, module: TrainingModule) -> None:
        self.active = True
        if not self.console.is_terminal:
            return
        columns: list[Any] = [
            TextColumn("step {task.fields[step]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  loss {task.fields[loss]}  {task.fields[speed]} samples/s "),
            TimeElapsedColumn(),
            TextColumn("left {task.fields[left]} {task.fields[status]}"),
        ]
        self.bar = RichProgress(*columns, console=self.console, transient=False)
        self.task = self.bar.add_task("", total=1.0, step="0", loss="-", speed="-", left="-", status="")
        self.bar.start()

    def update(self, module: TrainingModule, speed: float, seconds_left: float) -> None:
        """Show the step that is done.

        Args:
            speed: samples per second.
            seconds_left: NaN if it is unknown.
        """
        if not self.active:
            return
        self._smooth_metrics(module.step_metrics, module.method.progress_metrics)
        fraction = self._fraction_done(module)
        total = module.lr_schedule.estimate(module.step, module.seconds)
        fields: dict[str, Any] = {
            "step": f"{module.step:,}/{f'{total:,}' if total else '?'}",
            "loss": " ".join(f"{label}{value:.4f}" for label, value in self.metrics.items()) or "-",
            "speed": f"{speed:,.0f}" if speed >= 10 else f"{speed:.1f}",
            "left": format_duration(seconds_left),
        }
        if self.bar:
            self.bar.update(self.task, completed=fraction, status="", **fields)
        elif time.monotonic() >= self.next_line or fraction >= 1:
            self.next_line = time.monotonic() + self.line_every
            print(
                "step {step}  loss {loss}  {speed} samples/s  left {left}".format(**fields), file=sys.stderr, flush=True
            )

    def set_status(self, status: str) -> None:
        """Show what the run does besides training, until the next update."""
        if self.bar:
            self.bar.update(self.task, status=f"({status})")

    def print_line(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        if self.bar:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)
        elif self.active:
            print(line, file=sys.stderr, flush=True)

    def _smooth_metrics(self, step_metrics: dict[str, float], others: Sequence[str]) -> None:
        """Smooth the loss of a step, or that of each network, and the ``others`` that are there."""
        for name, value in step_metrics.items():
            if name.endswith("loss") or name in others:
                label = f"{name} " if name in others else name.removesuffix("loss").replace("_", " ")
                self.metrics[label] = 0.9 * self.metrics.get(label, value) + 0.1 * value

    def stop(self) -> None:
        if self.bar:
            self.bar.stop()
        self.bar, self.active = None, False

    @staticmethod
    def _fraction_done(module: TrainingModule) -> float:
        """Return the fraction of the run that is done."""
        lr_schedule = module.lr_schedule
        if lr_schedule.total is not None:
            return min(1.0, module.step / lr_schedule.total)
        return min(1.0, module.seconds / lr_schedule.seconds) if lr_schedule.seconds else 0.0


def format_duration(seconds: float) -> str:
    """Format as ``1:02:03`` or ``2:03``; NaN as ``?``."""
    if math.isnan(seconds):
        return "?"
    total_minutes, remainder = divmod(round(seconds), 60)
    hours, minutes = divmod(total_minutes, 60)
    return f"{hours}:{minutes:02d}:{remainder:02d}" if hours else f"{minutes}:{remainder:02d}"
