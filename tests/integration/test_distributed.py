"""Several processes learn what one would."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from genai import checkpoints, runs
from tests.conftest import ROOT
from tests.integration.test_resume import assert_same_state, rows, run_to, wait_for_steps

Command = Callable[..., subprocess.CompletedProcess[str]]
TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")


def test_two_processes_follow_the_curve_of_one_with_twice_the_batch(
    small: list[str], tmp_path: Path, command: Command
) -> None:
    done = command("train", *small, "steps=8", *TWO, "accumulate=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    two = next(runs.all_runs(tmp_path / "runs"))
    one = run_to(small, "steps=8", "batch=8")
    for a, b in zip(rows(one), rows(two), strict=True):
        for name in ("loss", "grad_norm", "val_loss"):
            assert (a[name] == b[name] == "") or float(a[name]) == pytest.approx(float(b[name]), rel=1e-4), (a, b)
    assert two.record["devices"] == 2 and two.record["finished"]


def test_two_processes_that_are_stopped_go_on_together_and_end_with_the_same_bits(
    each: list[str], tmp_path: Path, command: Command
) -> None:
    words = [*each, "steps=60", "validate_every=20", *TWO]
    done = command("train", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    whole = next(runs.all_runs(tmp_path / "runs"))
    words = [word.replace(str(tmp_path / "runs"), str(tmp_path / "stopped")) for word in words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-m", "genai.train", *words], env=environment, cwd=tmp_path)
    run = runs.Run(wait_for_steps(tmp_path / "stopped", 5).parent)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    step = checkpoints.load(run.last)["genai"]["step"]
    assert 5 <= step < 60
    more = command("train", *words, "resume=auto", cwd=tmp_path)
    assert more.returncode == 0 and f"resuming from step {step} " in more.stdout, more.stderr
    assert [other.folder for other in runs.all_runs(tmp_path / "stopped")] == [run.folder]
    assert rows(whole) == rows(run)
    assert_same_state(whole, run)
