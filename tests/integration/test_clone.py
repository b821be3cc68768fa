"""A voice that is added to a model of voices: from data and consent to a model of one more speaker."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import genai
from genai.cli.compose import compose
from genai.core.errors import UserError
from genai.runs.run import Run
from genai.training.run import train

TRY = ("val_every=5", "log_every=1", "preview_every=100", "trainer=cpu", "trainer.threads=1", "copying_check=false")


@pytest.fixture(scope="module")
def carla(tmp_path_factory: pytest.TempPathFactory, voices: Path) -> Path:
    """The recordings of one speaker, without a table of speakers, with consent to clone."""
    folder = tmp_path_factory.mktemp("new") / "carla"
    folder.mkdir()
    for row in (voices / "metadata.csv").read_text().splitlines()[1:]:
        name, speaker, text = row.split(",", 2)
        if speaker == "bruno":
            shutil.copy(voices / name, folder)
            (folder / name).with_suffix(".txt").write_text(text.strip('"'))
    (folder / "consent.yaml").write_text(
        "public: {source: this test, license: CC0-1.0, statement: they are tones, to: [train, clone, publish]}\n"
    )
    return folder


@pytest.fixture(scope="module")
def base(trained: Callable[[str], Path]) -> Path:
    return trained("speech")


def words(base: Path, folder: Path, runs: Path, *more: str) -> list[str]:
    own = ["experiment=clone", f"init_from={base}", f"data.path={folder}", f"runs={runs}", "adapter.rank=2", "batch=2"]
    return [*own, *TRY, "steps=3", *more]


@pytest.fixture(scope="module")
def clone(base: Path, carla: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(compose("train", words(base, carla, tmp_path_factory.mktemp("runs"))))


def test_a_clone_has_one_more_voice(clone: Run, base: Path) -> None:
    model, old = (genai.load(each, device="cpu") for each in (clone.folder, base))
    print(clone.record)
    state, before = model.modality.statistics, old.modality.statistics
    assert state.speakers == ("anna", "bruno", "carla")
