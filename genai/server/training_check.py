"""``genai check`` in a process of its own, with limits of time and output."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from genai.server.training_process import child_environment

CHECK_SECONDS = 120.0
"""Longest time of a check."""
MAX_OUTPUT, MAX_LINES, LINE_LENGTH = 256 * 2**10, 200, 500


def check_lines(
    words: Sequence[str],
    folder: Path,
    seconds: float = CHECK_SECONDS,
    start: Callable[[Callable[[], "subprocess.Popen[bytes]"]], "subprocess.Popen[bytes]"] = lambda popen: popen(),
) -> list[str]:
    """Return what ``genai check`` prints.

    Args:
        words: of the command line.
        folder: an empty folder for what it writes.
        seconds: longest time; a line says that it was too short.
        start: calls the function that it gets, which starts the process, and returns that, to end it from elsewhere.
    """
    output = folder / "output"
    with output.open("wb") as file:
        process = start(
            lambda: subprocess.Popen(
                [sys.executable, "-m", "genai", "check", *words, f"out={folder / 'items'}"],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=child_environment(),
                start_new_session=True,
            )
        )
        note = []
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            note = [f"the check took longer than {seconds:g} s and was ended"]
        finally:
            end_process(process)
    with output.open("rb") as written:
        lines = written.read(MAX_OUTPUT).decode("utf-8", "replace").splitlines()
    own = (str(folder), "written ")
    return [line[:LINE_LENGTH] for line in lines[:MAX_LINES] if not any(text in line for text in own)] + note


def end_process(process: "subprocess.Popen[bytes]") -> None:
    """End a process and those that it has started."""
    if process.poll() is None:
        with suppress(OSError):
            if sys.platform == "win32":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
