"""Kills at any moment, numbers that are not numbers, memory that is not there."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from genai.core.errors import RunError
from genai.methods.autoregressive import Autoregressive
from genai.runs.checkpoint import load_checkpoint
from genai.runs.run import Run, all_runs
from tests.conftest import ROOT
from tests.integration.test_resume import assert_same_state, go_on, rows, run_to, wait_for_steps


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_like_one_that_never_was(small: list[str], tmp_path: Path) -> None:
    whole = run_to(small, "steps=300", "checkpoint_every=1")
    words = [word for word in small if not word.startswith("runs=")]
    start = [
        sys.executable,
        "-m",
        "genai.train",
        *words,
        f"runs={tmp_path / 'killed'}",
        "steps=300",
        "checkpoint_every=1",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    draw = random.Random(0)
    command, target_step = start, 20
    for _ in range(6):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        metrics = wait_for_steps(tmp_path / "killed", target_step)
        time.sleep(
            draw.random() / 5
        )  # with a checkpoint at each step most of these moments are in the middle of saving
        process.send_signal(signal.SIGKILL)
        process.wait()
        run = Run(metrics.parent)
        file, _, passed_over = run.load("last")
        assert file.name == "last.ckpt" and not passed_over
        command, target_step = [sys.executable, "-m", "genai.train", f"resume={run.folder}"], len(rows(run)) + 10
    finished = go_on(run)
    assert_same_state(whole, finished)
    assert rows(whole) == rows(finished)


def test_a_loss_that_is_not_a_number_stops_the_run(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Autoregressive.loss
    steps = iter(range(1000))

    def poisoned(self: Autoregressive, batch: object, network_name: str = "model") -> dict[str, torch.Tensor]:
        losses = original(self, batch, network_name)  # type: ignore[arg-type]
        return {"loss": losses["loss"] * float("nan")} if self.training and next(steps) == 7 else losses

    monkeypatch.setattr(Autoregressive, "loss", poisoned)
    with pytest.raises(RunError, match=r"step 8: loss is nan, and so is the gradient of \w+"):
        run_to(small, "steps=20", "checkpoint_every=3")
    run = next(all_runs(tmp_path / "runs"))
    state = load_checkpoint(run.last)
    assert state["genai"]["step"] == 6
    assert all(torch.isfinite(value).all() for value in state["state_dict"].values())
    assert not run.record.finished


def test_a_save_that_fails_in_its_thread_ends_the_run_and_is_not_recorded(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genai.training import checkpoint_io

    original, paths = checkpoint_io.save_checkpoint, list[Path]()

    def save(state: Any, path: Path) -> str:
        paths.append(path)
        if len(paths) == 2:
            raise RunError("cannot save it: the disk is full")
        time.sleep(0.05)
        return original(state, path)

    monkeypatch.setattr(checkpoint_io, "save_checkpoint", save)
    with pytest.raises(RunError, match="the disk is full"):
        run_to(small, "steps=300", "checkpoint_every=20", "val_every=1000")
    run = next(all_runs(tmp_path / "runs"))
    assert load_checkpoint(run.last)["genai"]["step"] == run.record.steps == 20
    assert not run.record.finished and len(paths) == 2


def test_a_finished_run_has_saved_its_last_step(small: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from genai.training import checkpoint_io

    original = checkpoint_io.save_checkpoint

    def save(state: Any, path: Path) -> str:
        time.sleep(0.3)  # longer than all steps
        return original(state, path)

    monkeypatch.setattr(checkpoint_io, "save_checkpoint", save)
    run = run_to(small, "steps=7", "checkpoint_every=3", "val_every=7")
    assert load_checkpoint(run.last)["genai"]["step"] == load_checkpoint(run.best)["genai"]["step"] == 7
    assert run.record.steps == 7 and run.record.finished and run.record.best.step == 7  # type: ignore[union-attr]


def test_out_of_memory_names_three_things_to_try(small: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Autoregressive, "loss", full)
    with pytest.raises(RunError, match=r"accumulate=2 .*batch=2, .*bf16"):
        run_to(small, "steps=20")
    with pytest.raises(RunError, match=r"(?s)batch=1 accumulate=1.*bf16-mixed, a smaller") as output:
        run_to(small, "steps=20", "batch=1")
    assert "accumulate=2" not in str(output.value)


@pytest.mark.slow
def test_a_disk_that_is_full_ends_the_run_with_path_and_bytes(small: list[str], tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
        "sys.argv[0] = 'train'; from genai.train import main; main()"
    )
    words = [sys.executable, "-c", code, *small, "steps=3"]
    run_to(small, "steps=1")  # the packed text is there already: what is full is the place of the run
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=200
    )
    assert done.returncode == 1, done.stderr
    assert "cannot save" in done.stderr and ".ckpt" in done.stderr and "bytes" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.tmp"))
