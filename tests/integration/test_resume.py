"""A run that is stopped and resumed ends with the same bits as one that never was."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from genai.cli.compose import compose
from genai.cli.overrides import resolve_resume, with_absolute_paths
from genai.core.errors import RunError, UserError
from genai.runs.checkpoint import load_checkpoint
from genai.runs.run import Run, all_runs
from genai.training.run import train
from tests.conftest import ROOT

STEPS = 12
KINDS = ("text", "image", "shortcut", "gan", "audio", "video", "speech")


def cases(*quick: tuple[str, Any]) -> list[Any]:
    """Each kind of model with each value that one is tried with; only the named ones are not slow."""
    values = list(dict.fromkeys(value for _, value in quick))
    return [
        pytest.param(kind, value, id=f"{kind}-{value}", marks=() if (kind, value) in quick else pytest.mark.slow)
        for value in values
        for kind in KINDS
    ]


def run_to(words: list[str], *more: str) -> Run:
    """Train without loading the result."""
    return train(compose("train", [*words, *more]))


def go_on(run: Run, *more: str) -> Run:
    words, found = resolve_resume(list(more), str(run.folder))
    return train(compose("train", words), found)


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Every leaf of a checkpoint by its path, without clocks."""
    if isinstance(value, dict):
        return {k: v for key in value for k, v in flat(value[key], f"{path}/{key}").items() if "seconds" not in k}
    if isinstance(value, list | tuple):
        return {k: v for index, item in enumerate(value) for k, v in flat(item, f"{path}/{index}").items()}
    return {path: value}


def assert_same_state(one: Run, other: Run) -> None:
    first_state, other_state = (load_checkpoint(run.last) for run in (one, other))
    for part in ("state_dict", "optimizer_states", "genai"):
        a, b = flat(first_state[part]), flat(other_state[part])
        assert a.keys() == b.keys()
        for name, value in a.items():
            assert torch.equal(value, b[name]) if isinstance(value, Tensor) else value == b[name], name


def rows(run: Run) -> list[dict[str, str]]:
    """``metrics.csv`` without what depends on the clock."""
    with (run.folder / "metrics.csv").open() as file:
        return [
            {k: v for k, v in row.items() if not k.endswith("_per_s") and k != "memory_mb"}
            for row in csv.DictReader(file)
        ]


def scalar_steps(run: Run, tag: str) -> list[int]:
    events = EventAccumulator(str(run.folder / "tensorboard"))
    events.Reload()
    return [event.step for event in events.Scalars(tag)]


def trained_tag(words: list[str]) -> str:
    """The tag of a loss that is logged at every step."""
    return "loss/generator" if "model=gan" in words else "loss/train"


class Killed(Exception):
    pass


