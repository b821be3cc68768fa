"""A server that forks processes for code of strangers, and runs none of it itself.

``genai/sandbox/server.py`` starts this folder by its path, in an empty folder with an empty environment: nothing of
genai is imported. It imports the modules of Python that a program may need, once. Each child gets a socket of its own,
through which its sources come after its limits are set: the server never sees them, so no child can find them in
memory that it shares with the server.
"""

import gc
import importlib
import importlib.util
import io
import json
import os
import random
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from channel import Channel
from checks import run_checks
from program import serve_program
from resource_limits import limit_resource
from syscall_filter import make_filter

DESCRIPTOR = 100
"""The child's socket, its only descriptor."""
MODULES = (
    "abc", "array", "ast", "base64", "binascii", "bisect", "builtins", "calendar", "cmath", "collections",
    "collections.abc", "colorsys", "contextlib", "copy", "csv", "dataclasses", "datetime", "_strptime", "decimal",
    "difflib", "enum", "fnmatch", "fractions", "functools", "graphlib", "hashlib", "heapq", "hmac", "html", "io",
    "ipaddress", "itertools", "json", "keyword", "math", "ntpath", "numbers", "operator", "os", "posixpath", "pprint",
    "queue", "random", "re", "shlex", "statistics", "string", "stringprep", "struct", "sys", "textwrap", "time",
    "types", "typing", "unicodedata", "urllib.parse", "uuid", "weakref", "zlib", "encodings.ascii", "encodings.cp1252",
    "encodings.hex_codec", "encodings.latin_1", "encodings.rot_13", "encodings.unicode_escape", "encodings.utf_16",
    "encodings.utf_16_be", "encodings.utf_16_le", "encodings.utf_32", "encodings.utf_8_sig",
)  # fmt: skip
"""What a program can import."""
HIDDEN_MODULES = (
    "ctypes", "ctypes.util", "ctypes._endian", "_ctypes", "pyseccomp", "socket", "_socket", "subprocess",
    "_posixsubprocess", "select", "selectors", "shutil", "tempfile", "signal", "resource", "fcntl", "importlib.util",
    "channel", "checks", "program", "plain_values", "resource_limits", "syscall_filter",
)  # fmt: skip
"""What it cannot, although it is there."""


class NullText(io.TextIOBase):
    """A text stream that forgets what is written."""

    def write(self, text: str) -> int:
        """Forget ``text``."""
        return len(text)


def main() -> None:
    """Serve ``fork``, with a socket for the child, and ``kill``, which ends all children and tells how they ended."""
    options = json.loads(sys.argv[1])
    control = socket.socket(fileno=0)
    try:
        rules = _prepare(options)
        status = _probe(rules, options)
    except Exception as error:
        control.send(f"{type(error).__name__}: {error}"[:500].encode())
        return
    _send(control, "ready" if status == 0 else f"the filter has no effect (status {status})")
    children: list[int] = []
    while True:
        message, descriptors = _receive(control)
        if message == b"fork" and descriptors:
            children.append(_fork(descriptors[0], rules, options))
            os.close(descriptors[0])
            _send(control, str(children[-1]))
            continue
        for child in children:
            os.kill(child, signal.SIGKILL)
        codes = {child: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}
        if not message:
            with suppress(OSError):
                os.rmdir(os.getcwd())  # also if the process that made it was killed
            return
        children = []
        _send(control, json.dumps(codes))


def _send(control: socket.socket, text: str) -> None:
    """Answer, if the process that asked is still there; if not, the next ``_receive`` says so."""
    with suppress(OSError):
        control.send(text.encode())


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    """Return the next message and its descriptors; an empty one if the process that sends them has ended."""
    try:
        message, descriptors, _, _ = socket.recv_fds(control, 16, 1)
    except OSError:  # it was killed before it read an answer
        return b"", []
    return message, descriptors


def _prepare(options: dict[str, Any]) -> Any:
    """Import what programs may need, make the filter, and hide the rest."""
    for name in MODULES:
        importlib.import_module(name)
    spec = importlib.util.spec_from_file_location("pyseccomp", options["pyseccomp"])
    if spec is None or spec.loader is None:
        raise ImportError("pyseccomp is no file")
    seccomp = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(seccomp)
    rules = make_filter(seccomp, DESCRIPTOR)
    for name in HIDDEN_MODULES:
        sys.modules.pop(name, None)
    sys.path.clear()
    sys.path_importer_cache.clear()
    os.environ.clear()
    sys.argv[:] = [""]
    sys.stdin = sys.__stdin__ = io.StringIO()  # type: ignore[assignment, misc]
    sys.stdout = sys.__stdout__ = sys.stderr = sys.__stderr__ = NullText()  # type: ignore[assignment, misc]
    gc.collect()
    gc.freeze()  # children share its memory, and do not search it
    return rules


def _probe(rules: Any, options: dict[str, Any]) -> int:
    """Return the exit code of a child that ends as soon as its limits are set and tried."""
    ends = socket.socketpair()
    child = _fork(ends[0].fileno(), rules, options)
    for end in ends:
        end.close()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _fork(descriptor: int, rules: Any, options: dict[str, Any]) -> int:
    """Start a child and return its process id."""
    child = os.fork()
    if child == 0:
        try:
            _run_child(descriptor, rules, options)
        finally:
            os._exit(1)
    return child


def _run_child(descriptor: int, rules: Any, options: dict[str, Any]) -> None:
    """Set the limits, then read what to run, and run it."""
    os.dup2(descriptor, DESCRIPTOR)
    os.closerange(0, DESCRIPTOR)
    os.closerange(DESCRIPTOR + 1, 2**20)
    limit_resource("CPU", options["cpu_seconds"], margin=1)
    limit_resource("AS", options["memory"])
    for name in ("CORE", "FSIZE", "NOFILE", "NPROC", "MEMLOCK", "MSGQUEUE"):
        limit_resource(name, 0)
    rules.load()
    try:
        os.open("/", os.O_RDONLY)
    except PermissionError:
        random.seed(0)
        channel = Channel(DESCRIPTOR)
        job = channel.receive()
        run = serve_program if job.pop("role") == "program" else run_checks
        run(channel, **job)
        os._exit(0)
    os._exit(2)  # the filter has no effect


if __name__ == "__main__":
    main()
