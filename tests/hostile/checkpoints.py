"""Checkpoints of strangers, made from one small run and opened in this process.

Each has to end in one or two lines that name the fault, within the limits of an attempt, and change no file.
"""

import re
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch

from genai.core.errors import RunError, UserError
from tests.hostile.attempts import limited

MAX_CHARACTERS = 1200
State = dict[str, Any]
Change = Callable[[State], object]


def assert_refused(task: Callable[[], object], message: str, folder: Path) -> None:
    """Run ``task``, which has to raise a ``UserError`` or ``RunError`` that matches ``message``.

    Args:
        folder: nothing in it may change, but for the file that locks a run.
    """
    files = snapshot(folder)
    with limited(), pytest.raises((UserError, RunError)) as caught:
        task()
    text = str(caught.value)
    assert re.search(message, text), text
    assert 1 <= len(text.splitlines()) <= 2 and len(text) < MAX_CHARACTERS
    assert text.replace("\n", "").isprintable()
    assert snapshot(folder) == files


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return kind, size and time of change of everything in a folder."""
    paths = [path for path in folder.rglob("*") if path.name != ".lock"]
    return {
        str(path): (s.st_mode, s.st_size, s.st_mtime_ns) for path in paths if path.is_file() and (s := path.lstat())
    }


def write_changed(good: Path, path: Path, change: Change) -> Path:
    """Write a good checkpoint after ``change``, without its hash."""
    state = torch.load(good, weights_only=True)
    change(state)
    torch.save(state, path)
    path.with_name(f"{path.name}.sha256").unlink(missing_ok=True)
    return path


def put(value: Any, *keys: str | int) -> Change:
    """Set one value: ``put(3, "genai", "model", "network", "width")``."""

    def change(state: State) -> None:
        inner: Any = state
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value

    return change


def remove(*keys: str | int) -> Change:
    """Remove one value."""

    def change(state: State) -> None:
        inner: Any = state
        for key in keys[:-1]:
            inner = inner[key]
        del inner[keys[-1]]

    return change


def shared(depth: int) -> list[Any]:
    """A short file, 10^depth values."""
    return reduce(lambda inner, _: [inner] * 10, range(depth), [])  # type: ignore[arg-type, return-value]
