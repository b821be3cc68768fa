"""Trainings over HTTP: only if they are allowed, only typed options, one at a time, and an end that saves."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from genai.core.errors import UserError
from genai.runs.run import all_runs
from genai.server.app import create_app
from genai.server.settings import ServeSettings
from genai.server.training import TrainingOptions, TrainingRequest, training_words
from genai.server.training_check import check_lines
from tests.server.conftest import URL


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with data sets, some of which are none."""
    data = tmp_path / "data"
    (data / "pictures").mkdir(parents=True)
    for number in range(12):
        Image.new("RGB", (16, 16), (number * 20, 0, 0)).save(data / f"pictures/{number}.png")
        (data / f"pictures/{number}.txt").write_text("red")
    (data / "book.txt").write_text("It was a dark night. " * 200)
    (data / "clips.npz").write_bytes(b"")
    (data / "empty").mkdir()
    (data / "-dash.txt").write_text("x")
    (data / ".hidden.txt").write_text("x")
    (tmp_path / "secret.txt").write_text("secret")
    (data / "link.txt").symlink_to(tmp_path / "secret.txt")
    (data / "out").symlink_to(tmp_path)
    return tmp_path


def settings(place: Path, **values: Any) -> ServeSettings:
    return ServeSettings(runs=str(place / "runs"), samples=str(place / "samples"), device="cpu", **values)


