"""An attempt with something hostile: limits of time and memory around a task, and what a person would see of it."""

import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from genai.cli.exit_codes import exit_on_error
from genai.core.terminal import terminal_text

MAX_CPU_SECONDS = 20.0
MAX_BYTES = 512 * 2**20
HANG_SECONDS = 60
"""After this time on the clock a task waits for something that never comes."""


@dataclass(frozen=True)
class Answer:
    """Exit code of a task, and its lines on standard error."""

    code: int
    lines: list[str]


@contextmanager
def limited() -> Iterator[None]:
    """Limits of an attempt: a task that hangs, fills the memory or computes too long fails."""

    def stop(*_: Any) -> None:
        raise AssertionError(f"it hangs for {HANG_SECONDS} s")

    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else None
    before = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, stop)
    signal.alarm(HANG_SECONDS)
    start = time.process_time()
    try:
        if pages is not None:
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MAX_BYTES, before[1]))
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert time.process_time() - start < MAX_CPU_SECONDS


def attempt(task: Callable[[], Any], capfd: pytest.CaptureFixture[str]) -> Answer:
    """Run a task as commands run theirs. Fails for a traceback, control characters, or more than two lines of error."""
    capfd.readouterr()
    code: Any = 0
    with limited():
        try:
            exit_on_error(task)
        except SystemExit as ended:
            code = ended.code
    out, err = capfd.readouterr()
    assert terminal_text(out + err) == out + err
    lines = err.splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    assert "Traceback" not in err and len(err) < 4000
    assert bool(errors) == bool(code) and (not errors or len(lines) - errors[0] <= 2), err
    return Answer(int(code or 0), lines)


# --------------------------------------------------------------------------------------------- what is no plain file


def pipe(path: Path) -> None:
    """A pipe that nobody writes to."""
    os.mkfifo(path)


def device(path: Path) -> None:
    """A link to a file that never ends."""
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    """A file of 8 GiB that takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(8 * 2**30)


def folder(path: Path) -> None:
    """A folder."""
    path.mkdir()


def listener(path: Path) -> None:
    """A socket."""
    place = os.open(path.parent, os.O_RDONLY)
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"/proc/self/fd/{place}/{path.name}")
    server.close()
    os.close(place)


def loop(path: Path) -> None:
    """A link to itself."""
    path.symlink_to(path.name)


def dangling(path: Path) -> None:
    """A link to nothing."""
    path.symlink_to("nothing-here")


def noise(path: Path) -> None:
    """Bytes that are no text."""
    path.write_bytes(bytes(range(128, 256)) * 8)


NO_FILES = (pipe, device, sparse, folder, listener, loop, dangling, noise)
"""Ways to put something else in the place of a small file."""


def replace(path: Path, make: Callable[[Path], None]) -> Path:
    """Put what ``make`` makes in the place of ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    make(path)
    return path
