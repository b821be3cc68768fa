"""One bar for the whole run, or a line every few seconds where nobody is watching a terminal."""

import math
import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from genai.training.module import TrainingModule


class Progress:
    """Steps, loss, samples a second, time left."""

    def __init__(self, line_every: float = 5.0) -> None:
        self.console = Console(file=sys.stderr)
        self.line_every, self.next_line = line_every, 0.0
        self.bar: RichProgress | None = None
        self.task = TaskID(0)
        self.began_at = 0.0
        self.losses: dict[str, float] = {}
        self.active = False

    def start(self, learner: TrainingModule) -> None:
        self.active = True
        self.began_at = self._share(learner)
        self.began = time.monotonic()
        if not self.console.is_terminal:
            return
        columns: list[Any] = [
            TextColumn("step {task.fields[step]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  loss {task.fields[loss]}  {task.fields[speed]} samples/s "),
            TimeElapsedColumn(),
            TextColumn("left {task.fields[left]} {task.fields[doing]}"),
        ]
        self.bar = RichProgress(*columns, console=self.console, transient=False)
        self.task = self.bar.add_task("", total=1.0, step="0", loss="-", speed="-", left="-", doing="")
        self.bar.start()

    def update(self, learner: TrainingModule, speed: float) -> None:
        if not self.active:
            return
        self._take(learner.logged)
        share = self._share(learner)
        total = learner.course.estimate(learner.step, learner.seconds)
        fields: dict[str, Any] = {
            "step": f"{learner.step:,}/{f'{total:,}' if total else '?'}",
            "loss": " ".join(f"{player}{loss:.4f}" for player, loss in self.losses.items()) or "-",
            "speed": f"{speed:,.0f}",
            "left": clock(self._left(share)),
        }
        if self.bar:
            self.bar.update(self.task, completed=share, doing="", **fields)
        elif time.monotonic() >= self.next_line or share >= 1:
            self.next_line = time.monotonic() + self.line_every
            print(
                "step {step}  loss {loss}  {speed} samples/s  left {left}".format(**fields), file=sys.stderr, flush=True
            )

    def say(self, doing: str) -> None:
        """What the run is busy with besides training."""
        if self.bar:
            self.bar.update(self.task, doing=f"({doing})")

    def tell(self, line: str) -> None:
        """A line for a person, above the bar where there is one."""
        if self.bar:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)
        elif self.active:
            print(line, file=sys.stderr, flush=True)

    def _take(self, logged: dict[str, float]) -> None:
        """The losses of a step, ``loss`` or one of each player, smoothed."""
        for name, newest in logged.items():
            if name.endswith("loss"):
                player = name.removesuffix("loss").replace("_", " ")
                self.losses[player] = 0.9 * self.losses.get(player, newest) + 0.1 * newest

    def stop(self) -> None:
        if self.bar:
            self.bar.stop()
        self.bar, self.active = None, False

    def _left(self, share: float) -> float:
        """Seconds to the end at the speed so far."""
        done = share - self.began_at
        return (time.monotonic() - self.began) * (1 - share) / done if done > 0 else math.nan

    @staticmethod
    def _share(learner: TrainingModule) -> float:
        """How much of the run is done, 0 to 1."""
        course = learner.course
        if course.total is not None:
            return min(1.0, learner.step / course.total)
        return min(1.0, learner.seconds / course.seconds) if course.seconds else 0.0


def clock(seconds: float) -> str:
    """``1:02:03``"""
    if math.isnan(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
