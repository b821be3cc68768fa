"""A voice that is added to a model of voices: from recordings and consent to a model of one more speaker."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import genai
from genai.cli.compose import compose
from genai.core.errors import UserError
from genai.runs.checkpoint import CheckpointHeader, load_checkpoint
from genai.runs.run import Run
from genai.training.run import train
from genai.training.setup import prepare_training
from tests.conftest import copy_run

TRY = ("val_every=5", "log_every=1", "preview_every=100", "trainer=cpu", "trainer.threads=1", "copying_check=false")


@pytest.fixture(scope="module")
def base(trained: Callable[[str], Path]) -> Path:
    return trained("speech")


@pytest.fixture(scope="module")
def clone(base: Path, new_voice: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(compose("train", words(base, new_voice, f"runs={tmp_path_factory.mktemp('runs')}")))


def words(base: Path, folder: Path, *more: str) -> list[str]:
    own = ["experiment=clone", f"init_from={base}", f"data.path={folder}", "adapter.rank=2", "batch=2", "steps=3"]
    return [*own, *TRY, *more]


def test_a_clone_has_one_more_voice_and_the_rest_of_its_base(clone: Run, base: Path) -> None:
    model, old = (genai.load(folder, device="cpu") for folder in (clone.folder, base))
    state, before = (each.modality.statistics for each in (model, old))  # type: ignore[attr-defined]
    assert state.speakers == ("anna", "bruno", "carla") and state.main_speaker == 2
    assert (state.symbols, state.aligner.keys()) == (before.symbols, before.aligner.keys())
    np.testing.assert_array_equal(state.means[:2], before.means)
    np.testing.assert_array_equal(state.aligner["means"], before.aligner["means"])
    table, rows = (each.method.ema_module.speakers.weight for each in (model, old))  # type: ignore[union-attr]
    assert (table[:2] == rows).all() and 0 < (table[2] - rows.mean(0)).abs().max() < 1
    new, same, other = (
        model.sample("amo", variation=0, **which)[0].samples
        for which in ({}, {"speaker": "carla"}, {"speaker": "anna"})
    )
    assert np.array_equal(new, same) and not np.array_equal(new[:800], other[:800])
    assert "preservation_loss" in (clone.folder / "metrics.csv").read_text().splitlines()[0]
    assert CheckpointHeader.read(load_checkpoint(clone.last)).consent[0]["to"] == ["train", "clone", "publish"]
    with pytest.raises(UserError, match="it adds a voice"):
        genai.load(base, adapter=clone.folder)


def test_a_clone_is_resumed_and_cloned_again(clone: Run, new_voice: Path, tmp_path: Path) -> None:
    run = Run(copy_run(clone.folder, tmp_path))
    setup = prepare_training(compose("train", [*run.record.overrides, "steps=4"]), run)
    assert setup.modality.added_voice == "carla" and setup.start == 3  # type: ignore[attr-defined]
    dora = shutil.copytree(new_voice, tmp_path / "dora")
    setup = prepare_training(compose("train", words(clone.folder, dora)))
    assert setup.modality.other_voices == ["anna", "bruno", "carla"]  # type: ignore[attr-defined]
    assert len(setup.method.ema_module.speakers.weight) == 4  # type: ignore[union-attr]
    with pytest.raises(UserError, match="'carla': the model of init_from= has a voice of this name"):
        prepare_training(compose("train", words(clone.folder, new_voice)))


def test_mistakes(base: Path, new_voice: Path, voices: Path, trained: Callable[[str], Path], tmp_path: Path) -> None:
    other = shutil.copytree(new_voice, tmp_path / "other")
    consent = (other / "consent.yaml").read_text()
    (other / "consent.yaml").write_text(consent.replace("clone, ", ""))
    with pytest.raises(UserError, match="was not given to clone the voice"):
        prepare_training(compose("train", words(base, other)))
    both = shutil.copytree(voices, tmp_path / "both")
    (both / "consent.yaml").write_text(consent)
    with pytest.raises(UserError, match="2 speakers are in the recordings, anna, bruno"):
        prepare_training(compose("train", words(base, both)))
    with pytest.raises(UserError, match="keeps the other voices while one is added"):
        prepare_training(compose("train", words(base, voices, "adapter.speaker=null")))
    table = (both / "metadata.csv").read_text().splitlines()
    (both / "metadata.csv").write_text("\n".join([table[0], *table[1::2]]))
    for file in (both / f"{number}.wav" for number in range(1, 12, 2)):
        file.unlink()
    with pytest.raises(UserError, match="the table of the recordings says 'anna'"):
        prepare_training(compose("train", words(base, both, "adapter.speaker=eva")))