@pytest.fixture
def client(place: Path) -> Iterator[TestClient]:
    app, _ = create_app(settings(place, train=True, data_root=str(place / "data")))
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def fake(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in place of Python, which writes its words to a file and waits for its end."""
    program = place / "fake"
    run = place / "runs/2026-01-01/01-02-03-image"
    program.write_text(
        f"#!/bin/sh\necho \"$@\" > {place}/words\nenv > {place}/environment\necho 'run       {run}'\n"
        f"printf 'bad \\033[2J line of {place}/data\\n'\n"
        "trap 'echo saved; exit 130' INT\nwhile :; do sleep 0.05; done\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    return program


def wait(client: TestClient, entry: dict[str, Any], *states: str, seconds: float = 90) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while entry["state"] in states:
        assert time.monotonic() < end, entry
        time.sleep(0.02)
        entry = client.get(f"/api/training/{entry['id']}").json()
    return entry


def test_without_permission_nothing_starts(place: Path, fake: Path) -> None:
    app, _ = create_app(settings(place, data_root=str(place / "data")))
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as client:
        listed = client.get("/api/training").json()
        assert not listed["enabled"] and listed["data"] == listed["options"] == listed["runs"] == []
        for response in (
            client.post("/api/training", json={"modality": "image"}),
            client.get("/api/check?data=pictures"),
            client.delete("/api/training/none"),
        ):
            assert response.status_code == 403 and "serve train=true data_root=FOLDER" in response.text
    assert not (place / "words").exists()


def test_what_can_be_trained_is_listed(client: TestClient, place: Path) -> None:
    listed = client.get("/api/training").json()
    data = {entry["id"]: entry for entry in listed["data"]}
    assert {*data} == {"world", "stdlib", "pictures", "book.txt", "clips.npz"}
    assert (data["pictures"]["modality"], data["pictures"]["description"]) == ("image", "12 files")
    assert data["pictures"]["is_own"] and not data["world"]["is_own"]
    assert data["book.txt"]["modality"] == data["stdlib"]["modality"] == "text"
    assert data["world"]["modality"] is None and "video" in data["world"]["modalities"]
    needs_data = {each["name"]: each["needs_data"] for each in listed["experiments"]}
    assert not needs_data["world_two"] and not needs_data["tasks"] and needs_data["sft"] and needs_data["asl"]
    assert not {"dpo", "grpo", "subject"} & needs_data.keys()
    assert {each["name"] for each in listed["modalities"]} == {"text", "image", "audio", "video"}
    options = {each["name"]: each for each in listed["options"]}
    assert {*options} == {"minutes", "steps", "size", "block", "seed", "name"}
    assert options["size"]["minimum"] == 8 and options["block"]["modalities"] == ["text"]
    assert str(place) not in json.dumps(listed)


def words(values: dict[str, Any], root: Path) -> list[str]:
    options = TrainingOptions(**values.pop("options", {}))
    return training_words(TrainingRequest(**values), options, root)


def test_requests_become_words(place: Path) -> None:
    data = place / "data"
    assert words({"modality": "image"}, data) == ["modality=image", "seed=0"]
    request = {"modality": "image", "data": "pictures", "options": {"steps": 3, "size": 16, "name": "my-cats"}}
    assert words(request, data) == [
        "modality=image", "data=image_folder", f"data.path={data / 'pictures'}", "modality.size=16", "steps=3",
        "seed=0", "name=my-cats",
    ]  # fmt: skip
    request = {"modality": "text", "experiment": "shakespeare_char", "data": "book.txt", "options": {"minutes": 1.0}}
    assert words(request, data) == [
        "experiment=shakespeare_char", f"data.path={data / 'book.txt'}", "steps=null", "minutes=1.0", "seed=0",
    ]  # fmt: skip
    assert words({"modality": "audio", "data": "world"}, data)[:2] == ["modality=audio", "data=world"]
    with pytest.raises(UserError, match="for image"):
        words({"modality": "text", "data": "pictures"}, data)
    with pytest.raises(UserError, match="arrays"):
        words({"modality": "video", "data": "clips.npz"}, data)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"modality": "music"},
        {"modality": "image,text"},
        {"modality": "image", "plugins": ["evil"]},
        {"modality": "image", "words": ["data.path=/etc"]},
        {"modality": "image", "options": {"plugins": "[evil]"}},
        {"modality": "image", "options": {"data._target_": "os.system"}},
        {"modality": "image", "options": {"_target_": "os.system"}},
        {"modality": "image", "options": {"runs": "/tmp"}},
        {"modality": "image", "options": {"minutes": 0}},
        {"modality": "image", "options": {"minutes": 1e9}},
        {"modality": "image", "options": {"minutes": "1 plugins=[evil]"}},
        {"modality": "image", "options": {"steps": 2, "minutes": 1}},
        {"modality": "image", "options": {"steps": True}},
        {"modality": "image", "options": {"seed": -1}},
        {"modality": "image", "options": {"block": 64}},
        {"modality": "image", "options": {"size": 10**9}},
        {"modality": "image", "options": {"name": "../x"}},
        {"modality": "image", "options": {"name": "${oc.env:HOME}"}},
        {"modality": "image", "options": {"name": "a" * 41}},
        {"modality": "image", "options": []},
        {"modality": "image", "data": "../secret.txt"},
        {"modality": "text", "data": "link.txt"},
        {"modality": "text", "data": "out"},
        {"modality": "text", "data": "/etc"},
        {"modality": "image", "data": "empty"},
        {"modality": "image", "experiment": "../../modality/image"},
        {"modality": "image", "experiment": "asl"},
        {"modality": "video", "experiment": "asl"},
        {"modality": "text", "experiment": "dpo", "data": "book.txt"},
    ],
)
def test_other_values_are_refused(client: TestClient, place: Path, fake: Path, values: dict[str, Any]) -> None:
    response = client.post("/api/training", json=values)
    assert response.status_code == 400, response.text
    assert str(place) not in response.text and not (place / "words").exists()


def test_one_training_goes_on_and_is_stopped(client: TestClient, place: Path, fake: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("GENAI_API_KEY", "secret-of-the-server")
    response = client.post("/api/training", json={"modality": "image", "options": {"steps": 3}})
    assert response.status_code == 202
    entry = wait(client, response.json(), "starting")
    assert entry["state"] == "running" and entry["run"] is None  # it has no record yet
    assert (place / "words").read_text().split()[:3] == ["-m", "genai.train", "modality=image"]
    assert f"runs={place}/runs" in (place / "words").read_text()
    assert "secret-of-the-server" not in (place / "environment").read_text()
    assert client.post("/api/training", json={"modality": "image"}).status_code == 409
    headers = {"origin": "https://evil.example"}
    assert client.delete(f"/api/training/{entry['id']}", headers=headers).status_code == 403
    assert client.post("/api/training", json={"modality": "image"}, headers=headers).status_code == 403
    assert client.delete("/api/training/none").status_code == 404
    assert client.delete(f"/api/training/{entry['id']}").status_code == 200
    entry = wait(client, entry, "running", "stopping")
    assert entry["state"] == "stopped" and entry["lines"][-1] == "saved"
    assert entry["lines"][1] == "bad ?[2J line of data"
    assert client.get("/api/training").json()["runs"][0] == entry


def test_the_end_of_the_server_ends_a_training(place: Path, fake: Path) -> None:
    app, service = create_app(settings(place, train=True))
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as client:
        wait(client, client.post("/api/training", json={"modality": "image"}).json(), "starting")
        process = service.training._processes[0]
        assert service.is_working and process.state == "running"
        service.drain()
        assert process.state in ("stopping", "stopped")
        assert client.post("/api/training", json={"modality": "image"}).status_code == 503
    assert process.is_over and not service.is_working


def test_a_training_that_ignores_signals_is_ended(
    client: TestClient, place: Path, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genai.server.training_process.STOP_SECONDS", 0.2)
    monkeypatch.setattr("genai.server.training_process.KILL_SECONDS", 0.2)
    fake.write_text("#!/bin/sh\ntrap '' INT TERM\ntouch started\nwhile :; do sleep 0.05; done\n")
    monkeypatch.chdir(place)
    entry = client.post("/api/training", json={"modality": "image"}).json()
    while not (place / "started").exists():
        time.sleep(0.01)
    client.delete(f"/api/training/{entry['id']}")
    assert wait(client, entry, "starting", "stopping", seconds=10)["state"] == "stopped"


def test_the_length_of_an_experiment_is_its_own(client: TestClient, fake: Path) -> None:
    request = {"modality": "image", "experiment": "world_two"}
    entry = wait(client, client.post("/api/training", json=request).json(), "starting")
    time.sleep(0.1)
    assert client.get(f"/api/training/{entry['id']}").json()["progress"] == 0


def test_the_end_of_the_server_ends_a_check(place: Path, fake: Path) -> None:
    fake.write_text(f"#!/bin/sh\ntouch {place}/started\nexec sleep 60\n")
    app, service = create_app(settings(place, train=True, data_root=str(place / "data")))
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as client:
        thread = threading.Thread(target=lambda: client.get("/api/check?data=pictures"))
        thread.start()
        while not (place / "started").exists() or not service.is_working:  # it may start before the server knows
            time.sleep(0.01)
        start = time.monotonic()
        service.close()
        thread.join(10)
        assert not thread.is_alive() and time.monotonic() - start < 10 and not service.is_working
        assert client.get("/api/check?data=pictures").status_code == 503


def test_a_link_on_another_page_starts_no_check(client: TestClient, fake: Path, place: Path) -> None:
    for site in ("cross-site", "same-site"):
        headers = {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}
        assert client.get("/api/check?data=pictures", headers=headers).status_code == 403
        assert client.get("/", headers=headers).status_code == 200
    assert not (place / "words").exists()


def test_a_training_that_fails_says_why(client: TestClient, fake: Path) -> None:
    fake.write_text("#!/bin/sh\necho 'error: no memory' >&2\nexit 2\n")
    entry = wait(client, client.post("/api/training", json={"modality": "image"}).json(), "starting")
    assert entry["state"] == "failed" and entry["lines"] == ["error: no memory"] and entry["run"] is None


def test_a_check_is_bounded(client: TestClient, place: Path, fake: Path) -> None:
    fake.write_text("#!/bin/sh\nyes 'a line' | head -c 3000000\nsleep 60\n")
    (place / "empty").mkdir()
    start = time.monotonic()
    lines = check_lines([], place / "empty", seconds=0.5)
    assert len(lines) == 201 and lines[0] == "a line" and "longer than 0.5 s" in lines[-1]
    assert time.monotonic() - start < 10
    for name in ("../secret.txt", "link.txt", "none", "clips.npz"):
        assert client.get("/api/check", params={"data": name}).status_code == 400


def test_a_root_that_is_no_folder_is_refused(place: Path) -> None:
    with pytest.raises(UserError, match="data_root="):
        create_app(settings(place, train=True, data_root=str(place / "none")))


@pytest.mark.slow
def test_pictures_are_checked_and_trained(client: TestClient, place: Path, inside: Callable[..., Any]) -> None:
    checked = client.get("/api/check?data=pictures").json()
    assert checked["modality"] == "image" and any("12" in line for line in checked["lines"]), checked
    assert str(place) not in json.dumps(checked)
    options = {"steps": 2, "size": 16, "name": "tiny"}
    response = client.post("/api/training", json={"modality": "image", "data": "pictures", "options": options})
    entry = wait(client, response.json(), "starting", "running")
    assert entry["state"] == "finished" and entry["progress"] == 1 and entry["step"] == 2, entry
    assert str(place) not in json.dumps(entry)
    run = next(all_runs(place / "runs"))
    assert run.folder.name.endswith("image-diffusion-tiny") and run.record.steps == 2
    options = {"minutes": 30, "size": 16}
    entry = client.post("/api/training", json={"modality": "image", "data": "pictures", "options": options}).json()
    entry = wait(client, entry, "starting")
    while not client.get(f"/api/training/{entry['id']}").json()["step"]:
        time.sleep(0.1)
    client.delete(f"/api/training/{entry['id']}")
    entry = wait(client, entry, "running", "stopping")
    assert entry["state"] == "stopped", entry
    runs = {each["id"]: each for each in client.get("/api/runs").json()["data"]}
    assert runs[entry["run"]]["state"] == "stopped" and os.environ.get("GENAI_API_KEY") is None
