"""Run the application with uvicorn; SIGTERM lets requests finish."""

import asyncio
import socket
import sys
import time
from types import FrameType

import uvicorn

from genai.core.errors import RunError
from genai.server.app import create_app
from genai.server.service import Service
from genai.server.settings import ServeSettings
from genai.server.studio_page import has_page

MAX_CONNECTIONS = 800
END_SECONDS = 2.0
"""Time that answers get to end after the second signal, whose jobs are canceled."""


class DrainingServer(uvicorn.Server):
    """A server that, at the first signal, takes no new requests and ends when the others are done.

    Args:
        config: of uvicorn.
        service: that has the jobs.
        drain_seconds: longest time that they get.
    """

    def __init__(self, config: uvicorn.Config, service: Service, drain_seconds: float) -> None:
        super().__init__(config)
        self.service, self.drain_seconds = service, drain_seconds
        self.deadline: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; at the second signal, end."""
        if self.deadline is not None:
            self.should_exit = self.force_exit = True
            return
        self.service.drain()
        self.deadline = time.monotonic() + self.drain_seconds
        print("finishing the requests that run; once more Ctrl-C ends at once", file=sys.stderr, flush=True)

    async def on_tick(self, counter: int) -> bool:
        """End when all jobs are over, or the time is."""
        if self.deadline is not None and (not self.service.is_working or time.monotonic() > self.deadline):
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what is open. Uvicorn leaves the application as it is after the second signal; here it ends too."""
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()
            if self.server_state.tasks:
                await asyncio.wait(self.server_state.tasks, timeout=END_SECONDS)


def run_server(settings: ServeSettings) -> None:
    """Serve until a signal. Raises ``UserError`` for settings that do not fit, ``RunError`` if the port is taken."""
    app, service = create_app(settings)
    num_models = len(service.models.entries())
    server_socket = _bind(settings.host, settings.port)
    port = server_socket.getsockname()[1]
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, proxy_headers=False, server_header=False, ws="none",
        limit_concurrency=MAX_CONNECTIONS, timeout_keep_alive=30, timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=64 * 2**10, ssl_certfile=settings.tls_cert, ssl_keyfile=settings.tls_key,
    )  # fmt: skip
    scheme = "https" if settings.tls_cert else "http"
    name = f"[{settings.host}]" if ":" in settings.host else settings.host
    where = f"{settings.runs}/" if settings.models is None else "models="
    print(f"{num_models} model{'s' * (num_models != 1)} of {where}", file=sys.stderr)
    if not num_models:
        print("train one: python -m genai.train; it is found when it is finished", file=sys.stderr)
    print(f"{scheme}://{name}:{port}/{'' if has_page() else 'docs'}", flush=True)
    DrainingServer(config, service, settings.drain_seconds).run(sockets=[server_socket])


def _bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address. Raises ``RunError``."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        server_socket = socket.socket(family, socket.SOCK_STREAM)
        server_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server_socket.bind(address)
    except OSError as error:
        raise RunError(f"cannot listen at {host}:{port}: {error.strerror}. Another port: port=8001.") from error
    return server_socket
