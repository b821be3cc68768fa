"""The trainer's half of a checkpoint: Lightning gets nothing that is missing, misshapen or no number."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import genai
from genai.runs.checkpoint import load_checkpoint, save_checkpoint
from genai.training.checkpoint_state import known_progress
from tests.hostile.checkpoints import Change, State, assert_refused, put, remove, write_changed

MOMENTS = ("optimizer_states", 0, "state")
GROUP = ("optimizer_states", 0, "param_groups", 0)
LOOP = ("loops", "fit_loop")
WEIGHT = "method.ema_module.blocks.0.qkv.weight"


def every_number(value: Any) -> Change:
    """Another value for each number in the progress of the loops."""

    def change(state: State) -> None:
        stack = [state["loops"]["fit_loop"]]
        while stack:
            part = stack.pop()
            for name, inner in part.items():
                if isinstance(inner, dict):
                    stack.append(inner)
                else:
                    part[name] = value

    return change


CHANGES: dict[str, tuple[Change, str]] = {
    **{
        f"no {name}": (remove(name), f"it has no {name}")
        for name in (
            "pytorch-lightning_version", "epoch", "global_step", "loops", "callbacks", "optimizer_states",
            "lr_schedulers",
        )
    },
    **{
        f"no {name}": (remove("genai", name), f"it has no {name}|does not fit the run|not a checkpoint|not describe")
        for name in (
            "best", "seconds", "cpu_seconds", "unlogged", "course", "model", "modality", "step", "modality_state",
        )
    },
    **{
        f"{name} of another type": (put(value, *keys), message)
        for name, value, keys, message in (
            ("version", 2, ("pytorch-lightning_version",), "pytorch-lightning_version=2"),
            ("long version", "2." * 1000, ("pytorch-lightning_version",), "pytorch-lightning_version="),
            ("epoch", "0", ("epoch",), "epoch='0'"),
            ("negative epoch", -1, ("epoch",), "epoch=-1"),
            ("loops", [], ("loops",), r"loops=\[\]"),
            ("fit_loop", 5, LOOP, "loops"),
            ("empty fit_loop", {}, LOOP, "no progress of a loop"),
            ("progress", "x", (*LOOP, "epoch_progress"), "epoch_progress='x' is no progress"),
            ("count", "6", (*LOOP, "epoch_progress", "total", "ready"), "total.ready='6'"),
            ("negative count", -6, (*LOOP, "epoch_progress", "total", "ready"), "total.ready=-6"),
            ("callbacks", "x", ("callbacks",), "callbacks='x'"),
            ("schedulers", {}, ("lr_schedulers",), "lr_schedulers="),
            ("optimizers", {}, ("optimizer_states",), "optimizer_states="),
            ("best", "low", ("genai", "best"), "genai.*best='low'|best='low'"),
            ("best number", float("nan"), ("genai", "best"), "best=nan"),
            ("seconds", "long", ("genai", "seconds"), "seconds='long'"),
            ("negative seconds", -1.0, ("genai", "seconds"), "seconds=-1"),
            ("infinite seconds", float("inf"), ("genai", "seconds"), "seconds=inf"),
            ("unlogged", "x", ("genai", "unlogged"), "unlogged='x'"),
            ("unlogged number", {"loss": "x"}, ("genai", "unlogged"), "unlogged"),
            ("step", -1, ("genai", "step"), "step=-1"),
            ("course", {"total": 6}, ("genai", "course"), "it has no cooling_from"),
            ("total", "6", ("genai", "course", "total"), "course.total='6'"),
            ("level", float("nan"), ("genai", "course", "level"), "course.cooldown_factor=nan"),
            ("high level", 1e30, ("genai", "course", "level"), "course.cooldown_factor=1e[+]30"),
            ("other course", 5, ("genai", "course", "x"), "course.x"),
            ("state of optimizer", 5, MOMENTS, "no state or no param_groups"),
            ("param_groups", {}, GROUP[:3], "no state or no param_groups"),
            ("kind", 1, (*GROUP, "muon"), "no state or no param_groups"),
            ("rate", float("nan"), (*GROUP, "lr"), "no state or no param_groups"),
            ("parameters", [0, 1, 1], (*GROUP, "params"), "of other parameters"),
            ("names of parameters", [[0], 1, 2], (*GROUP, "params"), "of other parameters"),
            ("moments of more parameters", {}, (*MOMENTS, 99), "of other parameters"),
            ("moments", [], (*MOMENTS, 0), "should have"),
            ("more moments", torch.zeros(1), (*MOMENTS, 0, "more"), "should have"),
            ("moment", 3.0, (*MOMENTS, 0, "exp_avg"), "exp_avg should be a tensor"),
            ("shape of a moment", torch.zeros(3), (*MOMENTS, 0, "exp_avg"), "exp_avg should be a tensor"),
            ("whole moment", torch.zeros(293, 16).long(), (*MOMENTS, 0, "exp_avg"), "exp_avg should be a tensor"),
            ("nan moment", torch.full((293, 16), torch.nan), (*MOMENTS, 0, "exp_avg"), "not numbers: .*exp_avg"),
            ("infinite moment", torch.full((48, 16), torch.inf), (*MOMENTS, 6, "momentum"), "not numbers: .*momentum"),
            ("negative moment", torch.full((293, 16), -1.0), (*MOMENTS, 0, "exp_avg_sq"), "exp_avg_sq is negative"),
            ("number of steps", torch.tensor(-1.0), (*MOMENTS, 0, "step"), "step is negative"),
            ("average", torch.tensor(-9), ("state_dict", "ema.n_averaged"), "n_averaged is no number of steps"),
            ("weight", torch.zeros(3), ("state_dict", WEIGHT), "do not fit its model"),
            ("whole weight", torch.zeros(48, 16).long(), ("state_dict", WEIGHT), "do not fit its model"),
            ("other weight", torch.zeros(3), ("state_dict", "method.x"), "which has no 'method.x'"),
        )
    },
    "no param_groups": (remove(*GROUP[:3]), "no state or no param_groups"),
    "no moment": (remove(*MOMENTS, 0, "exp_avg"), "should have exp_avg, exp_avg_sq, step"),
    "no moments": (put({}, *MOMENTS), "no optimizer state, after 6 steps"),
    "no optimizer": (put([], "optimizer_states"), "the states of 0 optimizers"),
    "two optimizers": (lambda state: state["optimizer_states"].append({}), "the states of 2 optimizers"),
    "no weight": (remove("state_dict", WEIGHT), "do not fit its model: .* is missing"),
    "no average": (remove("state_dict", "ema.n_averaged"), "n_averaged is no number of steps"),
    "progress of text": (every_number("x"), "='x'"),
    "negative progress": (every_number(-5), "=-5"),
    "progress of lists": (every_number([]), r"=\[\]"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES)
def test_a_run_does_not_continue_from_it(
    kind: str, stranger: Path, resume: Callable[[Path], object], tmp_path: Path
) -> None:
    change, message = CHANGES[kind]
    path = stranger / "checkpoints" / "last.ckpt"
    write_changed(path, path, change)
    assert_refused(lambda: resume(stranger), message, tmp_path)


def test_what_lightning_raises_while_it_loads_names_the_checkpoint(
    stranger: Path, tmp_path: Path, inside: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stranger / "checkpoints" / "last.ckpt"
    write_changed(path, path, put("2.nonsense", "pytorch-lightning_version"))
    message = r"last\.ckpt: a run cannot continue from it \(InvalidVersion"
    assert_refused(lambda: genai.fit(f"resume={stranger}", "steps=9"), message, tmp_path)
    done = inside("train", f"resume={stranger}", "steps=9", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("error:"), "Traceback" in done.stderr) == (2, 1, False)
    monkeypatch.setenv("GENAI_DEBUG", "1")
    assert "Traceback" in inside("train", f"resume={stranger}", "steps=9", cwd=tmp_path).stderr


def test_the_last_good_checkpoint_is_taken_and_named(
    stranger: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = stranger / "checkpoints"
    save_checkpoint(load_checkpoint(folder / "last.ckpt"), folder / "previous.ckpt")
    write_changed(folder / "last.ckpt", folder / "last.ckpt", remove("optimizer_states"))
    genai.fit(f"resume={stranger}", "steps=7")
    lines = [line for line in capsys.readouterr().err.splitlines() if "instead" in line]
    (line,) = lines
    assert "last.ckpt: a run cannot continue from it: it has no optimizer_states" in line
    assert line.endswith("Using previous.ckpt of step 6 instead.")
    assert load_checkpoint(folder / "last.ckpt")["genai"]["step"] == 7


def test_another_optimizer_is_the_choice_of_the_user(stranger: Path, tmp_path: Path) -> None:
    words = (f"resume={stranger}", "steps=9", "optimizer=adamw")
    assert_refused(lambda: genai.fit(*words), "trained with another optimizer", tmp_path)


def test_lightning_gets_only_the_progress_that_it_knows() -> None:
    fresh = {"total": {"ready": 0, "completed": 0}, "is_last_batch": False}
    stored = {"total": {"ready": 3, "reset": 5}, "is_last_batch": True, "load_state_dict": 1}
    before = copy.deepcopy(stored)
    assert known_progress(stored, fresh, "x") == {"total": {"ready": 3, "completed": 0}, "is_last_batch": True}
    assert stored == before
    for wrong in ({"total": 3}, {"is_last_batch": 1}, 5):
        with pytest.raises(ValueError, match="is no progress of a loop"):
            known_progress(wrong, fresh, "x")
