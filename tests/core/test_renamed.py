"""Everything that people have from before the new names opens: modules, runs, checkpoints, words, metrics."""

import csv
import importlib
import inspect
import json
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import yaml

import genai
from genai.core import old_names, renamed
from genai.core.errors import UserError
from genai.core.instantiate import import_class, validate_value
from genai.core.paths import config_dir
from genai.methods.frame_diffusion import FrameDiffusion
from genai.metrics.base import REGISTRY

HERE = Path(__file__).parent
KINDS = ("text", "image", "gan", "audio", "enhancer", "video")
OPTIONS: dict[str, dict[str, Any]] = {
    "text": {"length": 12},
    "image": {"steps": 2},
    "audio": {"seconds": 0.02},
    "video": {"steps": 2},
}


@pytest.fixture
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    """No note has been printed yet."""
    monkeypatch.setattr(renamed, "_noted", set())


@pytest.fixture(scope="module")
def old_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of four steps, made before the new names, with what the code of then made of them."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(HERE / "old_runs.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("old", sorted(old_names.MODULES))
def test_an_old_module_can_be_imported(old: str) -> None:
    importlib.import_module(old_names.MODULES[old])
    importlib.import_module(old)


@pytest.mark.parametrize("old", sorted(old_names.NAMES))
def test_an_old_name_leads_to_the_new_one(old: str, unsaid: None, capsys: pytest.CaptureFixture[str]) -> None:
    new = old_names.NAMES[old]
    assert renamed.current_target(old) == new
    module, _, name = old.rpartition(".")
    if module not in old_names.MODULES and not hasattr(importlib.import_module(module), "__getattr__"):
        return  # named in configs, not imported
    found = getattr(importlib.import_module(module), name)
    assert found is getattr(importlib.import_module(new.rpartition(".")[0]), new.rpartition(".")[2])
    if name not in vars(importlib.import_module(module)):
        assert f"note: {old} is now {new}." in capsys.readouterr().err


ARGUMENTS = [(target, old, new) for target, names in old_names.ARGUMENTS.items() for old, new in names.items()]


@pytest.mark.parametrize(("target", "old", "new"), ARGUMENTS)
def test_an_old_argument_is_one_of_its_class(target: str, old: str, new: str) -> None:
    parameters = inspect.signature(import_class(target, object, "x")).parameters
    assert new in parameters and old not in parameters
    newer = old_names.NEWER_ARGUMENTS.get(target, {})
    assert renamed.current_node({"_target_": target, old: 1}) == {**newer, "_target_": target, new: 1}
    root = next(key for package, key in renamed.ROOTS.items() if target.startswith(f"{package}."))
    assert renamed.current_words("train", [f"{root}.{old}=1"], quiet=True)[0] == f"{root}.{new}=1"


VALUES = [
    (target, argument, old, new)
    for target, arguments in old_names.VALUES.items()
    for argument, values in arguments.items()
    for old, new in values.items()
]


@pytest.mark.parametrize(("target", "argument", "old", "new"), VALUES)
def test_an_old_value_is_taken_with_a_note(
    target: str, argument: str, old: str, new: str, unsaid: None, capsys: pytest.CaptureFixture[str]
) -> None:
    hint = get_type_hints(import_class(target, object, "x").__init__, include_extras=True)[argument]
    assert validate_value([new], hint, argument) == [new]
    with pytest.raises(UserError, match=f"Did you mean '{new}'|it should be"):
        validate_value([old], hint, argument)
    node = {"_target_": target, argument: ["x", old], "other": old}
    assert renamed.current_node(node) == {"_target_": target, argument: ["x", new], "other": old}
    assert renamed.current_words("train", [f"++model.a.{argument}=[{old},{old}s]"]) == [
        f"++model.a.{argument}=[{new},{old}s]"
    ]
    assert capsys.readouterr().err.startswith(
        f"note: model.a.{argument}={old} is now model.a.{argument}={new}. The old"
    )
    own = [f"model.{argument}={old}", "model._target_=mine.Method"]
    assert renamed.current_words("train", own) == own


