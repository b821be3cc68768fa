"""Several processes learn what one would."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import genai
from genai.runs.checkpoint import load_checkpoint
from genai.runs.run import Run, all_runs
from genai.runs.sharded_checkpoint import is_manifest, read_manifest
from tests.conftest import ROOT
from tests.integration.test_resume import KINDS, assert_same_state, flat, go_on, rows, run_to, wait_for_steps

Command = Callable[..., subprocess.CompletedProcess[str]]
TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")


def assert_same_curve(one: Run, two: Run) -> None:
    for a, b in zip(rows(one), rows(two), strict=True):
        for name in ("loss", "grad_norm", "val_loss"):
            assert (a[name] == b[name] == "") or float(a[name]) == pytest.approx(float(b[name]), rel=1e-4), (a, b)


@pytest.mark.slow
def test_two_processes_follow_the_curve_of_one_with_twice_the_batch(
    small: list[str], tmp_path: Path, command: Command
) -> None:
    done = command("train", *small, "steps=6", *TWO, "accumulate=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    two = next(all_runs(tmp_path / "runs"))
    one = run_to(small, "steps=6", "batch=8")
    assert_same_curve(one, two)
    assert two.record.devices == 2 and two.record.finished


@pytest.mark.slow
def test_two_processes_learn_answers_of_different_length_as_one_does(tmp_path: Path, command: Command) -> None:
    rows = [{"source": f"{number}" * (1 + number % 7), "target": "a" * (1 + number % 11)} for number in range(60)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = [
        "experiment=sft", f"data.path={tmp_path / 'rows.jsonl'}", "modality.tokenizer=bytes",
        "modality.vocab_size=null",
        "modality.block=32", "model.network.layers=1", "model.network.width=16",
        "model.network.ngram_rows=64", "model.network.heads=2", "batch=4", "val_every=3", "log_every=1",
        "preview_every=100", "trainer.threads=1",
        f"runs={tmp_path / 'runs'}",
    ]  # fmt: skip
    done = command("train", *words, "steps=6", *TWO, "accumulate=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    two = next(all_runs(tmp_path / "runs"))
    assert_same_curve(run_to(words, "steps=6", "batch=8", "trainer=cpu"), two)


@pytest.mark.slow
@pytest.mark.parametrize("each", KINDS, indirect=True)
def test_two_processes_that_are_stopped_go_on_together_and_end_with_the_same_bits(
    each: list[str], tmp_path: Path, command: Command
) -> None:
    words = [*each, "steps=40", "val_every=20", *TWO]
    done = command("train", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    whole = next(all_runs(tmp_path / "runs"))
    words = [word.replace(str(tmp_path / "runs"), str(tmp_path / "stopped")) for word in words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-m", "genai.train", *words], env=environment, cwd=tmp_path)
    run = Run(wait_for_steps(tmp_path / "stopped", 5).parent)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    step = load_checkpoint(run.last)["genai"]["step"]
    assert 5 <= step < 40
    more = command("train", *words, "resume=auto", cwd=tmp_path)
    assert more.returncode == 0 and f"resuming from step {step} " in more.stdout, more.stderr
    assert [other.folder for other in all_runs(tmp_path / "stopped")] == [run.folder]
    assert rows(whole) == rows(run)
    assert_same_state(whole, run)


def sharded(*words: str, processes: int = 2) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("sharded_on_cpu.py")), *words],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PROCESSES": str(processes)},
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "tolerance"), [("adamw", 1e-5), ("muon", 2e-3)])
@pytest.mark.parametrize("each", ["text", "image", "shortcut"], indirect=True)
def test_virtual_ranks_of_shards_have_the_same_bits(
    each: list[str], optimizer: str, tolerance: float, tmp_path: Path
) -> None:
    """Weights, averages, moments, losses, gradient norms, validation: on two processes, then four, and on one.

    Without FSDP autograd adds in another order.
    """
    words = [word for word in each if not word.startswith(("batch=", "val_every=", "trainer="))]
    words += [f"optimizer={optimizer}", "batch=8", "virtual_ranks=4", "accumulate=2", "val_every=3", "grad_clip=0.1"]
    sharded(*words, "steps=6", "trainer=fsdp", "fast_dev_run=3")
    two = next(all_runs(tmp_path / "runs"))
    sharded(f"resume={two.folder}", "steps=6", processes=4)
    sharded(*words, "steps=6", "trainer=fsdp", f"runs={tmp_path / 'one'}", processes=1)
    one = next(all_runs(tmp_path / "one"))
    assert_same_state(one, two)
    assert rows(one) == rows(two)
    whole = run_to(words, "steps=6", "trainer=cpu", "trainer.threads=1")
    for part in ("state_dict", "optimizer_states"):
        a, b = (flat(load_checkpoint(run.last)[part]) for run in (whole, one))
        for name, value in a.items():
            torch.testing.assert_close(b[name], value, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "tolerance"), [("adamw", 1e-4), ("muon", 2e-3)])  # Muon's matrices are bfloat16
def test_shards_follow_the_curve_of_one_process_and_make_the_same_run(
    optimizer: str, tolerance: float, small: list[str], tmp_path: Path
) -> None:
    """Clipping, averages, moments, previews, checkpoints and resuming, all of which need what other processes have."""
    words = [*small, f"optimizer={optimizer}", "grad_clip=0.1", "preview_every=3", "steps=8"]
    sharded(*words, "accumulate=2", "trainer=fsdp")
    two = next(all_runs(tmp_path / "runs"))
    one = run_to(words, "batch=8")
    assert_same_curve(one, two)
    state, other_state = (load_checkpoint(run.last) for run in (one, two))
    for part in ("state_dict", "optimizer_states"):
        a, b = flat(state[part]), flat(other_state[part])
        assert list(a) == list(b)
        for name, value in a.items():
            torch.testing.assert_close(b[name], value, rtol=1e-3, atol=tolerance)
    for step in (3, 6, 8):
        preview = f"previews/{step:08d}/000.txt"
        assert (one.folder / preview).read_bytes() == (two.folder / preview).read_bytes()
    assert genai.load(two.folder).sample("the", length=8)[0]
    sharded(f"resume={two.folder}", "steps=10")
    go_on(one, "steps=10")
    assert_same_curve(one, two)
    for processes, step in ((1, 11), (4, 12)):
        sharded(f"resume={two.folder}", f"steps={step}", processes=processes)
        shards = [file for file in two.last.parent.glob("last-*/*.safetensors") if str(step) in file.parent.name]
        assert is_manifest(two.last) and len(shards) == processes
    go_on(two, "trainer=cpu", "steps=13")
    assert load_checkpoint(two.last)["genai"]["step"] == 13 and not is_manifest(two.last)
    folders = {read_manifest(file).folder for file in two.last.parent.glob("*.ckpt") if is_manifest(file)}
    assert folders == {path.name for path in two.last.parent.iterdir() if path.is_dir()}
