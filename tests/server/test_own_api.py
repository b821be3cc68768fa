"""Jobs: events, results, recipes, cancelling; descriptions of models and their options."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from genai.server.service import Service
from tests.stubs import decoded


def begin(client: TestClient, **values: Any) -> dict[str, Any]:
    response = client.post("/api/jobs", json=values)
    assert response.status_code == 202, response.text
    return response.json()  # type: ignore[no-any-return]


def finished(client: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    while job["state"] in ("queued", "running"):
        time.sleep(0.01)
        job = client.get(f"/api/jobs/{job['id']}").json()
    return job


def test_a_job_says_what_the_model_cannot_know(client: TestClient) -> None:
    job = finished(client, begin(client, model="image", prompt="a zebra", options={"steps": 1}))
    assert job["notes"] == ["in no prompt of the training data, so without meaning: zebra"]
    assert finished(client, begin(client, model="text", prompt="a", options={"length": 1}))["notes"] == []


OPTIONS: dict[str, dict[str, Any]] = {
    "text": {"length": 12, "logprobs": 1},
    "image": {"steps": 2},
    "audio": {"seconds": 0.1, "format": "flac"},
    "video": {"steps": 2, "format": "apng"},
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_results_are_the_files_that_the_command_writes(
    client: TestClient, kind: str, inside: Callable[..., Any], trained: Callable[[str], Path], tmp_path: Path
) -> None:
    options = OPTIONS[kind]
    job = finished(client, begin(client, model=kind, prompt=["a", "b "], n=2, seed=9, options=options))
    assert job["state"] == "done" and job["progress"] == 1, job
    words = [f"{name}={value}" for name, value in options.items()]
    inside(
        "sample",
        f"ckpt={trained(kind)}",
        'prompt=["a", "b "]',
        "n=2",
        "seed=9",
        "out=o",
        "device=cpu",
        *words,
        cwd=tmp_path,
    )
    for number, result in enumerate(job["results"]):
        content = client.get(f"/api/jobs/{job['id']}/results/{number}").content
        assert decoded(content) == decoded((tmp_path / f"o/{number:03d}{result['suffix']}").read_bytes())
        for name in result["side_files"]:
            side_file = client.get(f"/api/jobs/{job['id']}/results/{number}?side_file={name}").content
            assert side_file == (tmp_path / f"o/{number:03d}{name}").read_bytes()
        assert len(result["side_files"]) == (kind == "text")
        recipe = client.get(f"/api/jobs/{job['id']}/results/{number}/recipe").json()
        expected = json.loads((tmp_path / f"o/{number:03d}.json").read_text())
        assert recipe == {**expected, "checkpoint": "best.ckpt"}


def test_a_recipe_makes_the_sample_again(
    client: TestClient, inside: Callable[..., Any], trained: Callable[[str], Path], tmp_path: Path
) -> None:
    job = finished(client, begin(client, model="image", prompt="a", seed=3, options={"steps": 2}))
    (tmp_path / "000.json").write_bytes(client.get(f"/api/jobs/{job['id']}/results/0/recipe").content)
    runs = trained("image").parent.parent
    inside("sample", "from=000.json", "out=again", f"runs={runs}", "device=cpu", cwd=tmp_path)
    content = client.get(f"/api/jobs/{job['id']}/results/0").content
    assert decoded((tmp_path / "again/000.png").read_bytes()) == decoded(content)


def test_a_file_comes_in_a_form_and_is_deleted(client: TestClient, service: Service) -> None:
    request = json.dumps({"model": "text", "prompt": "a", "seed": 1, "options": {"length": 3}})
    response = client.post("/api/jobs", data={"request": request}, files={"init": b"the cat "})
    job = finished(client, response.json())
    assert client.get(f"/api/jobs/{job['id']}/results/0").text.startswith("the cat a")
    recipe = client.get(f"/api/jobs/{job['id']}/results/0/recipe").json()
    assert recipe["init"] == "init" and list(recipe["files"]) == ["init"]
    uploads = service.jobs.find(job["id"]).uploads
    assert uploads and not uploads.paths["init"].exists()


@pytest.mark.parametrize("kind", ["text", "image", "audio"])
def test_events_tell_progress_and_parts(client: TestClient, kind: str) -> None:
    job = begin(client, model=kind, prompt="a", seed=1, options=OPTIONS[kind])
    text = client.get(f"/api/jobs/{job['id']}/events").text
    events = [
        dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if "data" in block
    ]
    values = [(each.get("event"), json.loads(each["data"])) for each in events]
    assert values[-1][0] == "end" and values[-1][1]["state"] == "done"
    parts = [value for name, value in values if name == "part"]
    assert parts and {part["number"] for part in parts} == {0}
    if kind == "text":
        assert "a" + "".join(part["part"] for part in parts) == client.get(f"/api/jobs/{job['id']}/results/0").text
    elif kind == "image":
        assert all(part["state"].startswith("data:image/png;base64,") for part in parts)
    else:
        assert all(part["part"].startswith("data:audio/flac;base64,") for part in parts)


def test_a_job_is_canceled_by_its_id_and_others_go_on(client: TestClient, service: Service) -> None:
    jobs = [begin(client, model="image", prompt="a", seed=1, options={"steps": steps}) for steps in (250, 40)]
    while not client.get(f"/api/jobs/{jobs[0]['id']}").json()["progress"]:
        time.sleep(0.005)
    client.delete(f"/api/jobs/{jobs[0]['id']}")
    assert finished(client, jobs[0])["state"] == "canceled"
    assert finished(client, jobs[1])["state"] == "done"
    assert client.get(f"/api/jobs/{jobs[0]['id']}/results/0").status_code == 404
    client.delete(f"/api/jobs/{jobs[1]['id']}")
    assert client.get(f"/api/jobs/{jobs[1]['id']}").status_code == 404


def test_what_is_finished_of_a_canceled_job_stays(client: TestClient, service: Service) -> None:
    job = begin(client, model="image", prompt="a", n=40, seed=1, options={"steps": 12})
    while client.get(f"/api/jobs/{job['id']}").json()["progress"] < 0.8:  # the first batch has 32
        time.sleep(0.005)
    client.delete(f"/api/jobs/{job['id']}")
    finished(client, job)
    assert client.get(f"/api/jobs/{job['id']}/results/31").status_code == 200
    assert client.get(f"/api/jobs/{job['id']}/results/32").status_code == 404


def test_options_are_described_by_types_and_docstrings(client: TestClient) -> None:
    described = client.get("/api/options", params={"model": "text"}).json()
    options = {entry["name"]: entry for entry in described["options"]}
    assert options["length"] == {
        "name": "length", "type": "integer", "minimum": 1, "maximum": 4096, "default": 256,
        "description": "maximum number of new tokens.",
    }  # fmt: skip
    assert options["temperature"]["minimum"] == 0 and "sharper" in options["temperature"]["description"]
    image = client.get("/api/options?model=image").json()
    options = {each["name"]: each for each in image["options"]}
    assert options["steps"]["maximum"] == 250 and image["takes_prompt"] and described["takes_prompt"]
    mask = options["mask"]
    assert mask["format"] == "binary" and mask["nullable"]
    for kind in ("audio", "video"):
        assert all(each["description"] for each in client.get(f"/api/options?model={kind}").json()["options"])


def test_models_are_listed(client: TestClient) -> None:
    assert {each["id"] for each in client.get("/api/models").json()["data"]} == {"text", "image", "audio", "video"}
    assert client.get("/v1/models/text").json()["id"] == "text"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model": "image", "steps": 2}, "options"),
        ({"model": "image", "options": {"mask": "/etc/passwd"}}, "uploaded"),
        ({"model": "video", "options": {"last": "/etc/passwd"}}, "uploaded"),
        ({"model": "image", "options": {"steps": 10**9}}, "steps"),
        ({"model": "audio", "n": 64, "options": {"seconds": 119}, "prompt": ["a", "b"]}, "64"),
        ({"prompt": "a"}, "model"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(client: TestClient, values: dict[str, Any], words: str) -> None:
    response = client.post("/api/jobs", json=values)
    assert response.status_code == 400 and words in response.json()["error"]["message"], response.text


def test_options_that_need_others_fail_the_job(client: TestClient) -> None:
    job = finished(client, begin(client, model="image", prompt="a", options={"strength": 0.5}))
    assert job["state"] == "failed" and job["error"]["param"] == "strength"
