"""Words in a stranger's record: none is interpolated, and none chooses code, files or programs."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from genai.cli.compose import compose
from genai.cli.overrides import recorded_overrides
from genai.runs.run import Run

SECRET = "t0ken-of-the-user"
KEYS = (
    "prompts",
    "seed",
    "batch",
    "steps",
    "minutes",
    "runs",
    "preview_every",
    "data.path",
    "data.val_fraction",
    "modality.block",
    "modality.tokenizer",
    "model.network.width",
    "optimizer.lr",
    "trainer.precision",
    "schedule.warmup",
)
VALUES = (
    "${oc.env:TOKEN}",
    "[${oc.env:TOKEN}]",
    "a${oc.env:TOKEN}b",
    "${oc.decode:${oc.env:TOKEN}}",
    "${oc.select:seed,${oc.env:TOKEN}}",
    "${hydra:runtime.cwd}",
    "'${oc.env:TOKEN}'",
    "\\\\${oc.env:TOKEN}",
    "$\\{oc.env:TOKEN}",
    "[$\\{oc.env:TOKEN}]",
    "$\\\\{oc.env:TOKEN}",
    '"$\\{oc.env:TOKEN}"',
    "{a: ${oc.env:TOKEN}}",
    "${oc.create:{a: ${oc.env:TOKEN}}}",
    "${groups:}",
    "${.seed}",
)


@pytest.fixture
def stranger(trained: Callable[[str], Path], tmp_path: Path) -> Callable[..., Run]:
    """A run whose record has further words."""

    def make(*words: str) -> Run:
        folder = Path(shutil.copytree(trained("text"), tmp_path / "run", dirs_exist_ok=True))
        record = json.loads((folder / "record.json").read_text())
        record["overrides"] += words
        (folder / "record.json").write_text(json.dumps(record))
        return Run(folder)

    return make


@pytest.mark.parametrize("value", VALUES)
def test_no_recorded_word_reads_a_variable(
    value: str, stranger: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    words = recorded_overrides(stranger(*(f"{key}={value}" for key in KEYS), f"+note={value}", f"{value}=3"))
    values = compose("train", words).values
    assert SECRET not in json.dumps(values) and os.getcwd() not in json.dumps(values["prompts"])


@pytest.mark.parametrize(
    "word",
    [
        "plugins=[os]",
        "+plugins=[os]",
        "++plugins=[os]",
        "~plugins",
        "hydra.searchpath=[file:///tmp]",
        "hydra/launcher=x",
        "hydra.run.dir=/tmp",
        "data=/etc/passwd",
        "data=../../x",
        "model=file:///tmp/x",
        "experiment=/tmp/x",
        "workers=64",
        "data.download=true",
        "data@model=stdlib",
        "+data@here=stdlib",
        "--config-dir=/tmp",
        "-m",
        "--help",
        "resume=auto",
        "init_from=/tmp/x",
        "prompts=[" + "a" * 100_000 + "]",
        "seed=" + "9" * 100_000,
        "logger=/tmp/x",
        "logger.tracking_uri=http://evil.example",
        "++logger.tracking_uri=http://evil.example",
        "profile=true",
        "fast_dev_run=1",
        3,
        None,
        ["seed=3"],
        {"seed": 3},
    ],
)
def test_a_recorded_word_that_chooses_code_or_files_is_passed_over(word: object, stranger: Callable[..., Run]) -> None:
    assert recorded_overrides(stranger(word)) == recorded_overrides(stranger())


def test_a_path_that_looks_like_a_variable_is_a_path(stranger: Callable[..., Run]) -> None:
    words = recorded_overrides(stranger("data.path=/tmp/${oc.env:TOKEN}/a"))
    assert compose("train", words).values["data"]["path"] == "/tmp/${oc.env:TOKEN}/a"
