"""A progress bar with the remaining time, for work of more than two seconds, shown only in a terminal."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

START_DELAY = 2.0
"""Seconds before a bar appears."""


class ProgressBar:
    """A bar on standard error, removed at the end: ``with ProgressBar("samples", 160) as bar: ... bar.step()``."""

    def __init__(self, label: str, total: float, delay: float = START_DELAY) -> None:
        self.delay = delay
        console = Console(file=sys.stderr)
        columns = TextColumn(label), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}  left")
        disable = not console.is_terminal
        self.progress = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=disable)
        self.task = self.progress.add_task(label, total=total)
        self.start_time = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.progress.stop()

    def step(self, count: float = 1) -> None:
        """Advance the bar by ``count``."""
        self.progress.advance(self.task, count)
        if time.monotonic() - self.start_time > self.delay:
            self.progress.start()
