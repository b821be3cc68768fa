"""Files beside a run, a sample or a picture that are something else: pipes, devices, links, huge files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from genai.cli.compose import compose
from genai.cli.overrides import recorded_overrides
from genai.commands.page import page
from genai.commands.sample import sample
from genai.data.captions import read_captions
from genai.inference.model import load
from genai.report.plots import line_chart, read_losses
from genai.runs.run import Run
from genai.training.loggers import MetricsFile
from tests.hostile.attempts import NO_FILES, attempt, noise, replace

Make = Callable[[Path], None]
Trained = Callable[[str], Path]
Capture = pytest.CaptureFixture[str]
makes = pytest.mark.parametrize("make", NO_FILES, ids=lambda make: make.__name__)


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    """The folder of a small run, to change."""
    return Path(shutil.copytree(trained("text"), tmp_path / "run"))


@makes
@pytest.mark.parametrize("name", ["record.json", "checkpoints/best.ckpt.sha256"])
def test_a_part_of_a_run_that_is_no_file_is_named_when_the_run_is_loaded(
    name: str, make: Make, run: Path, capfd: Capture
) -> None:
    replace(run / name, make)
    answer = attempt(lambda: load(run / "checkpoints" / "best.ckpt"), capfd)
    assert answer.code == 2 and Path(name).name in answer.lines[-1]


@makes
def test_a_checkpoint_that_is_no_file_is_passed_over(make: Make, run: Path, capfd: Capture) -> None:
    replace(run / "checkpoints" / "best.ckpt", make)
    answer = attempt(lambda: print(load(run).file), capfd)
    assert answer.code == 0


@makes
def test_a_config_that_is_no_file_is_named_when_the_run_is_continued(make: Make, run: Path, capfd: Capture) -> None:
    replace(run / "config.yaml", make)
    answer = attempt(lambda: recorded_overrides(Run(run)), capfd)
    assert answer.code == 2 and "config.yaml" in answer.lines[-1]


@makes
def test_metrics_that_are_no_file_are_named(make: Make, run: Path, capfd: Capture) -> None:
    replace(run / "metrics.csv", make)
    answer = attempt(lambda: read_losses(run / "metrics.csv"), capfd)
    assert answer.code == 2 and "metrics.csv" in answer.lines[-1]


@makes
@pytest.mark.parametrize("name", ["000.json", "000.txt"])
def test_a_page_passes_over_what_is_no_sample(
    name: str, make: Make, run: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        make_sample(run, tmp_path / "samples" / "x", f"{number:03d}")
    replace(tmp_path / "samples" / "x" / name, make)
    answer = attempt(lambda: page(compose("page", [f"ckpt={run}"])), capfd)
    assert answer.code == 0 and any(name in line or "000.json" in line for line in answer.lines)
    assert "the second" in (tmp_path / "page.html").read_text()


@makes
@pytest.mark.parametrize("key", ["from", "init", "prompts_file"])
def test_an_input_that_is_no_file_is_named(
    key: str, make: Make, run: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = replace(tmp_path / "given", make)
    words = [f"ckpt={run}", f"{key}={place}", f"runs={tmp_path}"]
    answer = attempt(lambda: sample(compose("sample", words), {"length": "2"}), capfd)
    assert answer.code == 2 and "given" in answer.lines[-1]
    assert not (tmp_path / "samples").exists()


@makes
@pytest.mark.parametrize("name", ["a.txt", "a.caption", "metadata.csv", "metadata.jsonl"])
def test_captions_that_are_no_files_are_noted(name: str, make: Make, tmp_path: Path, capfd: Capture) -> None:
    (tmp_path / "a.png").touch()
    place, notes = replace(tmp_path / name, make), []
    answer = attempt(
        lambda: notes.extend(read_captions([tmp_path / "a.png", place], [tmp_path / "a.png"], "pictures").notes), capfd
    )
    assert answer.code == 0
    assert any(name in note for note in notes) or (make is noise and name.endswith("l"))


def make_sample(run: Path, folder: Path, name: str) -> None:
    """A sample of a run with its recipe, as ``genai.sample`` writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = (run / "checkpoints" / "best.ckpt.sha256").read_text().split()[0]
    recipe = {
        "prompt": "p", "seed": 0, "options": {}, "init": None, "files": {}, "step": 6, "weights": "ema", "item": 0,
        "checkpoint": str(run / "checkpoints" / "best.ckpt"), "checkpoint_sha256": digest,
        "batch": [{"prompt": "p", "seed": 0}],
    }  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps(recipe))
    (folder / f"{name}.txt").write_text("the second" if name == "001" else "the first")


ROWS = {
    "opposite": ["1e308", "-1e308"],
    "infinite": ["inf", "1"],
    "nan": ["nan", "nan"],
    "tiny": ["1e-320", "1"],
    "zero": ["0", "0"],
    "equal": ["3", "3"],
    "huge": ["1e31", "2"],
    "words": ["one", "two"],
    "empty": ["", ""],
    "long": ["9" * 400, "1"],
    "underscore": ["1_0", "2"],
    "unicode": ["٣", "٤"],
    "negative": ["-1", "-2"],
}


@pytest.mark.parametrize("kind", ROWS)
def test_odd_losses_make_a_chart_or_a_line(kind: str, tmp_path: Path, capfd: Capture) -> None:
    rows = [f"{step},{value}" for step, value in enumerate(ROWS[kind])]
    (tmp_path / "metrics.csv").write_text("\n".join(["step,loss", *rows, "7"]) + "\n")
    charts: list[str] = []
    answer = attempt(lambda: charts.append(line_chart(read_losses(tmp_path / "metrics.csv"), "x", "y")), capfd)
    assert answer.code == (2 if kind in ("words",) else 0)
    assert not charts or not {"nan", "inf"} & set(charts[0].replace("'", " ").replace(",", " ").split())


METRICS = {
    "no step": "a,b\n1,2\n",
    "digits": "step,loss\n" + "9" * 5000 + ",1\n",
    "long field": "step,loss\n1," + "x" * 200_000 + "\n",
    "rows": "step\n" + "0\n" * 1_000_001,
    "nul": "step,loss\n1,\0\n",
    "quotes": 'step,loss\n1,"2\n',
    "twice": "step,step\n1,2\n",
    "empty": "",
    "one line": "step,loss",
    "negative": "step,loss\n-1,2\n",
    "words": "step,loss\none,two\n",
    "other": "step;loss\n1;2\n",
}


@pytest.mark.parametrize("kind", METRICS)
def test_odd_metrics_are_continued_or_named(kind: str, tmp_path: Path, capfd: Capture) -> None:
    (tmp_path / "metrics.csv").write_text(METRICS[kind])
    answer = attempt(lambda: MetricsFile(tmp_path / "metrics.csv", 10).add(11, {"loss": 1.0, "new": 2.0}), capfd)
    assert answer.code == (2 if kind in ("no step", "long field", "rows", "other") else 0)
    if not answer.code:
        assert (tmp_path / "metrics.csv").read_text().splitlines()[-1].startswith("11,")