def stopped_at(step: int, words: list[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The run whose process is gone after ``step`` steps, without a chance to save."""
    from genai.training.callbacks import TrainingLoop

    original = TrainingLoop.on_train_batch_end

    def until(loop: TrainingLoop, trainer: Any, learner: Any, *rest: Any) -> None:
        original(loop, trainer, learner, *rest)
        if learner.step == step:
            loop.saver.wait()  # for what was to be saved
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "on_train_batch_end", until)
        patch.setattr(TrainingLoop, "on_exception", lambda *_: None)
        with pytest.raises(Killed):
            run_to(words, f"steps={STEPS}", "checkpoint_every=5")
    root = Path(next(word for word in words if word.startswith("runs=")).partition("=")[2])
    return next(all_runs(root))


@pytest.mark.parametrize(
    ("each", "case"),
    cases(
        *((kind, "between") for kind in ("text", "audio", "speech")),
        *(("text", "at once"), ("shortcut", "workers"), ("gan", "accumulate")),  # shortcut: image diffusion
    ),
    indirect=["each"],
)
def test_killed_and_resumed_is_bit_equal(case: str, each: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two checkpoints, at one, with processes that load, and with a block of 512 tokens: an epoch is shorter
    than the run."""
    step, more = (
        {"between": 7, "at once": 5, "workers": 9, "accumulate": 7}[case],
        {
            "workers": ["workers=2"],
            "accumulate": ["accumulate=2", *(["modality.block=512"] if "modality=text" in each else [])],
        }.get(case, []),
    )
    words = [*each, *more]
    whole = run_to(words, f"steps={STEPS}", "checkpoint_every=5")
    broken = stopped_at(step, words, monkeypatch)
    assert load_checkpoint(broken.last)["genai"]["step"] == 5
    resumed = go_on(broken)
    assert resumed.folder == broken.folder
    assert_same_state(whole, resumed)
    assert rows(whole) == rows(resumed)
    assert scalar_steps(resumed, trained_tag(each)) == list(range(1, STEPS + 1))
    assert scalar_steps(resumed, "loss/val") == scalar_steps(whole, "loss/val")


@pytest.mark.slow
def test_weights_tags_and_masks_are_as_if_the_run_had_not_stopped(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(pictures, tmp_path / "pictures"))
    for file in folder.glob("sky/*.png"):
        with Image.open(file) as image:
            Image.linear_gradient("L").resize(image.size).save(file.with_name(f"{file.stem}-masklabel.png"))
        file.with_suffix(".txt").write_text("sky, blue, wide, high", encoding="utf-8")
    tiny = ["model.network.width=16", "model.network.blocks=1", "modality.size=16", "batch=4", "trainer=cpu"]
    words = ["modality=image", "data=image_folder", f"data.path={folder}", *tiny, "modality.flip=true"]
    words += ["val_every=6", "preview_every=100", f"runs={tmp_path}", "data.tag_dropout=0.5"]
    words.append("data.weights={folder: {sky: 3}}")
    whole = run_to(words, f"steps={STEPS}", "checkpoint_every=5")
    resumed = go_on(stopped_at(7, [*words, "workers=2"], monkeypatch))
    assert_same_state(whole, resumed)
    losses = [[row["loss"] for row in rows(whole)]]
    for other in ("data.tag_dropout=0", "data.weights={folder: {sky: 2}}", "data.unmasked_weight=1"):
        losses.append([row["loss"] for row in rows(run_to([*words, other], f"steps={STEPS}"))])
    assert all(each != losses[0] for each in losses[1:])


@pytest.mark.slow
def test_captions_are_drawn_as_if_the_run_had_not_stopped(
    emoji: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = ["model.network.width=16", "model.network.blocks=1", "modality.size=16", "batch=2", "trainer=cpu"]
    words = ["experiment=emoji", f"data.path={emoji}", *tiny, "val_every=6", "preview_every=100", f"runs={tmp_path}"]
    whole = run_to(words, f"steps={STEPS}", "checkpoint_every=5")
    resumed = go_on(stopped_at(7, [*words, "workers=2"], monkeypatch))
    assert_same_state(whole, resumed)
    first = run_to([*words, "data.captions=[text]"], f"steps={STEPS}", "checkpoint_every=5")
    assert [row["loss"] for row in rows(first)] != [row["loss"] for row in rows(whole)]


@pytest.mark.parametrize(("each", "case"), cases(("text", "signal")), indirect=["each"])
def test_a_signal_in_the_middle_of_a_validation_is_obeyed_at_once(
    case: str, each: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from genai.training.callbacks import TrainingLoop

    words = [*each, "val_items=4", "batch=2"]
    monkeypatch.setattr("genai.inference.validation.BATCH_ELEMENTS", 1)  # two batches a validation
    whole = run_to(words, "steps=12")
    original, calls = TrainingLoop._raise_on_signal, []

    def told(loop: TrainingLoop, trainer: Any) -> None:
        calls.append(trainer)
        if len(calls) == 4:  # the second batch of the second validation
            loop.signal = signal.SIGTERM
        original(loop, trainer)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "_raise_on_signal", told)
        with pytest.raises(SystemExit) as ended:
            run_to(words, "steps=12")
    assert ended.value.code == 143 and len(calls) == 4
    broken = next(run for run in all_runs(whole.folder.parent.parent) if run.folder != whole.folder)
    assert load_checkpoint(broken.last)["genai"]["step"] == 10
    assert [row["step"] for row in rows(broken)][-1] == "9"
    resumed = go_on(broken)
    assert_same_state(whole, resumed)
    assert rows(whole) == rows(resumed)
    assert scalar_steps(resumed, trained_tag(each)) == list(range(1, 13))
    assert scalar_steps(resumed, "loss/val") == [5, 10, 12]


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
def test_a_signal_while_a_checkpoint_is_written_ends_the_run_after_it(
    name: str, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genai.training import checkpoint_io

    original, sent = checkpoint_io.save_checkpoint, []

    def save(state: Any, path: Path) -> str:
        if path.name == name and not sent:
            sent.append(path)
            os.kill(os.getpid(), signal.SIGTERM)
        return original(state, path)

    monkeypatch.setattr(checkpoint_io, "save_checkpoint", save)
    with pytest.raises(SystemExit) as ended:
        run_to(small, "steps=300", "checkpoint_every=10")
    assert ended.value.code == 143
    run = next(all_runs(tmp_path / "runs"))
    assert load_checkpoint(run.last)["genai"]["step"] < 300


def test_other_data_is_refused_and_a_change_is_named(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "text.txt"
    path.write_text("one two three four five six seven " * 40)
    words = [word for word in small if not word.startswith("data.path")]
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        run = train(compose("train", with_absolute_paths([*words, "data.path=text.txt", "steps=4"])))
    capfd.readouterr()
    go_on(run, "steps=6", "batch=2", "log_every=3")  # from another folder: the path was recorded as an absolute one
    assert "batch: 4 -> 2" in (stderr := capfd.readouterr().err) and "log_every: 1 -> 3" in stderr
    before = {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}
    path.write_text("seven six five four three two one " * 40)
    with pytest.raises(UserError, match=r"the data is not what this run was trained on"):
        go_on(run, "steps=8")
    assert before == {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}


def test_a_resume_that_fails_leaves_the_record_as_it_was(small: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_to(small, "steps=4")
    before = {name: (run.folder / name).read_bytes() for name in ("record.json", "config.yaml")}

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("genai.methods.autoregressive.Autoregressive.loss", full)
    with pytest.raises(RunError, match="out of memory"):
        go_on(run, "steps=8", "batch=512")
    assert before == {name: (run.folder / name).read_bytes() for name in before}


def test_a_finished_run_is_extended_and_says_so(small: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    run = run_to(small, "steps=6")
    first = run.record.energy
    extended = go_on(run, "steps=9")
    total = extended.record.energy
    assert first and total and total.kwh > first.kwh > 0 and total.co2e_kg > first.co2e_kg > 0
    assert extended.folder == run.folder
    assert "resuming from step 6" in capfd.readouterr().out
    assert [row["step"] for row in rows(extended)] == [str(step) for step in range(1, 10)]
    assert run.record.steps == 9 and run.record.finished


@pytest.mark.parametrize(
    ("first", "more", "rates"),
    [
        (["steps=6"], ["steps=12"], "from 0.0067 to 0.02: the run had cooled down; schedule.peak=0.33 keeps it low"),
        (["steps=6"], ["steps=12", "schedule.peak=0.33"], ""),
        (["steps=6", "schedule.cooldown=0"], ["steps=12"], ""),
        (
            ["steps=6", "schedule.warmup=20"],
            ["steps=12", "schedule.warmup=20", "schedule.cooldown=0"],
            "from 0.0019 to",
        ),
    ],
)
def test_a_rate_that_had_fallen_and_rises_again_is_told(
    first: list[str], more: list[str], rates: str, small: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    run = run_to(small, "schedule.warmup=0", *first)
    capfd.readouterr()
    resumed = go_on(run, *more)
    line = next((line for line in capfd.readouterr().err.splitlines() if "learning rate" in line), "")
    assert bool(line) == bool(rates) and rates in line
    assert max(float(row["lr"]) for row in rows(resumed)[6:]) <= (0.0067 if "schedule.peak=0.33" in more else 0.02)


def test_auto_takes_the_unfinished_run_of_the_same_configuration(
    small: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = stopped_at(7, small, monkeypatch)
    words = [*small, f"steps={STEPS}", "checkpoint_every=5"]
    assert resolve_resume([*words, "seed=5", "resume=auto"], "auto") == ([*words, "seed=5"], None)
    assert "starting a new one" in capfd.readouterr().err
    found = resolve_resume([*words, "resume=auto"], "auto")[1]
    assert found is not None and found.folder == broken.folder


def test_a_damaged_newest_checkpoint_is_passed_over(
    small: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = run_to(small, f"steps={STEPS}", "checkpoint_every=5")
    broken = stopped_at(11, small, monkeypatch)
    content = bytearray(broken.last.read_bytes())
    content[len(content) // 2] ^= 1
    broken.last.write_bytes(content)
    best = load_checkpoint(broken.best)["genai"]["best"]
    resumed = go_on(broken)
    captured = capfd.readouterr()
    assert load_checkpoint(resumed.best)["genai"]["best"] <= best
    assert "last.ckpt is damaged" in captured.err and "resuming from step 5" in captured.out
    assert_same_state(whole, resumed)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_saves_within_five_seconds_and_says_how_to_go_on(
    number: int, code: int, small: list[str], tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "genai.train", *small, "steps=1000000"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    metrics = wait_for_steps(tmp_path / "runs", 20)
    sent = time.monotonic()
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert time.monotonic() - sent < 5
    assert process.returncode == code
    run = Run(metrics.parent)
    about = load_checkpoint(run.last)["genai"]
    written = about["step"] - (about["unlogged"] is not None)  # in a validation: the resumed run makes its row
    assert written >= 20 and [int(row["step"]) for row in rows(run)] == list(range(1, written + 1))
    last_line = output.strip().splitlines()[-1]
    assert last_line == f"python -m genai.train resume={run.folder.relative_to(tmp_path)}"


def wait_for_steps(root: Path, steps: int) -> Path:
    """The ``metrics.csv`` below ``root``, once it has so many rows."""
    for _ in range(600):
        for path in root.glob("*/*/metrics.csv"):
            if path.read_text().count("\n") > steps:
                return path
        time.sleep(0.1)
    raise AssertionError("the run never came so far")
