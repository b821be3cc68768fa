"""A server of the tiny models, and a client in the same process."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
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
