"""``python -m genai.train -m``: several runs, one after the other."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from genai.cli.compose import _create_sweep_folder
from genai.runs.run import all_runs

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_a_run_that_fails_is_named_and_the_others_go_on(small: list[str], tmp_path: Path, inside: Command) -> None:
    words = [word for word in small if not word.startswith(("runs=", "batch="))]
    done = inside("train", *words, "steps=1", "-m", "batch=4,0,2", f"runs={tmp_path / 'a b, c'}", cwd=tmp_path)
    assert done.returncode == 2
    assert "error: batch=0: it should be" in done.stderr
    assert done.stderr.splitlines()[-1] == "1 of the runs failed: 1 (batch=0)"
    runs = {run.folder.name: run for run in all_runs(tmp_path / "a b, c")}
    assert runs.keys() == {"0", "2"} and not (runs["0"].folder.parent / "1").exists()
    assert f"runs={tmp_path / 'a b, c'}" in runs["2"].record.overrides and "batch=2" in runs["2"].record.overrides


def test_each_sweep_has_its_own_folder(tmp_path: Path) -> None:
    folders = {_create_sweep_folder(str(tmp_path), "2026-01-31", "12-00-00") for _ in range(2)}
    assert {Path(folder).name for folder in folders} == {"12-00-00-multirun", "12-00-00-multirun-2"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hydra.sweep.dir=old"], "hydra.sweep.dir=old: the runs of another -m are there"),
        (["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"], "-m trains in one process"),
        (["data.path=a,b"], "a,b: there is no such file"),
    ],
)
def test_what_a_sweep_cannot_do_is_refused(
    words: list[str], message: str, small: list[str], tmp_path: Path, inside: Command
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "multirun.yaml").touch()
    keys = {word.partition("=")[0] for word in words}
    kept = [word for word in small if word.partition("=")[0] not in keys]
    done = inside("train", "--multirun", *kept, *words, "seed=0,1", cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr
    assert list(all_runs(tmp_path)) == []
