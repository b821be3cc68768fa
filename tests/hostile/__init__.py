"""Files of strangers, made from one small run and opened in this process.

Each has to end in one or two lines that name the fault, within 5 CPU seconds and 512 MB, and change no file.
"""

import re
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch

from genai.core.errors import RunError, UserError

MAX_SECONDS, MAX_MEGABYTES, MAX_CHARACTERS = 5.0, 512.0, 1200
State = dict[str, Any]
Change = Callable[[State], object]


def assert_refused(task: Callable[[], object], message: str, folder: Path) -> None:
    """Run ``task``, which has to raise a ``UserError`` or ``RunError`` that matches ``message``.

    Args:
        folder: nothing in it may change, but for the file that locks a run.
    """
    files, start = snapshot(folder), time.process_time()
    before = reset_peak_memory()
    with pytest.raises((UserError, RunError)) as caught:
        task()
    seconds, megabytes = time.process_time() - start, peak_memory() - before
    text = str(caught.value)
    assert re.search(message, text), text
    assert 1 <= len(text.splitlines()) <= 2 and len(text) < MAX_CHARACTERS
    assert text.replace("\n", "").isprintable()
    assert seconds < MAX_SECONDS
    assert megabytes < MAX_MEGABYTES
    assert snapshot(folder) == files


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return kind, size and time of change of everything in a folder."""
    paths = [path for path in folder.rglob("*") if path.name != ".lock"]
    return {
        str(path): (s.st_mode, s.st_size, s.st_mtime_ns) for path in paths if path.is_file() and (s := path.lstat())
    }


def reset_peak_memory() -> float:
    """Start to measure the peak anew, where the system can, and return the memory in use in MB."""
    with suppress(OSError):  # macOS, or a container that forbids it: peaks of before hide smaller ones
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory() -> float:
    """Return the peak in MB."""
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


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