MOVED = [(base, subclass, name) for base, (subclass, names) in old_names.MOVED_ARGUMENTS.items() for name in names]


@pytest.mark.parametrize(("base", "subclass", "name"), MOVED)
def test_arguments_that_moved_to_a_subclass_decide_the_class(base: str, subclass: str, name: str) -> None:
    new = old_names.ARGUMENTS[subclass].get(name, name)
    assert new in inspect.signature(import_class(subclass, object, "x")).parameters
    assert new not in inspect.signature(import_class(base, object, "x")).parameters
    assert renamed.current_node({"_target_": base, name: 1}) == {"_target_": subclass, new: 1}
    assert renamed.current_node({"_target_": base}, {name: 1}) == {"_target_": subclass}
    assert renamed.current_node({"_target_": base, "floor": 1}, {"shape": 1}) == {"_target_": base, "floor": 1}
    assert (
        renamed.without_split({"_target_": subclass}) == {"_target_": base} == renamed.without_split({"_target_": base})
    )


def test_options_that_moved_to_clips_are_no_mistake_in_recipes_of_images() -> None:
    options = dict.fromkeys(["steps", "seed", *old_names.MOVED_OPTIONS], 1)
    assert renamed.current_options(options, ["steps"]) == {"steps": 1, "seed": 1}
    assert renamed.current_options(options, ["steps", *old_names.MOVED_OPTIONS]) == options


KEYS = [(command, old, new) for command, names in old_names.KEYS.items() for old, new in names.items()]


