"""Who may ask: host, origin, key, size and depth of bodies, paths, headers."""

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from genai.core.errors import UserError
from genai.server.app import create_app
from genai.server.settings import ServeSettings

KEY = "a key of more than sixteen characters"
URL = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def locked(models: str) -> Iterator[TestClient]:
    """A server with a key, and with a page that may use it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENAI_API_KEY", KEY)
        app, _ = create_app(ServeSettings(models=models, device="cpu", origins=["https://page.example"]))
    with TestClient(app, base_url=URL) as client:
        yield client


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost@evil.example",
        "10.0.0.1",
        "",
        "[",
        "a b",
    ],
)
def test_a_foreign_host_is_refused(client: TestClient, host: str) -> None:
    response = client.get("/v1/models", headers={"host": host})
    assert response.status_code == 403 and response.json()["error"]["code"] == "wrong_host"


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"])
def test_the_names_of_this_machine_are_known(client: TestClient, host: str) -> None:
    assert client.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:8001", "http://127.0.0.1:8000.evil.example"]
)
def test_a_foreign_origin_is_refused(client: TestClient, origin: str) -> None:
    response = client.post("/v1/completions", json={"model": "text"}, headers={"origin": origin})
    assert response.status_code == 403 and response.json()["error"]["code"] == "wrong_origin"
    assert "access-control-allow-origin" not in response.headers


def test_a_page_of_the_server_itself_may_ask(client: TestClient) -> None:
    assert client.get("/v1/models", headers={"origin": URL}).status_code == 200


def test_other_pages_may_not_embed_answers(client: TestClient) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert client.get("/v1/models", headers=headers).status_code == 403
    assert client.get("/docs", headers={**headers, "sec-fetch-mode": "navigate"}).status_code == 200


def test_a_named_origin_may_ask(locked: TestClient) -> None:
    headers = {"origin": "https://page.example", "authorization": f"Bearer {KEY}"}
    response = locked.get("/v1/models", headers=headers)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "https://page.example"
    preflight = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, x-stainless-os",
    }
    response = locked.options("/v1/models", headers={"origin": "https://page.example", **preflight})
    assert response.status_code == 204 and "x-stainless-os" in response.headers["access-control-allow-headers"]
    assert locked.options("/v1/models", headers={"origin": "https://other.example", **preflight}).status_code == 403


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        f"Bearer {KEY}x",
        f"Basic {KEY}",
        KEY,
        "Basic %%%",
        f"Bearer {KEY[:-1]}",
        "Bearer \xff",
    ],
)
def test_a_request_without_the_key_is_refused(locked: TestClient, value: str | None) -> None:
    headers = {} if value is None else {"authorization": value.encode("latin-1")}
    for path in ("/v1/models", "/docs", "/openapi.json", "/api/jobs", "/nothing"):
        response = locked.get(path, headers=headers)
        assert response.status_code == 401 and response.json()["error"]["type"] == "authentication_error"
    assert locked.get("/healthz").status_code == 200


def test_the_key_opens_also_as_the_password_of_a_browser(locked: TestClient) -> None:
    password = base64.b64encode(f"me:{KEY}".encode()).decode()
    for value in (f"Bearer {KEY}", f"bearer {KEY}", f"Basic {password}"):
        assert locked.get("/v1/models", headers={"authorization": value}).status_code == 200


@pytest.mark.parametrize(
    ("values", "key", "words"),
    [
        ({"host": "0.0.0.0"}, None, "needs a key"),
        ({"host": "192.168.0.1"}, None, "needs a key"),
        ({"host": "::"}, None, "needs a key"),
        ({"host": "example.org"}, None, "needs a key"),
        ({"host": "0.0.0.0"}, KEY, "tls_cert="),
        ({"behind_proxy": True}, None, "needs a key"),
        ({}, "short", "16 or more"),
        ({"tls_cert": "missing.pem"}, None, "both or none"),
        ({"host": "0.0.0.0", "key_file": "missing"}, None, "cannot read missing"),
        ({"origins": ["*"]}, None, "whole origins"),
    ],
)
def test_an_open_door_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], key: str | None, words: str
) -> None:
    monkeypatch.delenv("GENAI_API_KEY", raising=False)
    if key:
        monkeypatch.setenv("GENAI_API_KEY", key)
    with pytest.raises(UserError, match=words):
        ServeSettings(**values).read_key()


def test_a_key_and_a_proxy_open_an_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delenv("GENAI_API_KEY", raising=False)
    (tmp_path / "key").write_text(KEY + "\n")
    settings = ServeSettings(host="0.0.0.0", behind_proxy=True, key_file=str(tmp_path / "key"))
    assert settings.read_key() == KEY
    assert ServeSettings(host="127.0.0.2").read_key() is None


@pytest.mark.parametrize(
    "path", ["/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc", "/a/../../b", "/%00", "/" + "a" * 9999]
)
@pytest.mark.parametrize("start", ["/v1/models", "/api/jobs", "/v1/videos", "/api/jobs/x/results"])
def test_an_id_is_never_a_path(client: TestClient, start: str, path: str) -> None:
    assert client.get(start + path).status_code in (400, 404)


@pytest.mark.parametrize("name", ["../text", "/etc/passwd", "runs/a", "", "text\0", "..", "a" * 10_000], ids=range(7))
def test_a_model_is_never_a_path(client: TestClient, name: str) -> None:
    response = client.post("/v1/completions", json={"model": name, "prompt": "a"})
    assert response.status_code == 404 and len(response.text) < 2_000
    assert client.get("/api/options", params={"model": name}).status_code == 404


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b'{"model":' * 100_000, b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
     b"[" + b"1," * 500_000 + b"1]",
     b"", b"nul", b"[1]", b"\xff\xfe", b'{"model": 1e999}', b'{"model": "text", "seed": ' + b"9" * 5000 + b"}"],
    ids=range(10),
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/v1/audio/speech", "/api/jobs"])
def test_hostile_json_is_refused(client: TestClient, path: str, content: bytes) -> None:
    assert client.post(path, content=content).status_code == 400


def test_a_string_may_hold_brackets(client: TestClient) -> None:
    request = {"model": "text", "prompt": '["\\' * 100, "max_tokens": 1}
    assert client.post("/v1/completions", json=request).status_code == 200


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=b"])
@pytest.mark.parametrize("path", ["/api/jobs", "/v1/images/edits"])
def test_chunked_gigabytes_end_at_the_limit(serving: Any, kind: str, path: str) -> None:
    app, chunk, count = serving[0].app, b"x" * 2**20, 0
    first = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    messages: list[Any] = []

    async def receive() -> dict[str, Any]:
        nonlocal count
        count += 1
        assert count < 100, "it reads on"
        return {"type": "http.request", "body": first if count == 1 else chunk, "more_body": True}

    async def send(message: Any) -> None:
        messages.append(message)

    headers = [(b"host", b"127.0.0.1:8000"), (b"content-type", kind.encode()), (b"transfer-encoding", b"chunked")]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
             "headers": headers, "scheme": "http", "http_version": "1.1", "server": ("127.0.0.1", 8000)}  # fmt: skip
    asyncio.run(app(scope, receive, send))
    assert messages[0]["status"] in (400, 413) and count < 40


def test_a_declared_size_is_refused_unread(client: TestClient) -> None:
    response = client.post("/api/jobs", content=b"{}", headers={"content-length": str(10**12)})
    assert response.status_code == 413 and response.json()["error"]["code"] == "too_large"


def test_a_form_of_many_parts_is_refused(client: TestClient) -> None:
    response = client.post("/v1/images/edits", data={f"f{i}": "1" for i in range(1000)}, files={"image": b"x"})
    assert response.status_code == 400


def test_answers_say_what_browsers_must_not_do(client: TestClient) -> None:
    for response in (
        client.get("/docs"),
        client.get("/v1/models"),
        client.get("/nothing"),
        client.get("/", headers={"host": "x"}),
    ):
        policy = response.headers["content-security-policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"


def test_there_are_no_websockets(client: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/v1/models"):
        pass
