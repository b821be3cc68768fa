"""Two hundred kills while checkpoints are saved: none is lost."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from genai.runs.run import Run
from genai.runs.tensor_tree import named_tensors
from tests.conftest import ROOT

KILLS = 200


def saved_step(folder: Path) -> int:
    """The last step whose save has ended."""
    file = folder / "saved"
    return int.from_bytes(file.read_bytes()[:8], "little") if file.exists() else 0


def wait_for(folder: Path, step: int) -> None:
    deadline = time.monotonic() + 60
    while saved_step(folder) < step:
        assert time.monotonic() < deadline, f"step {step} is not saved"
        time.sleep(0.001)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_no_checkpoint_is_lost_by_kills_while_it_is_saved(processes: int, tmp_path: Path) -> None:
    run, step, draw, counts = Run(tmp_path), 0, random.Random(0), Counter[str]()
    script = str(Path(__file__).with_name("saving_loop.py"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, script, str(tmp_path), str(processes)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as server:  # fmt: skip
        assert server.stdin and server.stdout
        for _ in range(KILLS):
            print(step, file=server.stdin, flush=True)
            group = int(server.stdout.readline())
            wait_for(tmp_path, step + 1)
            time.sleep(draw.random() / 5)
            if processes > 1 and draw.random() < 0.5:  # one process first
                os.kill(int((tmp_path / f"process-{draw.randrange(processes)}").read_text()), signal.SIGKILL)
                time.sleep(0.02)
            with suppress(ProcessLookupError):  # the other one has ended by itself
                os.killpg(group, signal.SIGKILL)
            while any(is_alive(group)):
                time.sleep(0.001)
            completed = saved_step(tmp_path)
            file, state, notes = run.load("last")
            assert (file.name, notes) == ("last.ckpt", [])
            step = state["genai"]["step"]
            assert completed <= step <= completed + 1
            values = dict(named_tensors(state))
            assert len(values) == 8
            assert all((value == step).all() for value in values.values())
            counts["left something unfinished"] += bool(run.temporary_files())
            counts["had saved one more than it said"] += step == completed + 1
            run.remove_temporary_files()
        server.stdin.close()
    print(f"{KILLS} kills, {step} saves, {dict(counts)}")
    assert counts["left something unfinished"] > KILLS // 10  # they were killed while they saved
    assert not run.temporary_files()


def is_alive(group: int) -> list[bool]:
    """Whether processes of a group are left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return []
    return [True]
