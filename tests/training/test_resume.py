"""What a resumed run takes from the run before."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from genai.cli.compose import CommandConfig
from genai.runs.run import Run
from genai.training.resume import with_sampling_of_run


def config(*words: str, **sampling: Any) -> CommandConfig:
    return CommandConfig({"model": {"_target_": "x", "sampling": sampling}}, {}, list(words), Path())


def run_with(model: Any) -> Run:
    return cast(Run, SimpleNamespace(read_config=lambda: {"model": model}))


def test_a_run_keeps_its_defaults_of_sampling_unless_a_word_says_otherwise() -> None:
    run = run_with({"_target_": "x", "sampling": {"steps": 8, "shift": 12.0}})
    today = {"steps": 6, "shift": 12.0, "keyframes_until": 0.9}
    assert with_sampling_of_run(config(**today), run).values == {
        "model": {"_target_": "x", "sampling": {"steps": 8, "shift": 12.0}}
    }
    resumed = with_sampling_of_run(config("model.sampling.steps=6", **today), run)
    assert resumed.values["model"]["sampling"] == {"steps": 6, "shift": 12.0}
    unchanged = config("model.sampling={steps: 6}", **today)
    assert with_sampling_of_run(unchanged, run) is unchanged


def test_a_run_without_such_defaults_changes_nothing() -> None:
    new = config(steps=6)
    for run in (None, run_with(None), run_with({"sampling": [1]}), run_with("a model")):
        assert with_sampling_of_run(new, run) is new
