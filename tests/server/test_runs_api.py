"""Runs over HTTP: what is told of them, their numbers and previews, and events while they go on."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from genai.core.filesystem import lock_file
from genai.runs.metrics import MetricsReader
from genai.runs.run import Run
from genai.server.app import create_app
from genai.server.run_index import RunIndex
from genai.server.service import Service
from genai.server.settings import ServeSettings
from tests.conftest import copy_run
from tests.server.conftest import URL

TEXT, IMAGE = "2026-01-30_12-00-00-text-gpt-words", "2026-01-30_13-00-00-image-diffusion"


@pytest.fixture
def place(trained: Callable[[str], Path], tmp_path: Path) -> Path:
    copy_run(trained("text"), tmp_path / "runs", "12:00:00")
    copy_run(trained("image"), tmp_path / "runs", "13:00:00")
    return tmp_path


@pytest.fixture
def client(place: Path) -> Iterator[TestClient]:
    app, _ = create_app(ServeSettings(runs=str(place / "runs"), samples=str(place / "samples"), device="cpu"))
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as client:
        yield client


def ids(client: TestClient) -> list[str]:
    return [entry["id"] for entry in client.get("/api/runs").json()["data"]]


def folder(place: Path, name: str) -> Path:
    return place / "runs" / name.replace("_", "/", 1)


def test_runs_are_listed_as_the_history_has_them(client: TestClient, place: Path) -> None:
    data = client.get("/api/runs").json()["data"]
    assert [entry["modality"] for entry in data] == ["image", "text"]
    models = {model["id"]: model["name"] for model in client.get("/api/models").json()["data"]}  # installed ones, too
    assert all(models[entry["id"]].endswith(":00") for entry in data)
    entry = data[0]
    record = Run(folder(place, entry["id"])).record
    assert entry["state"] == "finished" and entry["step"] == entry["max_steps"] == 6 and entry["model"]
    assert record.best and entry["best"] == record.best.val_loss and entry["val_loss"] >= entry["best"] - 1e-6
    assert entry["train_loss"] and entry["health"] == [] and entry["seconds"] == record.seconds
    assert str(place) not in json.dumps(data)


def test_a_run_is_told_in_rows(client: TestClient, place: Path) -> None:
    details = client.get(f"/api/runs/{ids(client)[0]}").json()
    rows = dict(details["rows"])
    assert rows["Model"].startswith("diffusion, ") and rows["Train it"].startswith("python -m genai.train modality=")
    assert "modality=image" in details["words"] and details["columns"][:2] == ["step", "loss"]
    assert "/pytest-of" not in json.dumps(details)


def test_a_run_that_goes_on_is_told(client: TestClient, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai.server.run_index.LOCK_SECONDS", 0.0)
    name = ids(client)[0]
    run = Run(folder(place, name))
    run.write_record(finished=None, warnings=["step 5: bad"])
    assert client.get(f"/api/runs/{name}").json()["state"] == "stopped"
    lock = lock_file(run.folder / ".lock")
    entry = client.get(f"/api/runs/{name}").json()
    assert entry["state"] == "running" and entry["health"] == ["step 5: bad"]
    lock.release()
    for file in (run.folder / "checkpoints").iterdir():
        file.unlink()
    assert client.get(f"/api/runs/{name}").json()["state"] == "failed"


def test_numbers_come_after_a_step(client: TestClient, place: Path) -> None:
    name = ids(client)[0]
    metrics = client.get(f"/api/runs/{name}/metrics").json()
    assert metrics["columns"]["step"] == [1, 2, 3, 4, 5, 6] and metrics["last_step"] == 6
    assert metrics["columns"]["val_loss"][0] is None and metrics["columns"]["val_loss"][-1] is not None
    with (folder(place, name) / "metrics.csv").open("a") as file:
        for step in range(7, 4000):
            file.write(f"{step},{step % 50},,,,,,,\n")
        file.write("4000,1,")
    more = client.get(f"/api/runs/{name}/metrics?after=4").json()
    steps = more["columns"]["step"]
    assert steps[:2] == [5, 6] and steps[-1] == more["last_step"] == 3999 and len(steps) <= 1000
    assert {len(column) for column in more["columns"].values()} == {len(steps)}
    assert client.get(f"/api/runs/{name}/metrics?after=4000").json()["columns"]["step"] == []
    assert client.get(f"/api/runs/{name}/metrics?after=x").status_code == 400
    (folder(place, name) / "metrics.csv").write_text("nothing")
    assert client.get(f"/api/runs/{name}/metrics").json()["last_step"] == 0


def test_previews_are_listed_and_sent(client: TestClient, place: Path) -> None:
    image, text = ids(client)
    (entry,) = client.get(f"/api/runs/{image}/previews").json()["data"]
    assert entry["step"] == 6 and entry["files"][0] == {"name": "000.png", "kind": "image", "type": "image/png"}
    content = client.get(f"/api/runs/{image}/previews/6/000.png")
    assert content.content == (folder(place, image) / "previews/00000006/000.png").read_bytes()
    (entry,) = client.get(f"/api/runs/{text}/previews").json()["data"]
    response = client.get(f"/api/runs/{text}/previews/6/{entry['files'][0]['name']}")
    assert response.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("name", ["..%2F..%2Fconfig.yaml", "link.txt", "none.png", "notes.exe", "%2e%2e/x.txt"])
def test_nothing_else_of_a_run_is_sent(client: TestClient, place: Path, name: str) -> None:
    image = ids(client)[0]
    previews = folder(place, image) / "previews/00000006"
    (place / "secret.txt").write_text("secret")
    (previews / "link.txt").symlink_to(place / "secret.txt")
    (previews / "notes.exe").write_text("secret")
    (previews.parent / "00000007").symlink_to(place)
    for step in ("6", "7", "99999999999999999999", "-1", "x"):
        response = client.get(f"/api/runs/{image}/previews/{step}/{name}")
        assert response.status_code in (400, 404) and "secret" not in response.text
    assert client.get(f"/api/runs/{image}/previews/7/secret.txt").status_code == 404


def test_folders_outside_are_no_runs(client: TestClient, place: Path, trained: Callable[[str], Path]) -> None:
    outside = copy_run(trained("text"), place / "elsewhere", "12:00:00")
    (place / "runs" / "link").symlink_to(outside)
    time.sleep(0.55)
    for name in ("link", "..", "..%2Felsewhere", "none", "x" * 3000):
        assert client.get(f"/api/runs/{name}/metrics").status_code == 404
    assert len(ids(client)) == 2


def test_a_broken_run_does_not_hide_the_others(client: TestClient, place: Path) -> None:
    names = ids(client)
    (folder(place, names[1]) / "record.json").write_text("[" * 100_000)
    assert ids(client) == names[:1]
    assert client.get(f"/api/runs/{names[1]}").status_code == 400


def test_events_tell_changes_until_the_end(client: TestClient, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai.server.runs_api.LOOK_SECONDS", 0.02)
    monkeypatch.setattr("genai.server.run_index.LOCK_SECONDS", 0.02)
    name = ids(client)[0]
    run = Run(folder(place, name))
    run.write_record(finished=None)
    is_locked = threading.Event()

    def train() -> None:
        lock = lock_file(run.folder / ".lock")
        is_locked.set()
        time.sleep(0.3)
        with (run.folder / "metrics.csv").open("a") as file:
            file.write("7,1,,,,,,,\n")
        time.sleep(0.3)
        (run.folder / "previews/00000007").mkdir()
        time.sleep(0.3)
        run.write_record(finished="2026-01-30T13:30:00")
        lock.release()

    thread = threading.Thread(target=train)
    thread.start()
    is_locked.wait()
    text = client.get(f"/api/runs/{name}/events").text
    thread.join()
    events = [json.loads(block.partition("data: ")[2]) for block in text.split("\n\n") if "event: change" in block]
    assert events[0] == {"step": 6, "state": "running", "previews": 1}
    assert {"step": 7, "state": "running", "previews": 1} in events
    assert events[-1] == {"step": 7, "state": "finished", "previews": 2}


def test_numbers_of_runs_that_have_ended_are_read_once(
    client: TestClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genai.server.run_index.MAX_READERS", 1)
    count: list[Path] = []
    update = MetricsReader.update
    monkeypatch.setattr(MetricsReader, "update", lambda reader: (count.append(reader.path), update(reader))[1])
    before = client.get("/api/runs").json()
    assert len(count) == 2 and client.get("/api/runs").json() == before and len(count) == 2
    with (folder(place, before["data"][0]["id"]) / "metrics.csv").open("a") as file:
        file.write("7,1,,,,,,,\n")
    assert client.get("/api/runs").json()["data"][0]["step"] == 7 and len(count) == 3


def test_a_run_is_seldom_asked_whether_it_goes_on(
    client: TestClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = ids(client)[0]
    Run(folder(place, name)).write_record(finished=None)
    count: list[Path] = []
    monkeypatch.setattr(Run, "is_running", property(lambda run: bool(count.append(run.folder))))
    for _ in range(3):
        client.get("/api/runs")
    assert count == [folder(place, name)]


def test_records_are_read_while_runs_are_looked_for(
    client: TestClient, place: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = RunIndex(place / "runs", service.models)
    monkeypatch.setattr("genai.server.run_index.SCAN_SECONDS", -1.0)

    class Records(dict[Path, Any]):
        def __setitem__(self, key: Path, value: Any) -> None:
            super().__setitem__(key, value)
            index.root = place / "none"
            thread = threading.Thread(target=index.list)
            thread.start()
            thread.join(0.2)

    monkeypatch.setattr(index, "_records", Records())
    assert index.record(Run(folder(place, ids(client)[0]))).modality == "image"


def test_two_runs_are_compared(client: TestClient, place: Path) -> None:
    first, second = ids(client)
    answer: dict[str, Any] = client.get("/api/compare", params={"a": first, "b": second}).json()
    rows = {row[0]: row[1:] for row in answer["differences"]}
    assert rows["modality.size"] == ["16", "-"] and "best val_loss" in {row[0] for row in answer["results"]}
    assert str(place) not in json.dumps(answer)
    assert client.get("/api/compare", params={"a": first, "b": "none"}).status_code == 404
    assert client.get("/api/compare", params={"a": first}).status_code == 400


def test_the_doctor_tells_no_home(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = client.get("/api/doctor").json()["lines"]
    assert lines[0].startswith("python") and any(line.startswith("memory") for line in lines)
    assert os.getcwd() not in "\n".join(lines)
    monkeypatch.setattr("genai.server.runs_api.machine_lines", lambda: ["new"])
    assert client.get("/api/doctor").json()["lines"] == lines
