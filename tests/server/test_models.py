"""Models by id: found, loaded when asked for, dropped when memory is short, refused when damaged."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from genai.runs.run import Run
from genai.server.app import create_app
from genai.server.models import ModelStore, weight_bytes
from genai.server.openai_errors import APIError
from genai.server.settings import ServeSettings
from tests.conftest import copy_run

GIB = 2**30


def store(max_bytes: int = GIB, **named: Path) -> ModelStore:
    return ModelStore("runs", {name: str(path) for name, path in named.items()}, max_bytes, "cpu", ())


def test_every_finished_run_is_a_model(
    trained: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copy_run(trained("text"), tmp_path)
    unfinished = copy_run(trained("text"), tmp_path, "13:00:00")
    Run(unfinished).write_record(finished=None)
    monkeypatch.setattr("genai.server.models.package_file", lambda: None)
    models = ModelStore(str(tmp_path), None, GIB, "cpu", ())
    entries = models.entries()
    assert list(entries) == [f"2026-01-30_{run.name}"] and not models.has_chat(*next(iter(entries.items())))
    entry = entries[f"2026-01-30_{run.name}"]
    assert entry.modality == "text" and entry.created > 1.7e9 and entry.source == run


@pytest.mark.parametrize("finished", ["yes", "0001-01-01T00:00:00", "9999-12-31T23:59:59", "2026-13-01"])
def test_a_time_that_is_none_hides_no_model(trained: Callable[[str], Path], tmp_path: Path, finished: str) -> None:
    copy_run(trained("text"), tmp_path)
    Run(copy_run(trained("text"), tmp_path, "13:00:00")).write_record(finished=finished)
    assert len({*ModelStore(str(tmp_path), None, GIB, "cpu", ()).entries()} - {"smollm2"}) == 2


def test_the_chat_model_of_a_package_is_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai.server.models.package_file", lambda: tmp_path / "model.gguf")
    models = ModelStore(str(tmp_path), None, GIB, "cpu", ())
    ((name, entry),) = models.entries().items()
    assert name == "smollm2" and models.has_chat(name, entry) and entry.source == tmp_path / "model.gguf"


def test_the_least_recently_used_model_leaves(trained: Callable[[str], Path]) -> None:
    run = trained("text")
    models = store(a=run, b=run, c=run)
    size = weight_bytes(models.acquire("a").method)
    models.release("a")
    models.max_bytes = 2 * size
    for name, loaded in (("b", ["a", "b"]), ("a", ["b", "a"]), ("c", ["a", "c"])):
        models.acquire(name)
        models.release(name)
        assert models.loaded == loaded


def test_a_model_in_use_stays(trained: Callable[[str], Path]) -> None:
    run = trained("text")
    models = store(a=run, b=run)
    models.max_bytes = weight_bytes(models.acquire("a").method)
    with pytest.raises(APIError, match="memory") as refused:
        models.acquire("b")
    assert refused.value.status == 503 and refused.value.retry_after and models.loaded == ["a"]
    models.release("a")
    models.acquire("b")
    assert models.loaded == ["b"]


def test_a_damaged_model_is_one_error(
    trained: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(trained("text"), tmp_path / "run"))
    for file in (run / "checkpoints").glob("*.ckpt"):
        file.write_bytes(file.read_bytes()[:-100])
    models = store(bad=run, good=trained("text"))
    for _ in range(3):
        with pytest.raises(APIError, match="damaged") as refused:
            models.acquire("bad")
        assert refused.value.status == 503 and str(tmp_path) not in refused.value.message
    assert capsys.readouterr().err.count(str(tmp_path)) >= 1
    assert models.acquire("good")


def test_other_models_answer_beside_a_damaged_one(trained: Callable[[str], Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained("text"), tmp_path / "run"))
    for file in (run / "checkpoints").glob("*.ckpt"):
        file.write_bytes(b"")
    app, _ = create_app(ServeSettings(models=f"{{bad: '{run}', good: '{trained('text')}'}}", device="cpu"))
    with TestClient(app, base_url="http://localhost") as client:
        for name, status in (("bad", 503), ("good", 200), ("bad", 503)):
            response = client.post("/v1/completions", json={"model": name, "prompt": "a", "max_tokens": 1})
            assert response.status_code == status
        assert response.json()["error"]["code"] == "model_damaged" and response.headers["retry-after"]


def test_an_unknown_name_has_a_hint(trained: Callable[[str], Path]) -> None:
    with pytest.raises(APIError, match="Did you mean 'flowers'") as refused:
        store(flowers=trained("text")).acquire("flower")
    assert refused.value.status == 404 and refused.value.code == "model_not_found"


def test_a_model_has_a_name_for_people() -> None:
    from genai.runs.record import RunRecord
    from genai.server.models import run_title

    started = "2026-01-31T12:03:04"
    assert run_title(RunRecord(started=started, modality="image", overrides=["name=my cats", "steps=3"])) == "my cats"
    assert run_title(RunRecord(started=started, modality="image", overrides=["name=null"])) == "Image, 2026-01-31 12:03"
    assert run_title(RunRecord(overrides=["name=a\033[2J" + "b" * 200])) == "a?[2J" + "b" * 75
