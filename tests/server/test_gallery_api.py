"""Samples that stay: saved as the command line saves them, listed, sent, marked, deleted; preferences."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from genai.server.app import create_app
from genai.server.settings import ServeSettings
from tests.server.conftest import URL
from tests.server.test_own_api import begin, finished
from tests.stubs import decoded, decoded_files

HASH = "0" * 64


@pytest.fixture(scope="module")
def saving(models: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Path]]:
    """A client of a server whose samples stay, and their folder."""
    folder = tmp_path_factory.mktemp("kept") / "samples"
    app, _ = create_app(ServeSettings(models=models, samples=str(folder), device="cpu"))
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as client:
        yield client, folder


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[tuple[TestClient, Path]]:
    """A client of a server without models, and its empty folder of samples."""
    folder = tmp_path / "samples"
    folder.mkdir()
    app, _ = create_app(ServeSettings(models="{none: missing}", samples=str(folder), max_prompt=1000))
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as client:
        yield client, folder


def add(root: Path, name: str = "a/000", prompt: str = "a cat", text: str | None = None, **values: Any) -> Path:
    """Write a sample as the command line does."""
    path = root / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    batch = [{"prompt": prompt, "seed": 7}]
    recipe = {"options": {"steps": 2}, "init": None, "files": {}, "checkpoint": "/home/me/runs/x/best.ckpt",
              "checkpoint_sha256": HASH, "weights": "ema", "item": 0, "batch": batch, **values}  # fmt: skip
    path.write_text(json.dumps(recipe))
    if text is None:
        Image.new("RGB", (4, 4)).save(path.with_suffix(".png"))
    else:
        path.with_suffix(".txt").write_text(text)
    number = len(list(root.rglob("*.json")))
    os.utime(path, (1000 + number, 1000 + number))
    return path


def entries(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    response = client.get("/api/samples", params=query)
    assert response.status_code == 200, response.text
    data: list[dict[str, Any]] = response.json()["data"]
    return data


@pytest.mark.parametrize("kind", ["text", "image"])
def test_saved_samples_are_those_of_the_command(
    saving: tuple[TestClient, Path], kind: str, inside: Callable[..., Any], trained: Callable[[str], Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    client, folder = saving
    options = {"text": {"length": 5, "logprobs": 1}, "image": {"steps": 2}}[kind]
    job = begin(client, model=kind, prompt=["a", "b"], seed=9, options=options, save=True)
    job = finished(client, job)
    ids = [result["sample"] for result in job["results"]]
    assert job["state"] == "done" and None not in ids and job["save_error"] is None
    listed = {entry["id"]: entry for entry in entries(client, model=kind, modality=kind)}
    assert [*listed] == ids[::-1] and {entry["kind"] for entry in listed.values()} == {kind}
    entry = listed[ids[1]]
    assert (entry["prompt"], entry["seed"], entry["checkpoint"]) == ("b", 10, "best.ckpt")
    assert (entry["text"] is None) == (kind == "image") and not entry["starred"]
    content = client.get(f"/api/jobs/{job['id']}/results/1").content
    assert decoded(client.get(f"/api/samples/{ids[1]}/file").content) == decoded(content)
    recipe_file = next(path for path in folder.rglob("001.json") if path.with_suffix(entry["suffix"]).exists())
    words = [f"{name}={value}" for name, value in options.items()]
    inside("sample", f"ckpt={trained(kind)}", 'prompt=["a", "b"]', "seed=9", "out=o", "device=cpu", *words,
           cwd=tmp_path)  # fmt: skip
    assert decoded_files(recipe_file.parent) == decoded_files(tmp_path / "o", "[0-9]*")
    inside("sample", f"from={recipe_file}", "out=again", "device=cpu", cwd=tmp_path)
    assert decoded((tmp_path / f"again/001{entry['suffix']}").read_bytes()) == decoded(content)
    assert str(folder) not in json.dumps(client.get(f"/api/samples/{ids[1]}").json())


def test_a_file_is_kept_with_its_samples(
    saving: tuple[TestClient, Path], inside: Callable[..., Any], tmp_path: Path
) -> None:
    client, folder = saving
    request = json.dumps({"model": "text", "prompt": "a", "n": 2, "seed": 1, "options": {"length": 3}, "save": True})
    job = client.post("/api/jobs", data={"request": request}, files={"init": b"the cat "}).json()
    ids = [result["sample"] for result in finished(client, job)["results"]]
    entry = client.get(f"/api/samples/{ids[0]}").json()
    assert entry["init"] == "init.txt" and entry["inputs"] == ["init.txt"] and entry["recipe"]["init"] == "init.txt"
    response = client.get(f"/api/samples/{ids[0]}/inputs/init.txt")
    assert response.content == b"the cat " and response.headers["content-type"].startswith("text/plain")
    file = next(folder.rglob("init.txt"))
    inside("sample", f"from={file.with_name('000.json')}", "out=again", "device=cpu", cwd=tmp_path)
    assert (tmp_path / "again/000.txt").read_bytes() == client.get(f"/api/samples/{ids[0]}/file").content
    client.delete(f"/api/samples/{ids[0]}")
    assert file.exists() and not file.with_name("000.txt").exists()
    client.delete(f"/api/samples/{ids[1]}")
    assert not file.parent.exists() and folder.exists()


def test_what_a_canceled_job_has_finished_is_saved(saving: tuple[TestClient, Path]) -> None:
    client, _ = saving
    job = begin(client, model="image", prompt="a", n=40, seed=1, options={"steps": 12}, save=True)
    while client.get(f"/api/jobs/{job['id']}/results/0").status_code != 200:
        time.sleep(0.002)
    client.delete(f"/api/jobs/{job['id']}")
    job = finished(client, job)
    saved = [result["number"] for result in job["results"] if result["sample"]]
    assert saved == (list(range(32)) if job["state"] == "canceled" else list(range(40)))


def test_samples_of_other_jobs_are_not_saved(saving: tuple[TestClient, Path]) -> None:
    client, folder = saving
    before = list(folder.rglob("*"))
    job = finished(client, begin(client, model="image", prompt="a", options={"steps": 1}))
    assert job["results"][0]["sample"] is None and list(folder.rglob("*")) == before


def test_a_folder_that_cannot_be_written_is_told(models: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    app, _ = create_app(ServeSettings(models=models, samples=str(tmp_path / "file"), device="cpu"))
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as client:
        job = finished(client, begin(client, model="image", prompt="a", options={"steps": 1}, save=True))
        assert job["state"] == "done" and "could not be saved" in job["save_error"]
        assert job["results"][0]["sample"] is None and str(tmp_path) not in job["save_error"]


def test_samples_are_searched_and_listed_in_pages(stored: tuple[TestClient, Path]) -> None:
    client, root = stored
    add(root, "2026-01-01/000", "a Cat on a mat")
    add(root, "2026-01-01/001", "a dog", text="The dog met a cat.")
    add(root, "my own/000", "nothing", text="x" * 5000)
    data = entries(client)
    assert [entry["prompt"] for entry in data] == ["nothing", "a dog", "a Cat on a mat"]
    assert [entry["modality"] for entry in data] == ["text", "text", "image"]
    assert data[0]["model"] is None and len(data[0]["text"]) == 2000 and data[0]["options"] == {"steps": 2}
    assert [entry["prompt"] for entry in entries(client, search="CAT a")] == ["a dog", "a Cat on a mat"]
    assert [entry["prompt"] for entry in entries(client, modality="image")] == ["a Cat on a mat"]
    page = client.get("/api/samples?limit=2").json()
    assert page["has_more"] and not page["truncated"]
    rest = client.get(f"/api/samples?limit=2&before={page['data'][-1]['id']}").json()
    assert not rest["has_more"] and [entry["prompt"] for entry in rest["data"]] == ["a Cat on a mat"]
    assert client.get("/api/samples?limit=1000").status_code == 400
    assert client.get("/api/samples?before=nothing").status_code == 404


def test_the_newest_folders_are_found_among_many(
    stored: tuple[TestClient, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genai.server.gallery.MAX_FOUND", 1)
    client, root = stored
    for name in ("2026-01-01/10-00-00/000", "2026-01-02/10-00-00/000", "2026-01-02/11-00-00/000", "mine/000"):
        add(root, name, name)
    assert [each["prompt"] for each in entries(client)] == ["2026-01-02/11-00-00/000", "2026-01-02/10-00-00/000"]


def test_numbers_that_json_does_not_have_become_null(stored: tuple[TestClient, Path]) -> None:
    client, root = stored
    add(root, options={"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": float("-inf")}})
    text = client.get("/api/samples").text
    assert '"a":null,"b":[null,1.5],"c":{"d":null}' in text and "NaN" not in text and "Infinity" not in text


def test_only_the_files_of_a_sample_are_deleted(stored: tuple[TestClient, Path]) -> None:
    client, root = stored
    others = [add(root, f"a/{name}", f"other {name}") for name in ("100-dogs", "100.5", "1000", "100-making")]
    others += [path.with_suffix(".png") for path in others]
    sample = add(root, "a/100", "mine")
    for name in ("100-logprobs.json", "100-making.gif", "100.notes"):
        (root / "a" / name).write_text("x")
    (root / "a/100.folder").mkdir()
    others[3].unlink()
    (entry,) = entries(client, search="mine")
    assert client.delete(f"/api/samples/{entry['id']}").status_code == 200
    assert not sample.exists() and (root / "a/100.folder").is_dir()
    left = {path.name for path in (root / "a").iterdir()} - {"100.folder"}
    assert left == {path.name for path in others if "making" not in path.name}


def test_side_files_with_a_recipe_of_their_own_stay(stored: tuple[TestClient, Path]) -> None:
    client, root = stored
    other = add(root, "a/100-making", "other")
    add(root, "a/100", "mine")
    (entry,) = entries(client, search="mine")
    client.delete(f"/api/samples/{entry['id']}")
    assert other.exists() and other.with_suffix(".png").exists()


def test_any_error_while_saving_is_told(models: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                        capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    def fail(*args: Any) -> None:
        raise RuntimeError("no encoder")

    monkeypatch.setattr("genai.server.sample_saver.write_sample", fail)
    app, _ = create_app(ServeSettings(models=models, samples=str(tmp_path / "samples"), device="cpu"))
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as client:
        job = finished(client, begin(client, model="image", prompt="a", options={"steps": 1}, save=True))
        assert job["state"] == "done" and "could not be saved" in job["save_error"]
    assert capsys.readouterr().err.count("no encoder") == 1


def test_recipes_are_read_once(stored: tuple[TestClient, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from genai.server import gallery

    client, root = stored
    read, count = gallery.read_recipe, []

    def counting(*args: Any) -> Any:
        count.append(args)
        return read(*args)

    monkeypatch.setattr(gallery, "read_recipe", counting)
    paths = [add(root, f"a/{number:03d}") for number in range(3)]
    assert len(entries(client)) == len(entries(client)) == 3 and len(count) == 3
    paths[0].write_text(paths[0].read_text().replace("a cat", "another cat"))
    assert len(entries(client, search="another")) == 1 and len(count) == 4


def test_broken_recipes_are_skipped(stored: tuple[TestClient, Path], tmp_path: Path) -> None:
    client, root = stored
    for number, text in enumerate(["{", "[]", "[" * 100_000, "{}", '{"a": ' * 50 + "1" + "}" * 50, "x" * 5_000_000]):
        add(root, f"b/{number:03d}").write_text(text)
    add(root, "b/100", item=5)
    add(root, "b/101").with_suffix(".png").rename(root / "b/101.exe")
    secret = tmp_path / "secret.png"
    Image.new("RGB", (2, 2)).save(secret)
    linked = add(root, "b/102").with_suffix(".png")
    linked.unlink()
    linked.symlink_to(secret)
    outside = add(tmp_path / "elsewhere", "000")
    (root / "b/103.json").symlink_to(outside)
    (root / "b/103.png").symlink_to(outside.with_suffix(".png"))
    (root / "folder").symlink_to(outside.parent)
    os.mkfifo(root / "b/104.json")
    (root / "b/104.png").write_bytes(b"x")
    assert entries(client) == []
    add(root, "b/200", "whole")
    time.sleep(0.25)
    client.get("/api/samples/none")  # reads the folder again
    assert [entry["prompt"] for entry in entries(client)] == ["whole"]


@pytest.mark.parametrize("name", ["../secret", "..%2Fsecret.txt", "%2e%2e%2fsecret.txt", "a%2F000", "x" * 5000])
def test_ids_are_no_paths(stored: tuple[TestClient, Path], name: str) -> None:
    client, root = stored
    (root.parent / "secret.txt").write_text("secret")
    sample = add(root)
    identifier = entries(client)[0]["id"]
    for address in (f"/api/samples/{name}/file", f"/api/samples/{identifier}/inputs/{name}", f"/api/samples/{name}"):
        response = client.get(address)
        assert response.status_code == 404 or "data" in response.json(), address
        assert "secret" not in response.text
    assert client.delete(f"/api/samples/{name}").status_code in (404, 405) and sample.exists()


def test_only_inputs_in_the_folder_are_sent(stored: tuple[TestClient, Path]) -> None:
    client, root = stored
    secret = root.parent / "secret.txt"
    secret.write_text("secret")
    (root / "link.txt").symlink_to(secret)
    files = {str(secret): HASH, str(root / "link.txt"): HASH, str(root / "a/../../secret.txt"): HASH, "init.txt": HASH}
    add(root, init=str(secret), files=files)
    entry = entries(client)[0]
    assert entry["init"] == "secret.txt" and entry["inputs"] == []
    assert client.get(f"/api/samples/{entry['id']}/inputs/secret.txt").status_code == 404


def test_players_can_ask_for_parts(stored: tuple[TestClient, Path]) -> None:
    client, root = stored
    content = add(root).with_suffix(".png").read_bytes()
    address = f"/api/samples/{entries(client)[0]['id']}/file"
    response = client.get(address, headers={"range": "bytes=4-9"})
    assert response.status_code == 206 and response.content == content[4:10]
    assert response.headers["content-disposition"].startswith("inline")


def test_stars_stay(stored: tuple[TestClient, Path]) -> None:
    client, root = stored
    add(root)
    identifier = entries(client)[0]["id"]
    assert client.put(f"/api/samples/{identifier}/star", json={"starred": True}).status_code == 200
    assert [each["id"] for each in client.get("/api/samples?starred=true").json()["data"]] == [identifier]
    assert entries(client)[0]["starred"] and identifier in (root / "stars.json").read_text()
    assert client.put(f"/api/samples/{identifier}/star", json={"starred": 3}).status_code == 400
    assert client.put("/api/samples/none/star", json={"starred": True}).status_code == 404
    client.put(f"/api/samples/{identifier}/star", json={"starred": False})
    assert not entries(client)[0]["starred"]
    (root / "stars.json").write_text("[" * 100_000)
    assert not entries(client)[0]["starred"]
    assert client.put(f"/api/samples/{identifier}/star", json={"starred": True}).status_code == 400


def test_preferences_are_lines_of_three_keys(stored: tuple[TestClient, Path]) -> None:
    client, root = stored
    assert client.get("/api/preferences").json() == {"count": 0, "file": "preferences.jsonl"}
    assert client.get("/api/preferences/file").status_code == 404
    add(root, "a/000", "one")
    add(root, "a/001", "two")
    for number in range(2):
        add(root, f"b/00{number}", "Say", text="Say" + f" {number}" * 2000)
        add(root, f"c/00{number}", "Ask", text=f"Ask {number}")
    ids = [entry["id"] for entry in entries(client) if entry["kind"] == "image"]
    texts = {"prompt": "a\nb", "chosen": "c", "rejected": "d"}
    assert client.post("/api/preferences", json=texts).json()["count"] == 1
    samples = {"prompt": "one", "chosen_sample": ids[0], "rejected_sample": ids[1]}
    assert client.post("/api/preferences", json=samples).json() == {"count": 1, "file": "media_preferences.jsonl"}
    media = json.loads((root / "media_preferences.jsonl").read_text())
    assert media == {"prompt": "one", "chosen": "a/001.png", "rejected": "a/000.png"}
    long = [entry["id"] for entry in entries(client) if entry["prompt"] == "Say"]
    written = {"prompt": "Say", "chosen_sample": long[0], "rejected_sample": long[1]}
    assert client.post("/api/preferences", json=written).status_code == 400  # longer than the server takes
    texts_of = {entry["text"]: entry["id"] for entry in entries(client)}
    written = {"prompt": "Ask", "chosen_sample": texts_of["Ask 1"], "rejected_sample": texts_of["Ask 0"]}
    assert client.post("/api/preferences", json=written).json()["count"] == 2
    lines = [json.loads(line) for line in client.get("/api/preferences/file").text.splitlines()]
    assert lines[0] == {"prompt": "a\nb", "chosen": "c", "rejected": "d"}
    assert lines[1] == {"prompt": "Ask", "chosen": " 1", "rejected": " 0"}
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    assert client.post("/api/preferences", json={**texts, "prompt": messages}).json()["count"] == 3
    assert json.loads(client.get("/api/preferences/file").text.splitlines()[-1])["prompt"] == messages
    for prompt in ([], [{"role": "user"}], [{"role": "user", "content": 3}], [{"role": "user", "content": "x" * 1001}]):
        assert client.post("/api/preferences", json={**texts, "prompt": prompt}).status_code == 400, prompt
    for change in ({"chosen": "x" * 1001}, {"more": 1}, {"chosen_sample": ids[0]}, {"chosen": 3}, {"rejected": None}):
        assert client.post("/api/preferences", json={**texts, **change}).status_code == 400, change
    assert client.get("/api/preferences").json()["count"] == 3


def test_preferences_follow_no_link(stored: tuple[TestClient, Path]) -> None:
    client, root = stored
    (root.parent / "other").write_text("")
    (root / "preferences.jsonl").symlink_to(root.parent / "other")
    texts = {"prompt": "a", "chosen": "c", "rejected": "d"}
    assert client.post("/api/preferences", json=texts).status_code == 400
    assert not (root.parent / "other").read_text()


def test_other_pages_cannot_change_samples(stored: tuple[TestClient, Path]) -> None:
    client, root = stored
    sample = add(root)
    identifier = entries(client)[0]["id"]
    headers = {"origin": "https://evil.example"}
    assert client.delete(f"/api/samples/{identifier}", headers=headers).status_code == 403 and sample.exists()
    texts = {"prompt": "a", "chosen": "c", "rejected": "d"}
    assert client.post("/api/preferences", json=texts, headers=headers).status_code == 403
    deep = b'{"prompt": ' + b"[" * 100_000
    assert client.post("/api/preferences", content=deep).status_code == 400
