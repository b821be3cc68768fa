"""A server of the tiny models, and a client in the same process."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from genai.server.app import create_app
from genai.server.service import Service
from genai.server.settings import ServeSettings

KINDS = ("text", "image", "audio", "video")
URL = "http://127.0.0.1:8000"


@pytest.fixture(scope="session")
def models(trained: Callable[[str], Path]) -> str:
    """The value of ``models=``: each kind by its name."""
    return "{" + ", ".join(f"{kind}: '{trained(kind)}'" for kind in KINDS) + "}"


@pytest.fixture(scope="session")
def serving(models: str) -> Iterator[tuple[TestClient, Service]]:
    """A client and the service behind it."""
    app, service = create_app(ServeSettings(models=models, device="cpu"))
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as client:
        yield client, service


@pytest.fixture
def client(serving: tuple[TestClient, Service]) -> TestClient:
    return serving[0]


@pytest.fixture
def service(serving: tuple[TestClient, Service]) -> Service:
    return serving[1]


@pytest.fixture(scope="session")
def loaded(trained: Callable[[str], Path]) -> Callable[[str], Any]:
    """``loaded("text")``: the model from Python, with which answers are compared."""
    import genai

    models: dict[str, Any] = {}

    def load(kind: str) -> Any:
        if kind not in models:
            models[kind] = genai.load(trained(kind), device="cpu")
        return models[kind]

    return load


@contextmanager
def running_server(settings: ServeSettings) -> Iterator[tuple[str, Service]]:
    """A real server in a thread: its address, and the service behind it."""
    app, service = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", service
    server.should_exit = True
    thread.join(10)
