import csv
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

import genai
from genai.core.errors import UserError
from genai.training.loggers import MetricsFile, MLflowLogger
from tests.stubs import MLflowStub, WandbStub


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.csv"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def steps(path: Path) -> list[int]:
    return [int(row["step"]) for row in rows(path)]


def test_rows_are_there_as_soon_as_they_are_added(path: Path) -> None:
    metrics = MetricsFile(path, 0)
    assert path.read_bytes() == b"step\n"
    metrics.add(1, {"loss": 0.5, "lr": 1 / 3})
    assert path.read_bytes() == b"step,loss,lr\n1,0.5,0.33333333\n"
    metrics.add(2, {"lr": 0.1, "loss": 2.0})
    assert path.read_bytes() == b"step,loss,lr\n1,0.5,0.33333333\n2,2,0.1\n"


def test_a_new_value_adds_a_column_behind_the_others(path: Path) -> None:
    metrics = MetricsFile(path, 0)
    metrics.add(1, {"loss": 1.0})
    metrics.add(2, {"val_loss": 3.0, "loss": 2.0})
    metrics.add(3, {"val_loss": 4.0})
    metrics.add(4, {})
    assert path.read_text().splitlines() == ["step,loss,val_loss", "1,1,", "2,2,3", "3,,4", "4,,"]


@pytest.mark.parametrize(("at", "kept"), [(0, []), (3, [1, 2, 3]), (99, [1, 2, 3, 4, 5])])
def test_a_resumed_run_drops_what_came_after_its_checkpoint(path: Path, at: int, kept: list[int]) -> None:
    metrics = MetricsFile(path, 0)
    for step in range(1, 6):
        metrics.add(step, {"loss": step / 10})
    before = path.read_text()
    resumed = MetricsFile(path, at)
    assert steps(path) == kept
    assert before.startswith(path.read_text())
    resumed.add(at + 1, {"loss": 0.9, "lr": 1.0})
    assert steps(path) == [*kept, at + 1]
    assert rows(path)[-1] == {"step": str(at + 1), "loss": "0.9", "lr": "1"}


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_torn_last_line_is_dropped(path: Path, cut: int) -> None:
    """However little is missing: half a number is a number, too."""
    metrics = MetricsFile(path, 0)
    metrics.add(7, {"loss": 0.25})
    metrics.add(8, {"loss": 0.125})
    whole = path.read_bytes()
    assert whole.endswith(b"\n8,0.125\n")
    path.write_bytes(whole[:-cut])
    resumed = MetricsFile(path, 8)
    assert steps(path) == [7]
    resumed.add(8, {"loss": 0.125})
    assert path.read_bytes() == whole


@pytest.mark.parametrize("line", ["9", "9,1,2,3", "nonsense,1", "9.5,1", ",1"])
def test_a_line_that_does_not_fit_is_dropped(path: Path, line: str) -> None:
    path.write_text(f"step,loss\n7,0.5\n{line}\n8,0.25\n")
    MetricsFile(path, 100)
    assert path.read_text() == "step,loss\n7,0.5\n8,0.25\n"


@pytest.mark.parametrize("content", ["", "\n", "step\n"])
def test_an_empty_file_is_begun_anew(path: Path, content: str) -> None:
    path.write_text(content)
    MetricsFile(path, 5).add(6, {"loss": 1.0})
    assert path.read_text() == "step,loss\n6,1\n"


def test_numbers_that_are_not_finite_are_written_as_such(path: Path) -> None:
    MetricsFile(path, 0).add(1, {"a": float("nan"), "b": float("inf"), "c": 1e-12})
    assert rows(path) == [{"step": "1", "a": "nan", "b": "inf", "c": "1e-12"}]


def test_csv_alone_writes_no_event_files(small: list[str]) -> None:
    model = genai.fit(*small, "logger=csv", "steps=2")
    assert model.file
    run = model.file.parent.parent
    assert not (run / "tensorboard").exists() and len(rows(run / "metrics.csv")) == 2
    assert any((run / "previews").iterdir())


def test_wandb_gets_every_row_and_the_config(small: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", fake := WandbStub())  # type: ignore[arg-type]
    model = genai.fit(*small, "logger=wandb", "logger.project=mine", "steps=3")
    assert fake.inits[0]["project"] == "mine" and fake.inits[0]["config"]["steps"] == 3
    assert model.file and fake.inits[0]["name"] == model.file.parent.parent.name
    assert [step for step, _ in fake.logs] == [1, 2, 3] and "loss/train" in fake.logs[0][1]
    assert fake.finished
    assert "dir" not in fake.inits[0]  # wandb would read settings in a run, which may be a stranger's
    genai.fit(f"resume={model.file.parent.parent}", "steps=4")
    assert fake.inits[1]["id"] == fake.inits[0]["id"] and fake.logs[-1][0] == 4


def test_mlflow_gets_every_row(small: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", fake := MLflowStub())  # type: ignore[arg-type]
    model = genai.fit(*small, "logger=mlflow", "logger.tracking_uri=there", "steps=2")
    names = [name for name, _ in fake.calls]
    assert names == ["set_tracking_uri", "set_experiment", "start_run", "log_metrics", "log_metrics", "end_run"]
    assert fake.calls[0][1] == ("there",) and fake.calls[4][1][1] == 2
    assert model.file
    genai.fit(f"resume={model.file.parent.parent}", "steps=3", "logger.tracking_uri=there")
    assert fake.calls[8] == ("start_run", ("abc",))


def test_mlflow_gets_names_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", fake := MLflowStub())  # type: ignore[arg-type]
    MLflowLogger().add(1, {"loss": 1.0, "val_kl(q:p)": 2.0})
    assert fake.calls == [("log_metrics", ({"loss/train": 1.0, "val/kl-q-p-": 2.0}, 1))]


@pytest.mark.parametrize(
    ("name", "stub", "error", "hint"),
    [
        ("wandb", WandbStub, WandbStub.Error, "wandb login"),
        ("mlflow", MLflowStub, MLflowStub.MlflowException, "sqlite:///mlflow.db"),
    ],
)
def test_a_logger_that_cannot_start_is_two_lines(
    name: str, stub: type, error: type[Exception], hint: str, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = stub()
    monkeypatch.setitem(sys.modules, name, fake)
    monkeypatch.setattr(
        fake, "init" if name == "wandb" else "set_experiment", Mock(side_effect=error("no place\nmore"))
    )
    with pytest.raises(UserError, match=f"no place\n.*{hint}"):
        genai.fit(*small, f"logger={name}", "steps=1")


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_logger_that_is_not_installed_is_said_before_anything_is_written(
    name: str, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=f"logger={name} needs the package {name}: pip install {name}"):
        genai.fit(*small, f"logger={name}", "steps=1")
    assert not (tmp_path / "runs").exists()
