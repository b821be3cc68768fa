"""Server-sent events, and waiting for jobs: a client that hangs up is noticed at once."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse

from genai.media.data_url import MIME_TYPES
from genai.server.jobs import SamplingJob
from genai.server.json_body import encode_json
from genai.server.openai_errors import APIError
from genai.server.worker import Worker

QUIET_SECONDS = 15.0
"""Time after which a comment is sent, so that proxies keep a quiet connection open."""
COMMENT, DONE = b": still here\n\n", b"data: [DONE]\n\n"


class ClientDisconnect(APIError):
    """The client has hung up; nobody reads the answer."""

    def __init__(self) -> None:
        super().__init__(499, "the client has hung up.")


class EventStream(StreamingResponse):
    """An answer of server-sent events."""

    def __init__(self, events: AsyncIterator[bytes], headers: dict[str, str] | None = None) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", **(headers or {})}
        super().__init__(events, headers=headers, media_type="text/event-stream")


def event(data: Any, name: str | None = None) -> bytes:
    """Return an event with plain data."""
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + encode_json(data) + b"\n\n"


def media_json(media: Any) -> str:
    """Return a medium for JSON: a text as it is, others as a data URL."""
    if isinstance(media, str):
        return media
    kind = MIME_TYPES.get(media.suffix, "application/octet-stream")
    return f"data:{kind};base64,{base64.b64encode(media.to_bytes()).decode()}"


async def job_changes(request: Request, job: SamplingJob) -> AsyncIterator[bool]:
    """Yield whenever a job has changed, at first and at its end; ``False``: nothing has happened for a while.

    Raises:
        ClientDisconnect: the client has hung up.
    """
    disconnect = asyncio.create_task(watch_connection(request))
    try:
        with job.watch() as changed:
            while True:
                change = asyncio.create_task(changed.wait())
                try:
                    await asyncio.wait({disconnect, change}, timeout=QUIET_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    change.cancel()
                if disconnect.done():
                    raise ClientDisconnect
                has_changed = changed.is_set()
                changed.clear()
                is_over = job.is_over
                yield has_changed
                if is_over:
                    return
    finally:
        disconnect.cancel()
        with suppress(BaseException):
            await disconnect


async def wait_until_over(request: Request, job: SamplingJob, worker: Worker) -> SamplingJob:
    """Wait for the end of a job; a client that hangs up cancels it. Raises ``APIError`` if it fails."""
    try:
        async for _ in job_changes(request, job):
            pass
    finally:
        if not job.is_over:
            worker.cancel(job)
    return check_result(job)


async def wait_until_started(request: Request, job: SamplingJob, worker: Worker) -> SamplingJob:
    """Wait for the first step of a job, so that an error can still be the answer. Raises as ``wait_until_over``."""
    try:
        async for _ in job_changes(request, job):
            if job.progress or job.is_over:
                return job if job.state != "failed" else check_result(job)
    except BaseException:
        worker.cancel(job)
        raise
    return job


def check_result(job: SamplingJob) -> SamplingJob:
    """Return a job that is done. Raises ``APIError``."""
    if job.error:
        raise job.error
    if job.state == "canceled":
        raise APIError(409, "the job was canceled.", "job_canceled")
    return job


async def watch_connection(request: Request) -> None:
    """Wait until the client hangs up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
