"""Trainings that begin on the page: a child process of the server, its output, and its end."""

import os
import secrets
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from genai.core.limits import num_cores
from genai.core.terminal import one_line
from genai.runs.run import Run
from genai.server.models import run_id
from genai.server.settings import KEY_VARIABLE

NUM_LINES, LINE_LENGTH = 20, 500
"""Lines of output that are kept, and characters of each."""
STOP_SECONDS, KILL_SECONDS = 30.0, 10.0
"""Time after which a training that should stop gets a second signal, and then is killed."""
RUN_LABEL = "run       "
"""Beginning of the line in which a training names its folder."""
State = Literal["starting", "running", "stopping", "finished", "failed", "stopped"]


def child_environment() -> dict[str, str]:
    """Return the environment of a child process: without the key of the server, with half of the cores."""
    values = {name: text for name, text in os.environ.items() if name != KEY_VARIABLE}
    values.setdefault("OMP_NUM_THREADS", str(max(1, num_cores() // 2)))
    return {**values, "PYTHONUNBUFFERED": "1"}


class TrainingProcess:
    """A training in a process of its own.

    Args:
        words: of the command line.
        runs: the folder in which it makes its run.
        seconds, steps: length of the run, as far as it is known.
        hidden: folders that are not told, with the names to show for them.
        on_end: called in a thread when the process has ended.

    Attributes:
        id: unguessable name.
        run: its id, once it is known.
    """

    def __init__(
        self,
        words: Sequence[str],
        runs: Path,
        seconds: float | None,
        steps: int | None,
        hidden: dict[str, str],
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.id, self.words, self.runs = secrets.token_hex(12), [*words], runs
        self.seconds, self.steps, self.hidden = seconds, steps, hidden
        self.on_end = on_end
        self.run: str | None = None
        self.created = time.time()
        self._start_time = 0.0
        self._lines: deque[str] = deque(maxlen=NUM_LINES)
        self._is_stopped = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "genai.train", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=child_environment(),
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name="genai-training", daemon=True)
        self._reader.start()

    @property
    def is_over(self) -> bool:
        """Whether the process has ended and its output is read."""
        return self._process.poll() is not None and not self._reader.is_alive()

    @property
    def state(self) -> State:
        """Where it is."""
        if not self.is_over:
            return "stopping" if self._is_stopped else "running" if self.run else "starting"
        if self._process.returncode == 0:
            return "finished"
        return "stopped" if self._is_stopped or self._process.returncode > 128 else "failed"

    def describe(self, step: int | None) -> dict[str, Any]:
        """Return it as plain data; ``step`` is that of its run, ``None`` as long as nothing is known of that."""
        return {
            "id": self.id,
            "run": None if step is None else self.run,
            "state": self.state,
            "created": int(self.created),
            "step": step or 0,
            "lines": [*self._lines],
            "progress": round(self._progress(step or 0), 4),
        }

    def _progress(self, step: int) -> float:
        if self.state == "finished":
            return 1.0
        if self.steps:
            return min(1.0, step / self.steps)
        elapsed = time.monotonic() - self._start_time if self._start_time and not self.is_over else 0.0
        return min(0.99, elapsed / self.seconds) if self.seconds else 0.0

    def stop(self) -> None:
        """Let the training save and end; one that does not is ended by harder signals after a while."""
        if self._is_stopped or self.is_over:
            return
        self._is_stopped = True
        self._signal(signal.SIGINT)
        threading.Thread(target=self._wait, args=(STOP_SECONDS,), name="genai-training-end", daemon=True).start()

    def close(self, seconds: float) -> None:
        """Stop the training and wait for its end, ``seconds`` before a second signal."""
        self.stop()
        self._wait(seconds)

    def _wait(self, seconds: float) -> None:
        for limit, number in ((seconds, signal.SIGTERM), (KILL_SECONDS, getattr(signal, "SIGKILL", signal.SIGTERM))):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(limit)
                return
            self._signal(number)

    def _signal(self, number: int) -> None:
        """Send a signal to the process and those that it has started."""
        with suppress(OSError):  # it has ended
            if sys.platform == "win32":
                self._process.terminate()
            elif self._process.poll() is None:
                os.killpg(self._process.pid, number)

    def _read(self) -> None:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(8 * LINE_LENGTH):
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if self.run is None and text.startswith(RUN_LABEL):
                self._find_run(text.removeprefix(RUN_LABEL))
            for folder, name in self.hidden.items():
                text = text.replace(folder, name)
            if text.strip():
                self._lines.append(one_line(text.rpartition("\r")[2])[:LINE_LENGTH])
        self._process.wait()
        self.on_end()

    def _find_run(self, text: str) -> None:
        with suppress(ValueError):  # no folder below that of the runs
            folder = Path(*shlex.split(text)[:1]).absolute()
            self.run = run_id(Run(folder), self.runs)
            self._start_time = time.monotonic()
