"""The check for copies at the end of a run: what it records, prints and leaves alone."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import genai
from genai.core.errors import NonFiniteOutput, UserError
from genai.metrics.copying import Copying, CopyingResult
from genai.runs.run import Run
from genai.training import copying_check
from genai.training.copying_check import CopyingCheck

KEYS = {
    "alarm", "copies", "nearer_train", "p", "samples", "train_items", "held_out_items",
    "canaries", "canaries_p", "note",
}  # fmt: skip
TIMES = ("samples_per_s", "memory_mb")


def measure(copies: float = 0.0, p: float = 0.5, smallest_p: float = 1e-4) -> CopyingResult:
    return CopyingResult(copies, 0.0, 0.9, 0.5, p, smallest_p, 40, 60, 20)


class KnownResult(Copying):
    """Finds what it is given."""

    def __init__(self, found: CopyingResult | Exception) -> None:
        super().__init__()
        self.found = found

    def neighbors(self, context: Any) -> Any:
        raise NotImplementedError

    def measure(self, context: Any) -> CopyingResult:
        assert 24 <= context.n <= 64
        self.before_chunk()
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def check(
    found: CopyingResult | Exception, folder: Path, seconds: float = 300, preview_seconds: float | None = 1.0
) -> tuple[dict[str, Any], str]:
    """Return what a check records, and its line."""
    setup: Any = SimpleNamespace(
        settings=SimpleNamespace(copying_check=False, seed=0),
        source=None,
        modality=None,
        method=None,
        prompts=range(8),
    )
    checker = CopyingCheck(setup, Run(folder))
    checker.metric = KnownResult(found)
    checker.check(seconds, preview_seconds)
    record: dict[str, Any] = json.loads((folder / "record.json").read_text())["copying"]
    assert set(record) == KEYS
    return record, checker.line


def test_copies_are_an_alarm(tmp_path: Path) -> None:
    record, line = check(measure(copies=0.4, p=0.0002), tmp_path)
    assert record["alarm"] is True and record["copies"] == 0.4 and record["p"] == 0.0002
    assert "16 of 40 samples are copies of training items (p = 0.0002)" in line


def test_nothing_is_printed_without_copies(tmp_path: Path) -> None:
    record, line = check(measure(), tmp_path)
    assert record["alarm"] is False and line == ""
    assert (record["samples"], record["train_items"], record["held_out_items"]) == (40, 60, 20)


@pytest.mark.parametrize(
    ("found", "seconds", "preview_seconds", "reason"),
    [
        (measure(copies=0.4, smallest_p=0.2), 300, 1.0, "too few to test (20)"),
        (measure(), 10, 1.0, "more than 5% of the training"),
        (measure(), 300, None, "more than 5% of the training"),
        (NonFiniteOutput("the model computes nonsense."), 300, 1.0, "the model computes nonsense"),
    ],
)
def test_what_cannot_be_checked_says_why(
    found: CopyingResult | Exception, seconds: float, preview_seconds: float | None, reason: str, tmp_path: Path
) -> None:
    record, line = check(found, tmp_path, seconds, preview_seconds)
    assert record["alarm"] is None and reason in record["note"]
    assert reason in line


def test_a_slow_comparison_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 0.0, 100.0])
    monkeypatch.setattr(copying_check.time, "monotonic", lambda: next(times))
    record, _ = check(measure(copies=1.0, p=0.0), tmp_path)
    assert record["alarm"] is None


@pytest.fixture
def much_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying_check, "MAX_FRACTION", 1e6)
    monkeypatch.setattr(copying_check, "MAX_SECONDS", 1e6)


def fit(words: list[str], tmp_path: Path, *more: str) -> tuple[Run, list[dict[str, Any]], dict[str, torch.Tensor]]:
    """Train, and return the run, its metrics without times, and its weights."""
    run = genai.fit(*words, *more, f"runs={tmp_path / 'runs'}").run
    assert run
    with (run.folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = [{name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)]
    weights = torch.load(run.last, weights_only=True)["state_dict"]
    return run, rows, weights


@pytest.mark.usefixtures("much_time")
def test_a_run_records_the_check_which_changes_nothing(small: list[str], tmp_path: Path, capfd: Any) -> None:
    words = [*small, "steps=4", "data.canaries=6"]
    run, rows, weights = fit(words, tmp_path)
    record = json.loads(run.record_file.read_text())["copying"]
    assert set(record) == KEYS and record["samples"] >= 10 and record["canaries"] == 6
    assert record["alarm"] is False and 0.01 < record["canaries_p"] <= 1
    assert "copying " not in capfd.readouterr().out
    other, other_rows, other_weights = fit(words, tmp_path, "copying_check=false")
    assert "copying" not in json.loads(other.record_file.read_text()) or other.record.copying is None
    assert rows == other_rows
    assert all(torch.equal(value, other_weights[name]) for name, value in weights.items())


def test_a_resumed_run_with_canaries_equals_one_that_never_stopped(small: list[str], tmp_path: Path) -> None:
    words = [*small, "data.canaries=6", "schedule.cooldown=0"]
    _, _, whole = fit(words, tmp_path, "steps=6")
    stopped, _, _ = fit(words, tmp_path, "steps=6", "fast_dev_run=3")
    resumed, _, weights = fit([], tmp_path, f"resume={stopped.folder}", "fast_dev_run=null")
    assert resumed.record.steps == 6 and all(torch.equal(value, weights[name]) for name, value in whole.items())
    with pytest.raises(UserError, match="not what this run was trained on"):
        genai.fit(f"resume={stopped.folder}", "data.canaries=0", "steps=9")


def test_runs_without_a_meaning_are_not_checked(
    trained: Callable[[str], Path], small: list[str], tmp_path: Path, capfd: Any
) -> None:
    for kind in ("enhancer", "soundtrack"):
        assert Run(trained(kind)).record.copying is None
    assert Run(trained("image")).record.copying is not None
    capfd.readouterr()
    run = genai.fit(*small, "steps=2", "overfit_items=4").run
    assert run and run.record.copying is None and "copying" not in capfd.readouterr().out
