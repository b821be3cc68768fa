"""Processes that a launcher starts, on this machine: one run, one folder, one message."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from genai.runs.checkpoint import load_checkpoint
from genai.runs.run import Run, all_runs
from tests.conftest import ROOT
from tests.integration.test_distributed import assert_same_curve
from tests.integration.test_resume import KINDS, assert_same_state, rows, run_to, wait_for_steps
from tests.stubs import decoded_files

pytestmark = pytest.mark.slow
MPI_SIZES = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}


def start(
    words: Sequence[str], folder: Path, *launcher: str, command: str = "train", **variables: str
) -> "subprocess.Popen[str]":
    """Start a command, by a launcher or with its variables."""
    run = [*(launcher or [sys.executable]), "-m", f"genai.{command}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    pipe = subprocess.PIPE
    return subprocess.Popen([*run, *words], cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def torchrun(*words: str) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", *words]


def ends(processes: "Sequence[subprocess.Popen[str]]") -> list[tuple[int, str]]:
    """Exit codes and what was printed."""
    texts = ["".join(process.communicate(timeout=120)) for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, texts, strict=True)]


def srun(rank: int, nodes: int) -> dict[str, str]:
    local, node = (0, rank) if nodes == 2 else (rank, 0)
    numbers = {"PROCID": rank, "NTASKS": 2, "LOCALID": local, "NODEID": node, "NNODES": nodes}
    variables = {f"SLURM_{name}": str(number) for name, number in numbers.items()}
    return variables | ({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29617"} if nodes == 2 else {})


def mpirun(rank: int) -> dict[str, str]:
    return {
        **MPI_SIZES,
        "OMPI_COMM_WORLD_RANK": str(rank),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(rank),
        "MASTER_PORT": "29618",
    }


def test_every_launcher_makes_the_same_run(small: list[str], tmp_path: Path) -> None:
    words = [*small, "steps=6", "trainer=auto", "trainer.accelerator=cpu"]
    one = run_to(small, "steps=6", "batch=8")
    node = ("--nnodes=2", "--master-addr=127.0.0.1", "--master-port=29616", "--nproc-per-node=1")
    cases: dict[str, Any] = {
        "torchrun 1x2": [(torchrun("--nproc-per-node=2"), {})],
        "torchrun 2x1": [(torchrun(*node, f"--node-rank={rank}"), {}) for rank in range(2)],
        "srun 1x2": [([], srun(rank, 1)) for rank in range(2)],
        "srun 2x1": [([], srun(rank, 2)) for rank in range(2)],
        "mpirun": [([], mpirun(rank)) for rank in range(2)],
    }
    runs = []
    for name, parts in cases.items():
        own = [f"runs={tmp_path / name}" if word.startswith("runs=") else word for word in words]
        results = ends([start(own, tmp_path, *launcher, **variables) for launcher, variables in parts])
        assert [code for code, _ in results] == [0] * len(parts), results
        (run,) = all_runs(tmp_path / name)
        assert run.record.devices == 2 and run.record.finished
        assert "batch 4 in each of 2 processes, 8 in all" in "".join(text for _, text in results)
        runs.append(run)
    assert_same_curve(one, runs[0])
    for run in runs[1:]:
        assert_same_state(runs[0], run)


@pytest.mark.parametrize("word", ["stepss=3", "data.path=/nowhere"])
def test_a_mistake_is_said_once_and_ends_all(word: str, small: list[str], tmp_path: Path) -> None:
    words = [*(each for each in small if not each.startswith("data.path=")), word, f"runs={tmp_path / 'runs'}"]
    begin = time.monotonic()
    results = ends([start(words, tmp_path, **srun(rank, 1)) for rank in range(2)])
    assert time.monotonic() - begin < 60  # 15 seconds on an idle machine
    assert [code for code, _ in results] == [2, 2]
    assert "".join(text for _, text in results).count("error: ") == 1
    assert not (tmp_path / "runs").exists()


def start_run(words: list[str], folder: Path, *launcher: str) -> "tuple[subprocess.Popen[str], Run, list[int]]":
    """A training that has made a few steps, and the ids of its processes by rank."""
    process = start(words, folder, *launcher)
    run = Run(wait_for_steps(folder / "runs", 30).parent)
    while not run.last.exists():
        time.sleep(0.1)
    listed = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout
    return process, run, sorted(map(int, listed.split()))


@pytest.mark.parametrize(
    ("rank", "number", "message"),
    [
        (1, signal.SIGKILL, "process 1 of 0 to 1 ended without an error message"),
        (0, signal.SIGKILL, "process 0 of 0 to 1 ended without an error message"),
        (1, signal.SIGSTOP, "process 1 of 0 to 1 did not answer for 0.1 minutes (trainer.timeout)"),
    ],
)
def test_a_missing_process_is_named(rank: int, number: int, message: str, small: list[str], tmp_path: Path) -> None:
    words = [*small, f"runs={tmp_path / 'runs'}", "steps=100000", "checkpoint_every=10", "val_every=100000"]
    words += ["trainer=auto", "trainer.accelerator=cpu", "trainer.timeout=0.1"]
    process, run, children = start_run(words, tmp_path, *torchrun("--nproc-per-node=2"))
    os.kill(children[rank], number)
    ((code, text),) = ends([process])
    assert code == 1
    assert text.count("error: ") == 1 and f"error: {message}" in text, text
    assert f"python -m genai.train resume=runs/{run.folder.parent.name}/{run.folder.name}" in text
    assert run.load("last")[1]["genai"]["step"] >= 10


def test_a_restarted_job_goes_on_with_the_same_bits(small: list[str], tmp_path: Path) -> None:
    words = [*small, "steps=400", "checkpoint_every=20", "val_every=100", "trainer=auto", "trainer.accelerator=cpu"]
    whole = [f"runs={tmp_path / 'whole'}" if word.startswith("runs=") else word for word in words]
    (result,) = ends([start(whole, tmp_path, *torchrun("--nproc-per-node=2"))])
    assert result[0] == 0, result
    words = [f"runs={tmp_path / 'runs'}" if word.startswith("runs=") else word for word in words]
    process, run, children = start_run(words, tmp_path, *torchrun("--nproc-per-node=2", "--max-restarts=3"))
    os.kill(children[1], signal.SIGKILL)
    ((code, text),) = ends([process])
    assert code == 0 and "resuming from step " in text, text
    (expected,) = all_runs(tmp_path / "whole")
    assert [each.folder for each in all_runs(tmp_path / "runs")] == [run.folder]
    assert_same_state(expected, run)
    assert rows(expected) == rows(run)


def test_two_agents_start_again_together(small: list[str], tmp_path: Path) -> None:
    """Only the agent of the killed process counts the restart."""
    words = [*small, "steps=400", "checkpoint_every=20", "val_every=100", "trainer=auto", "trainer.accelerator=cpu"]
    words = [f"runs={tmp_path / 'runs'}" if word.startswith("runs=") else word for word in words]
    agent = ["--nnodes=2", "--nproc-per-node=1", "--max-restarts=3", "--rdzv-backend=c10d", "--rdzv-id=a"]
    launcher = torchrun(*agent, "--rdzv-endpoint=127.0.0.1:29619")
    other = start(words, tmp_path, *launcher)
    process, run, children = start_run(words, tmp_path, *launcher)
    os.kill(children[0], signal.SIGKILL)
    results = ends([process, other])
    assert [code for code, _ in results] == [0, 0], results
    assert "resuming from step " in "".join(text for _, text in results)
    assert [each.folder for each in all_runs(tmp_path / "runs")] == [run.folder] and run.record.finished


def test_processes_share_the_samples(trained: Callable[[str], Path], tmp_path: Path) -> None:
    words = [f"ckpt={trained('image')}", "n=10", "batch=2", "steps=2", "device=cpu", "prompt=a red circle"]
    (alone,) = ends([start([*words, "out=alone"], tmp_path, command="sample")])
    shared = ends([start([*words, "out=shared"], tmp_path, command="sample", **mpirun(rank)) for rank in range(2)])
    assert [code for code, _ in [alone, *shared]] == [0, 0, 0], shared
    assert (
        decoded_files(tmp_path / "alone") == decoded_files(tmp_path / "shared")
        and len(decoded_files(tmp_path / "alone")) == 21
    )
    assert "10 samples in shared/" in shared[0][1] and not shared[1][1]
    for name in ("003.json", "004.png", "sheet.png"):  # what a killed command had not written
        (tmp_path / "shared" / name).unlink()
    changed = {path: path.stat().st_mtime_ns for path in (tmp_path / "shared").glob("*.png")}
    shared = ends([start([*words, "out=shared"], tmp_path, command="sample", **mpirun(rank)) for rank in range(2)])
    assert [code for code, _ in shared] == [0, 0], shared
    assert decoded_files(tmp_path / "alone") == decoded_files(tmp_path / "shared")
    assert {path.name for path, time_ns in changed.items() if path.stat().st_mtime_ns != time_ns} == {
        "002.png",
        "003.png",
        "005.png",
    }


def test_processes_share_an_evaluation(trained: Callable[[str], Path], tmp_path: Path) -> None:
    words = [f"ckpt={trained('image')}", "n=6", "batch=2", "steps=2", "device=cpu"]
    (alone,) = ends([start([*words, "out=alone.json"], tmp_path, command="evaluate")])
    shared = ends(
        [start([*words, "out=shared.json"], tmp_path, command="evaluate", **mpirun(rank)) for rank in range(2)]
    )
    assert [code for code, _ in [alone, *shared]] == [0, 0, 0], shared
    assert (tmp_path / "alone.json").read_bytes() == (tmp_path / "shared.json").read_bytes()
    assert not shared[1][1]
    wrong = ends([start([*words, "metrics=[x]"], tmp_path, command="evaluate", **mpirun(rank)) for rank in range(2)])
    assert [code for code, _ in wrong] == [2, 2] and "".join(text for _, text in wrong).count("error: ") == 1


@pytest.mark.parametrize("each", KINDS, indirect=True)
def test_a_run_is_the_same_on_any_number_of_processes(each: list[str], tmp_path: Path) -> None:
    assert_same_on_any_number(each, tmp_path)


@pytest.mark.parametrize("each", ["image"], indirect=True)
def test_prepared_data_are_the_same_on_any_number_of_processes(each: list[str], tars: Path, tmp_path: Path) -> None:
    words = [word for word in each if not word.startswith("data")] + ["data=webdataset", f"data.path={tars}"]
    words += ["data.val_fraction=0.4"]
    (done,) = ends([start([*words, f"out={tmp_path / 'data'}", "processes=1"], tmp_path, command="commands.prepare")])
    assert done[0] == 0, done
    own = [word for word in words if not word.startswith("data")]
    assert_same_on_any_number([*own, "data=prepared", f"data.path={tmp_path / 'data'}"], tmp_path)


def assert_same_on_any_number(words: list[str], tmp_path: Path) -> None:
    """Check weights, averages, moments, losses, gradient norms, validation and the best checkpoint of 2, 1, 4."""
    words = [word for word in words if not word.startswith(("batch=", "runs=", "val_every=", "trainer="))]
    words += ["batch=8", "virtual_ranks=4", "val_every=3", "trainer=auto", "trainer.accelerator=cpu"]
    (alone,) = ends([start([*words, "steps=9", f"runs={tmp_path / 'alone'}"], tmp_path)])
    assert alone[0] == 0, alone
    (expected,) = all_runs(tmp_path / "alone")
    begin = [*words, "steps=9", f"runs={tmp_path / 'runs'}", "fast_dev_run=3"]
    for world_size in (2, 1, 4):
        (run,) = all_runs(tmp_path / "runs") if (tmp_path / "runs").exists() else (None,)
        each_words = begin if run is None else [f"resume={run.folder}", "steps=9", "fast_dev_run=3"]
        sizes = {"OMPI_COMM_WORLD_SIZE": str(world_size), "OMPI_COMM_WORLD_LOCAL_SIZE": str(world_size)}
        processes = [start(each_words, tmp_path, **{**mpirun(rank), **sizes}) for rank in range(world_size)]
        results = ends(processes)
        assert [code for code, _ in results] == [0] * world_size, results
    (run,) = all_runs(tmp_path / "runs")
    assert_same_state(expected, run)
    assert rows(expected) == rows(run)
    assert load_checkpoint(expected.best)["genai"]["best"] == load_checkpoint(run.best)["genai"]["best"]
