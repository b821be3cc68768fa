"""``POST /v1/genai/verify``: the answer of ``genai verify`` without paths, for files of strangers too."""

import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from genai.server.app import create_app
from genai.server.settings import KEY_VARIABLE, MIN_KEY_LENGTH, ServeSettings
from genai.server.verify_api import NO_SIGNATURES
from genai.trust.certificates import read_signer
from genai.trust.embed import add_label
from genai.trust.verify import verify_file
from tests.server.conftest import URL
from tests.trust.conftest import LABEL, make_file

ADDRESS = "/v1/genai/verify"


def ask(client: TestClient, content: bytes, credentials: bytes | None = None, name: str = "a.png") -> dict[str, Any]:
    files = {"file": (name, content)} | ({} if credentials is None else {"credentials": ("a.c2pa", credentials)})
    response = client.post(ADDRESS, files=files)
    assert response.status_code == 200, response.text
    return dict(response.json())


@pytest.fixture(scope="module")
def signed() -> bytes:
    suffix, content = make_file(".png")
    return add_label(content, suffix, LABEL, read_signer())[suffix]


def test_it_answers_as_the_command_but_for_the_path(client: TestClient, signed: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(signed)
    entries = verify_file(tmp_path / "a.png").entries
    assert ask(client, signed) == {name: value for name, value in entries.items() if name != "file"}
    assert entries["status"] == "verified" and entries["recipe"]


def test_each_status(client: TestClient, signed: bytes) -> None:
    suffix, content = make_file(".png")
    place = signed.index(content[len(content) // 2 :][:12])
    changed = signed[:place] + bytes([signed[place] ^ 1]) + signed[place + 1 :]
    assert ask(client, changed)["status"] == "tampered"
    assert ask(client, add_label(content, suffix, LABEL, None)[suffix])["status"] == "unsigned"
    nothing = ask(client, content)
    assert nothing["status"] == "no evidence" and "real" in nothing["text"] and "is_synthetic" not in nothing


def test_credentials_beside_a_text_come_with_it(client: TestClient) -> None:
    files = add_label(b"a text of a model", ".txt", LABEL, read_signer())
    assert ask(client, files[".txt"], files[".c2pa"], "a.txt")["status"] == "verified"
    assert ask(client, files[".txt"], name="a.txt")["status"] == "no evidence"
    assert ask(client, b"another text", files[".c2pa"], "a.txt")["status"] == "tampered"
    damaged = ask(client, files[".txt"], b"c2pa but damaged", "a.txt")
    assert damaged["status"] == "tampered" and tempfile.gettempdir() not in damaged["text"]


def test_a_model_of_this_server_is_known_by_its_id(client: TestClient, loaded: Callable[[str], Any]) -> None:
    from dataclasses import replace

    suffix, content = make_file(".png")
    label = replace(LABEL, checkpoint_sha256=loaded("image").digest)
    answer = ask(client, add_label(content, suffix, label, read_signer())[suffix])
    assert answer["known_as"] == "image" and answer["text"].endswith("that of image")


def test_without_the_package_it_says_so(client: TestClient, signed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("genai.trust.verify", "genai.server.verify_api"):
        monkeypatch.setattr(f"{module}.has_c2pa", lambda: False)
    answer = ask(client, signed)
    assert answer["note"] == NO_SIGNATURES and answer["status"] == "unsigned"


def test_hostile_files_get_an_answer_and_leave_nothing(client: TestClient, signed: bytes) -> None:
    draw, folders = random.Random(0), set(Path(tempfile.gettempdir()).glob("genai-upload-*"))
    attacks = [b"", b"\0" * 1000, b"\x89PNG\r\n\x1a\n" + b"\xff" * 100, b"<x:xmpmeta>" * 1000, draw.randbytes(5000)]
    for _ in range(20):
        data = bytearray(signed)
        start = signed.index(b"IDAT") + draw.randrange(20)  # padding of credentials can change without effect
        data[start : start + 50] = draw.randbytes(50)
        attacks.append(bytes(data))
    for data in attacks:
        answer = ask(client, data, name="../../etc/passwd\x1b[2J.png")
        assert answer["status"] in ("tampered", "no evidence", "unsigned")
        assert str(answer["text"]).isprintable() and "passwd" not in str(answer)
    assert set(Path(tempfile.gettempdir()).glob("genai-upload-*")) == folders


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"json": {"file": "/etc/passwd"}}, "send a form"),
        ({"data": {"file": "/etc/passwd"}, "files": {"credentials": b"x"}}, "give a file"),
        ({"files": {"init": b"x"}}, "not init"),
        ({"files": [("file", b"x"), ("file", b"y")]}, "given twice"),
        ({"files": {"credentials": b"x"}}, "give a file"),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data; boundary=y"}}, "Invalid multipart"),
    ],
)
def test_other_forms_are_refused_in_a_sentence(client: TestClient, request_: dict[str, Any], message: str) -> None:
    response = client.post(ADDRESS, **request_)
    assert response.status_code == 400 and message in response.json()["error"]["message"]


def test_the_guard_stands_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "a" * MIN_KEY_LENGTH)
    app, _ = create_app(ServeSettings(models="{none: missing}", max_body="10KB"))
    with TestClient(app, base_url=URL) as client:
        files = {"file": ("a.png", os.urandom(20_000))}
        key = {"authorization": f"Bearer {'a' * MIN_KEY_LENGTH}"}
        assert client.post(ADDRESS, files=files).status_code == 401
        assert client.post(ADDRESS, files=files, headers=key).status_code == 413
        other = {**key, "origin": "https://evil.example"}
        assert client.post(ADDRESS, files={"file": ("a", b"x")}, headers=other).status_code == 403
        assert client.post(ADDRESS, files={"file": ("a", b"x")}, headers=key).json()["status"] == "no evidence"
