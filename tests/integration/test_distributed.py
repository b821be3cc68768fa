"""Several processes learn what one would."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from genai import checkpoints, runs
from tests.integration.test_resume import rows, run_to

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
    more = command("train", f"resume={two.folder}", "steps=10", cwd=tmp_path)
    assert more.returncode == 0, more.stderr
    assert checkpoints.load(two.last)["genai"]["step"] == 10
    assert [row["step"] for row in rows(two)] == [str(step) for step in range(1, 11)]
