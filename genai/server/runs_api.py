"""``/api/runs``: runs while they go on and afterwards, with their numbers and previews; this machine's state."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from genai.core.environment import check_machine, report_lines
from genai.core.errors import UserError
from genai.core.terminal import one_line
from genai.server.events import COMMENT, QUIET_SECONDS, EventStream, event, watch_connection
from genai.server.json_body import JSONAnswer
from genai.server.media_files import file_answer
from genai.server.run_index import RunIndex, RunState
from genai.server.service import Service

LOOK_SECONDS = 1.0
"""Time between two looks at the files of a run that somebody follows."""
CHECK_SECONDS = 60.0
"""Time after which this machine is looked at again."""


def runs_router(service: Service) -> APIRouter:
    """Return the endpoints of runs."""
    router, index = APIRouter(prefix="/api/runs", tags=["runs"]), service.runs

    @router.get("", summary="List the runs in the folder runs=, the newest first, also those that go on.")
    async def list_runs() -> Response:
        return JSONAnswer(await run_in_threadpool(index.list))

    @router.get("/{run}", summary="Describe a run: what is told of it, its words, and the names of its numbers.")
    async def retrieve_run(run: str) -> Response:
        return JSONAnswer(await run_in_threadpool(index.details, run))

    @router.get("/{run}/metrics", summary="Get the numbers of a run after a step, at most 1,000 of each.")
    async def run_metrics(run: str, after: Annotated[int, Query(ge=-1, le=2**62)] = -1) -> Response:
        return JSONAnswer(await run_in_threadpool(index.metrics, run, after))

    @router.get("/{run}/previews", summary="List the previews of a run.")
    async def list_previews(run: str) -> Response:
        return JSONAnswer(await run_in_threadpool(index.previews, run))

    @router.get("/{run}/previews/{step}/{name}", summary="Get a preview.")
    async def preview_file(run: str, step: int, name: str) -> Response:
        return await run_in_threadpool(lambda: file_answer(*index.preview_file(run, step, name)))

    @router.get("/{run}/events", summary="Follow a run: its step, state and number of previews, as server-sent events.")
    async def stream_changes(request: Request, run: str) -> Response:
        await run_in_threadpool(index.find, run)
        return EventStream(_changes(request, service, run))

    return router


def machine_router(service: Service) -> APIRouter:
    """Return the endpoints that compare runs, and look at this machine."""
    router, machine = APIRouter(prefix="/api", tags=["runs"]), _Machine()

    @router.get("/compare", summary="Say what differs between two runs.")
    async def compare_runs(a: str, b: str) -> Response:
        return JSONAnswer(await run_in_threadpool(service.runs.compare, a, b))

    @router.get("/doctor", summary="Say what this machine has, and what to do about what is wrong.")
    async def doctor() -> Response:
        return JSONAnswer({"lines": await machine.lines()})

    return router


class _Machine:
    """What is known of this machine, for a while."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._time = -CHECK_SECONDS
        self._lock = asyncio.Lock()

    async def lines(self) -> list[str]:
        """Return what ``genai doctor`` prints."""
        async with self._lock:
            if time.monotonic() - self._time > CHECK_SECONDS:
                self._lines = await run_in_threadpool(machine_lines)
                self._time = time.monotonic()
            return self._lines


def machine_lines() -> list[str]:
    """Return the lines of ``genai doctor``, without the working and home folder."""
    checks = list(check_machine())
    lines = [f"{check.label:<10}{check.text}" for check in checks] + report_lines(checks)
    for folder, name in ((Path.cwd(), "."), (Path(os.path.expanduser("~")), "~")):
        if folder != Path(folder.anchor):
            lines = [line.replace(str(folder), name) for line in lines]
    return [one_line(line) for line in lines]


def _look(index: RunIndex, run: str) -> RunState | None:
    """Return how far a run is; ``None``: it is gone, or cannot be read."""
    try:
        return index.state(index.find(run))
    except (UserError, OSError):
        return None


async def _changes(request: Request, service: Service, run: str) -> AsyncIterator[bytes]:
    """Yield an event whenever a run has changed, until it is over, the client hangs up, or the server ends."""
    last: RunState | None = None
    last_time = time.monotonic()
    disconnect: asyncio.Task[Any] = asyncio.create_task(watch_connection(request))
    try:
        while not disconnect.done() and not service.is_draining:
            state = await run_in_threadpool(_look, service.runs, run)
            if state is None:
                return
            if state != last:
                last, last_time = state, time.monotonic()
                yield event({"step": state.step, "state": state.state, "previews": state.num_previews}, "change")
            elif time.monotonic() - last_time > QUIET_SECONDS:
                last_time = time.monotonic()
                yield COMMENT
            if state.state != "running":
                return
            await asyncio.wait({disconnect}, timeout=LOOK_SECONDS)
    finally:
        disconnect.cancel()
