"""A stranger's run and checkpoint, in a folder of their own."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from genai.cli.compose import compose
from genai.cli.overrides import recorded_overrides
from genai.runs.run import Run
from genai.training.run import train
from tests.conftest import copy_run


@pytest.fixture
def good(trained: Callable[[str], Path]) -> Path:
    """A real checkpoint."""
    return trained("text") / "checkpoints" / "last.ckpt"


@pytest.fixture(scope="session")
def resume(trained: Callable[[str], Path]) -> Callable[[Path], object]:
    """Resume a copy of the run for nine steps, as ``genai.fit(f"resume={run}", "steps=9")`` with Hydra done once."""
    run = trained("text")
    config = compose("train", recorded_overrides(Run(run), ["steps=9"]))
    return lambda folder: train(config, Run(folder))


@pytest.fixture
def stranger(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run with one checkpoint, ``last.ckpt``, below the folder that one stands in."""
    monkeypatch.chdir(tmp_path)
    run = copy_run(good.parent.parent, tmp_path)
    for file in (run / "checkpoints").iterdir():
        if file.name != "last.ckpt":
            file.unlink()
    shutil.rmtree(run / "previews", ignore_errors=True)
    (tmp_path / "precious").write_text("precious")
    return run