@pytest.mark.parametrize(("command", "old", "new"), KEYS)
def test_an_old_key_is_taken_with_a_note(
    command: str, old: str, new: str, unsaid: None, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = yaml.safe_load((config_dir() / f"{command}.yaml").read_text())
    assert new in keys and old not in keys
    assert renamed.current_words(command, [f"{old}=3"])[0] == f"{new}=3"
    assert renamed.current_words(command, [f"{old}=4"])[0] == f"{new}=4"
    said = capsys.readouterr().err
    assert said == f"note: {old} is now {new}. The old name works in this release, not in the next.\n"


@pytest.mark.parametrize(("old", "new"), sorted(old_names.METRICS.items()))
def test_an_old_metric_is_known(old: str, new: str) -> None:
    from genai.toy.data.audio import ToyAudio
    from genai.toy.data.image import ToyImages
    from genai.toy.data.soundtrack import ToySoundtracks
    from genai.toy.data.video import ToyVideo

    own = {name for source in (ToyImages, ToyAudio, ToySoundtracks, ToyVideo) for name in source.own_metrics}
    assert new in {*REGISTRY, *own} and old not in {*REGISTRY, *own} - {new}
    assert renamed.current_metrics([old]) == [new]


def test_old_figures_and_fields_stand_beside_the_new_ones() -> None:
    result = {"value": 1.0, "description": "d", "standard_error": 0.1, "reference": 2.0}
    for media, names in old_names.FIGURES.items():
        for old, new in names.items():
            both = renamed.with_old_results({new: result}, media)
            assert both[old] == both[new] == {**result, "about": "d", "error": 0.1, "beside": 2.0}
    assert set(renamed.with_old_results({"nearest_train": result}, "Picture")) == {"nearest_train"}


def test_a_node_without_end_is_left_to_the_checks() -> None:
    node: dict[str, Any] = {"_target_": "genai.x.Y"}
    for _ in range(100):
        node = {"_target_": "genai.x.Y", "one": node, "two": node, "three": [node] * 3}
    assert renamed.current_node(node)["_target_"] == "genai.x.Y"


def test_other_words_stay_as_they_are() -> None:
    for word in (
        "steps=3",
        "model.network.context=8",
        "data.path=clip=1",
        "~experiment",
        "+x.y=1",
        "modality=text",
        "prompt=clip",
    ):
        assert renamed.current_words("train", [word])[0] == word
    assert renamed.current_target("torch.load") == "torch.load"


def test_every_part_of_a_key_has_its_current_name() -> None:
    assert renamed.current_words("train", ["model.damage.worst=5"], quiet=True)[0] == "model.degradation.min_snr=5"
    word = renamed.current_words("train", ["++data.score.near=0"], quiet=True)[0]
    assert word == "++data.prompt_features.similarity_octaves=0"


def test_arguments_of_a_class_of_ones_own_stay_as_they_are() -> None:
    words = ["model.network._target_=mine.Net", "model.network.classes=7", "data._target_=mine.Data", "data.rate=3"]
    assert renamed.current_words("train", [*words, "modality.rate=8000"], quiet=True) == [
        *words,
        "modality.sample_rate=8000",
    ]


def test_only_modules_of_a_method_are_renamed_in_weights() -> None:
    weights = {"method.sampled.a": 1, "method.x.sampled.b": 2, "ema.module.sampled.c": 3, "ema.n": 4}
    assert renamed.current_weights(weights) == {
        "method.ema_module.a": 1, "method.x.sampled.b": 2, "ema.module.sampled.c": 3, "ema.n": 4
    }  # fmt: skip


def test_an_old_module_that_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("genai.nothing")
    with pytest.raises(AttributeError):
        importlib.import_module("genai.runs").nothing  # noqa: B018


@pytest.mark.parametrize("kind", KINDS)
def test_an_old_checkpoint_opens_and_samples_as_it_did(kind: str, old_runs: Path, sounds: Path) -> None:
    expected = json.loads((old_runs / "expected.json").read_text())[kind]["samples"]
    options = {"init": sounds / "low_tone" / "0.flac"} if kind == "enhancer" else OPTIONS.get(kind, {})
    model = genai.load(old_runs / kind, device="cpu")
    assert isinstance(model.method, FrameDiffusion) == (kind == "video")
    samples = model.sample("the red circle", n=2, seed=3, **options)
    for sample, wanted in zip(samples, expected, strict=True):
        if isinstance(sample, str):
            assert sample == wanted
        else:
            values = next(getattr(sample, name) for name in ("pixels", "samples", "frames") if hasattr(sample, name))
            assert [np.mean(values), np.std(values)] == pytest.approx(wanted, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_an_old_run_goes_on_with_its_own_optimizer(
    kind: str, old_runs: Path, corpus: Path, sounds: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """To the losses that the code of then had: the old words alone would mean another optimizer now."""
    run = shutil.copytree(old_runs / kind, tmp_path / kind)
    data = {"text": [f"data.path={corpus}"], "enhancer": [f"data.path={sounds}"]}.get(kind, [])
    genai.fit(f"resume={run}", "steps=8", *data)
    with (run / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if int(row["step"]) > 4]
    losses = [float(row["generator_loss" if kind == "gan" else "loss"]) for row in rows]
    assert losses == pytest.approx(json.loads((old_runs / "expected.json").read_text())[kind]["losses"], rel=1e-4)
    said = capfd.readouterr().err
    assert "is now" not in said and "optimizer" not in said, "what is on the disk is read without notes"
    changes = {
        change
        for line in said.splitlines()
        if line.startswith("changed since this run began: ")
        for change in line.partition(": ")[2].split("; ")
    }
    moved = {f"data.path: {name} -> {path}" for name, path in (("corpus.txt", corpus), ("sounds", sounds))}
    assert {change for change in changes if not change.startswith(("torch", "threads"))} <= {"steps: 4 -> 8", *moved}


def test_a_plugin_of_before_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unsaid: None, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(HERE / "old_plugin.py", tmp_path / "mynet.py")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("mynet", "genai.data.base", "genai.modalities.picture"):
        sys.modules.pop(name, None)
    words = ["modality=image", "modality.size=16", "plugins=[mynet]", "data._target_=mynet.DotsSource"]
    genai.fit(*words, "model.network._target_=mynet.ConvNet", "steps=2", "batch=16", f"runs={tmp_path / 'runs'}")
    notes = [line for line in capfd.readouterr().err.splitlines() if line.startswith("note: ")]
    assert "note: genai.data.base.Example is now genai.core.data.Example." in notes[0]
    assert len(notes) == len(set(notes))
