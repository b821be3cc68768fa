"""A progress bar with the time left, for what takes longer than two seconds and only where somebody is watching."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

PATIENCE = 2.0
"""Seconds without a bar."""


class ProgressBar:
    """``with ProgressBar("samples", 160) as bar: ... bar.step()``; written to standard error, and gone at the end."""

    def __init__(self, label: str, total: float, patience: float = PATIENCE) -> None:
        self.patience = patience
        console = Console(file=sys.stderr)
        columns = TextColumn(label), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}  left")
        watched = console.is_terminal
        self.progress = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not watched)
        self.task = self.progress.add_task(label, total=total)
        self.began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.progress.stop()

    def step(self, count: float = 1) -> None:
        """So many more are done."""
        self.progress.advance(self.task, count)
        if time.monotonic() - self.began > self.patience:
            self.progress.start()
