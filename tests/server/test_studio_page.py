"""The page: only files of its folder, their types, copies of browsers, and what it may load."""

from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from genai.server.app import create_app
from genai.server.settings import ServeSettings
from genai.server.studio_page import FOLDER, has_page, read_page_files, studio_router


@pytest.fixture
def page_client(tmp_path: Path) -> TestClient:
    folder = tmp_path / "studio"
    folder.mkdir()
    for name in ("index.html", "main.js", "style.css", "icon.svg", "notes.txt", "code.py"):
        (folder / name).write_text(f"content of {name}")
    (folder / "more.js").mkdir()
    (tmp_path / "secret.js").write_text("secret")
    app = FastAPI()
    app.include_router(studio_router(folder))
    return TestClient(app, raise_server_exceptions=False)


def test_files_have_their_types(page_client: TestClient) -> None:
    assert page_client.get("/").text == "content of index.html"
    for name, kind in (("main.js", "text/javascript"), ("style.css", "text/css"), ("icon.svg", "image/svg+xml")):
        response = page_client.get(f"/studio/{name}")
        assert response.text == f"content of {name}" and response.headers["content-type"].startswith(kind)
        assert response.headers["cache-control"] == "no-cache"


def test_a_browser_keeps_what_has_not_changed(page_client: TestClient) -> None:
    tag = page_client.get("/studio/main.js").headers["etag"]
    response = page_client.get("/studio/main.js", headers={"if-none-match": f'"other", W/{tag}'})
    assert response.status_code == 304 and not response.content
    assert page_client.get("/studio/main.js", headers={"if-none-match": '"other"'}).status_code == 200


def test_files_are_sent_compressed_and_the_scripts_are_small(page_client: TestClient) -> None:
    response = page_client.get("/studio/main.js", headers={"accept-encoding": "gzip"})
    assert response.headers["content-encoding"] == "gzip" and response.text == "content of main.js"
    plain = page_client.get("/studio/main.js", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers and plain.text == "content of main.js"
    scripts = [file for name, file in read_page_files(FOLDER).items() if name.endswith(".js")]
    assert len(scripts) > 10 and sum(len(file.compressed) for file in scripts) < 80_000


@pytest.mark.parametrize(
    "name", ["notes.txt", "code.py", "more.js", "../secret.js", "..%2Fsecret.js", "%2e%2e%2fsecret.js", "none.js"]
)
def test_other_files_are_not_served(page_client: TestClient, name: str) -> None:
    response = page_client.get(f"/studio/{name}")
    assert response.status_code != 200 and "secret" not in response.text


def test_without_a_page_nothing_is_served(tmp_path: Path) -> None:
    assert not has_page(tmp_path) and not studio_router(tmp_path).routes


def test_a_page_may_load_from_this_server_only() -> None:
    app, _ = create_app(ServeSettings(models="{none: missing}"))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        response = client.get("/")
        assert response.status_code == 200
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'self';") and "unsafe" not in policy and "http" not in policy
