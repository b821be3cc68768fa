"""A server of sandboxed processes: started once, it forks a process for each program and each test of it.

Only Linux has what it needs: seccomp, by the library pyseccomp. Where it cannot be had, nothing is run.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from genai.core.errors import RunError, UserError, short_text

FOLDER = Path(__file__).with_name("child")
START_SECONDS, CONTROL_SECONDS = 60.0, 30.0
"""Longest time until the server has started, and until it answers."""
MAX_BYTES = 4 * 2**20
"""Longest frame of a child."""


@dataclass(frozen=True)
class Limits:
    """Limits of one program with its tests.

    Attributes:
        cpu_seconds: of each of the two processes.
        seconds: of both, by the clock.
        memory: address space of each, in bytes.
    """

    cpu_seconds: int = 2
    seconds: float = 10.0
    memory: int = 256 * 2**20


class ChildEnded(Exception):
    """A child that ended, or does not answer as it should; ``reason`` is ``time``, ``killed`` or ``size``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SandboxServer:
    """The server; a context manager.

    Raises:
        UserError: this machine has no sandbox.
        RunError: the server cannot be started.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        library = _find_library()
        self.folder = TemporaryDirectory(prefix="genai-sandbox-")
        self.control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        options = {"pyseccomp": library, "cpu_seconds": self.limits.cpu_seconds, "memory": self.limits.memory}
        command = [sys.executable, "-P", "-s", "-S", str(FOLDER), json.dumps(options)]
        environment = {"PYTHONHASHSEED": "0"}  # sets have one order, so results can be repeated
        if "LD_LIBRARY_PATH" in os.environ:  # where some installations have the library of Python
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        try:
            self.process = subprocess.Popen(
                command, stdin=other.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
                cwd=self.folder.name, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self.control.close()
            self.folder.cleanup()
            raise RunError(f"cannot start {sys.executable}: {error.strerror}.") from error
        finally:
            other.close()
        try:
            answer = self._receive(START_SECONDS)
            if answer != b"ready":
                reason = short_text(answer.decode(errors="replace"))
                raise UserError(f"{NOTHING_IS_RUN}: {reason or 'the process ended'}. {NEEDS}")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the server and its children."""
        self.control.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5)  # it ends its children first
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.folder.cleanup()

    def start_child(self, job: dict[str, Any], end_time: float) -> "Child":
        """Start a process and give it its job. Raises ``RunError``, ``ChildEnded``."""
        end, other = socket.socketpair()
        with other:
            try:
                socket.send_fds(self.control, [b"fork"], [other.fileno()])
                answer = self._receive(CONTROL_SECONDS)
            except OSError:
                answer = b""
        if not answer.isdigit():
            end.close()
            raise RunError("the sandbox has ended.")
        child = Child(end, int(answer), end_time)
        child.send(b"J", json.dumps(job).encode())
        return child

    def end_children(self) -> dict[int, int]:
        """Kill all children and return their exit codes by process id; negative: the signal that ended it.

        Raises:
            RunError: the server has ended.
        """
        try:
            self.control.send(b"kill")
            answer = json.loads(self._receive(CONTROL_SECONDS))
        except (OSError, ValueError) as error:
            raise RunError("the sandbox has ended.") from error
        return {int(child): status for child, status in answer.items()}

    def _receive(self, seconds: float) -> bytes:
        self.control.settimeout(seconds)
        try:
            return self.control.recv(2**16)
        except TimeoutError as error:
            raise RunError(f"the sandbox does not answer for {seconds:g} seconds.") from error
        except ConnectionError:
            return b""


class Child:
    """A process of the server, by its socket.

    Args:
        connection: the socket.
        process_id: in ``SandboxServer.end_children``.
        end_time: until which it may answer, of ``time.monotonic``.
    """

    def __init__(self, connection: socket.socket, process_id: int, end_time: float) -> None:
        self.connection, self.process_id, self.end_time = connection, process_id, end_time

    def send(self, kind: bytes, content: bytes) -> None:
        """Send a frame. Raises ``ChildEnded``."""
        self._set_timeout()
        try:
            self.connection.sendall(kind + len(content).to_bytes(4, "big") + content)
        except OSError as error:
            raise ChildEnded("time" if isinstance(error, TimeoutError) else "killed") from error

    def receive(self) -> tuple[bytes, bytes]:
        """Return kind and content of the next frame. Raises ``ChildEnded``."""
        header = self._read(5)
        length = int.from_bytes(header[1:], "big")
        if length > MAX_BYTES:
            raise ChildEnded("size")
        return header[:1], self._read(length)

    def _read(self, count: int) -> bytes:
        parts = []
        while count:
            self._set_timeout()
            try:
                part = self.connection.recv(min(count, 2**16))
            except OSError as error:
                raise ChildEnded("time" if isinstance(error, TimeoutError) else "killed") from error
            if not part:
                raise ChildEnded("killed")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _set_timeout(self) -> None:
        self.connection.settimeout(max(0.001, self.end_time - time.monotonic()))


def check_sandbox() -> None:
    """Start a server and end it. Raises ``UserError`` if this machine has no sandbox."""
    SandboxServer().close()


def _find_library() -> str:
    """Return the file of pyseccomp. Raises ``UserError``."""
    if sys.platform != "linux":
        raise UserError(f"{NOTHING_IS_RUN}: it needs Linux, and this is {sys.platform}.")
    spec = find_spec("pyseccomp")
    if spec is None or spec.origin is None:
        raise UserError(f"{NOTHING_IS_RUN}: {NEEDS}")
    return spec.origin


NOTHING_IS_RUN = "This machine has no sandbox, so no code of the model is run"
NEEDS = "The sandbox needs pip install 'genai[sandbox]' and the system's libseccomp.so.2."
