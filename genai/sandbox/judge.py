"""Whether a program passes the tests of its problem: both run in sandboxed processes that share nothing."""

import json
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue

from genai.core.errors import short_text
from genai.sandbox.server import Child, ChildEnded, Limits, SandboxServer

KINDS = ("passed", "wrong", "raised", "syntax", "time", "killed", "broken")
"""Passed; a wrong answer; an error in the program; no Python; out of time; ended by the system or by itself; tests that
cannot be run."""

MAX_RESULT_BYTES = 8192
"""Longest frame that this process parses; it only passes the others on."""


@dataclass(frozen=True)
class Job:
    """A program and its tests.

    Attributes:
        program: its source.
        entry_point: its function that is tested.
        setup: source with what the tests may use besides; never shown to the program.
        test: source that defines ``check(candidate)``.
    """

    program: str
    entry_point: str
    setup: str
    test: str


@dataclass(frozen=True)
class ProgramResult:
    """How a program did: one of ``KINDS``, and the error if there is one."""

    kind: str
    detail: str = ""


def judge(server: SandboxServer, job: Job) -> ProgramResult:
    """Run a program and its tests. Raises ``RunError`` if the server has ended."""
    children: list[Child] = []
    try:
        result = _run(server, job, children)
        server.end_children()
    except ChildEnded as error:
        codes = server.end_children()
        signals = {-codes.get(child.process_id, 0) for child in children}
        is_slow = error.reason == "time" or signal.SIGXCPU in signals
        result = ProgramResult("time" if is_slow else "killed", error.reason)
    finally:
        for child in children:
            child.connection.close()
    return result


def judge_all(jobs: Sequence[Job], num_servers: int, limits: Limits | None = None) -> Iterator[ProgramResult]:
    """Yield the results in the order of ``jobs``, with ``num_servers`` programs at once.

    Raises:
        UserError: this machine has no sandbox.
        RunError: a server has ended.
    """
    with ExitStack() as stack:
        free: SimpleQueue[SandboxServer] = SimpleQueue()
        for _ in range(max(1, min(num_servers, len(jobs)))):
            free.put(stack.enter_context(SandboxServer(limits)))
        pool = ThreadPoolExecutor(num_servers)
        stack.callback(pool.shutdown, cancel_futures=True)

        def run(job: Job) -> ProgramResult:
            server = free.get()
            try:
                return judge(server, job)
            finally:
                free.put(server)

        yield from pool.map(run, jobs)


def _run(server: SandboxServer, job: Job, children: list[Child]) -> ProgramResult:
    """Start the program, then the tests, and pass calls on. The tests alone say that they passed."""
    end_time = time.monotonic() + server.limits.seconds
    program = {"role": "program", "source": job.program, "entry_point": job.entry_point}
    children.append(server.start_child(program, end_time))
    kind, content = children[0].receive()
    if (start := _parse_result(content, ("syntax", "raised", "ready"))).kind != "ready":
        return start
    checks = {"role": "checks", "setup": job.setup, "test": job.test, "entry_point": job.entry_point}
    children.append(server.start_child(checks, end_time))
    while True:
        kind, content = children[1].receive()
        if kind == b"V":
            return _parse_result(content, ("passed", "wrong", "raised", "broken"))
        children[0].send(b"C", content)
        children[1].send(b"A", children[0].receive()[1])


def _parse_result(content: bytes, allowed: Sequence[str]) -> ProgramResult:
    """Return what a child says about itself. Raises ``ChildEnded`` if it is none of ``allowed``."""
    if len(content) > MAX_RESULT_BYTES:
        raise ChildEnded("size")
    try:
        answer = json.loads(content)
        kind, detail = answer["kind"], answer.get("detail", "")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ChildEnded("killed") from error
    if kind not in allowed:
        raise ChildEnded("killed")
    return ProgramResult(kind, short_text(detail))
