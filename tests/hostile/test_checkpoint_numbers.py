"""Numbers of a checkpoint that are not finite, or so large that nothing can be computed with them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import genai
from genai.core.errors import CorruptCheckpoint, RunError, UserError
from genai.core.instantiate import instantiate
from genai.methods.scaling import Scaling
from genai.modalities.audio import Audio
from genai.modalities.image import Image
from genai.modalities.video import Video
from genai.runs.checkpoint import describe_not_finite, load_checkpoint, save_checkpoint
from genai.runs.run import Run, all_runs
from tests.hostile.checkpoints import State, assert_refused, write_changed

NAN, INF = float("nan"), float("inf")
RAW, AVERAGED = "method.ema_module.blocks.1.up.weight", "ema.module.readout.weight"


def spoil(value: float, *keys: str | int, index: int = -1) -> Callable[[State], None]:
    """Set one number of a tensor."""

    def change(state: State) -> None:
        tensor: Any = state
        for key in keys:
            tensor = tensor[key]
        tensor.view(-1)[index] = value

    return change


@pytest.mark.parametrize("value", [NAN, INF, -INF, 3e38, -3e38, 1e20])
@pytest.mark.parametrize("name", [RAW, AVERAGED])
@pytest.mark.parametrize("index", [0, -1])
def test_no_model_has_such_weights(value: float, name: str, index: int, good: Path, tmp_path: Path) -> None:
    path = write_changed(good, tmp_path / "x.ckpt", spoil(value, "state_dict", name, index=index))
    message = rf"x\.ckpt has weights that are not numbers: {name} holds"
    assert_refused(lambda: genai.load(path, device="cpu"), message, tmp_path)


@pytest.mark.parametrize("value", [1e8, 1e12, 1e17])
def test_weights_that_overflow_in_the_network_give_no_empty_sample(value: float, good: Path, tmp_path: Path) -> None:
    def change(state: State) -> None:
        for tensor in state["state_dict"].values():
            if tensor.ndim > 1:
                tensor.fill_(value)

    model = genai.load(write_changed(good, tmp_path / "x.ckpt", change), device="cpu")
    try:
        assert str(model.sample("a", length=3)[0])
    except UserError:
        assert_refused(lambda: model.sample("a", length=3), "numbers that are not finite", tmp_path)


STATES: list[tuple[Any, dict[str, Any]]] = [
    (Image(16), {"mean": value, "std": 0.5}) for value in (NAN, INF, -INF, 1e300, 2, "0", None)
]
STATES += [(Image(16), {"mean": 0.0, "std": value}) for value in (NAN, INF, 0, -0.5, 1e300, 1e-300, "1", [0.5])]
STATES += [(Image(16), {}), (Image(16), None), (Image(16), [1, 2])]
STATES += [(Video(16), {"mean": 0.0, "std": 0.5, "horizon": value}) for value in (NAN, INF, -1, 1e300, "1", None)]
STATES += [(Audio(), {"typical": value}) for value in (NAN, INF, -1, 0, 1e300, "1", None)]


@pytest.mark.parametrize(
    ("modality", "state"), STATES, ids=lambda value: type(value).__name__ if hasattr(value, "pack") else str(value)
)
def test_statistics_are_in_their_range(modality: Any, state: Any) -> None:
    with pytest.raises((UserError, ValueError, KeyError, TypeError)) as caught:
        modality.restore(state)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("name", "value"), [("std", 0.0), ("std", NAN), ("mean", INF), ("std", "x")])
def test_values_of_a_modality_have_the_ranges_of_configs(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"model\.{name}="):
        instantiate({"_target_": "genai.methods.scaling.PixelScaling"}, Scaling, "model", {"mean": 0.0, name: value})


# ------------------------------------------------------------------------------------------------------- fallbacks


@pytest.fixture
def run(stranger: Path) -> Run:
    """The run with three good checkpoints."""
    run = Run(stranger)
    state = load_checkpoint(run.last)
    for file in (run.best, run.last.with_name("previous.ckpt")):
        save_checkpoint(state, file)
    return run


def spoil_files(run: Run, *names: str) -> None:
    for name in names:
        file = run.last.with_name(f"{name}.ckpt")
        write_changed(file, file, spoil(NAN, "state_dict", AVERAGED))


@pytest.mark.parametrize(
    ("spoiled", "taken"),
    [(["last"], "previous"), (["last", "previous"], "best"), (["previous"], "last"), (["best"], "last")],
)
def test_a_run_continues_from_the_newest_that_is_finite(
    spoiled: list[str], taken: str, run: Run, resume: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    spoil_files(run, *spoiled)
    resume(run.folder)
    lines = [line for line in capsys.readouterr().err.splitlines() if "instead" in line]
    assert len(lines) == (len(spoiled) if taken != "last" else 0)
    for line, name in zip(lines, spoiled, strict=False):
        assert f"{name}.ckpt has weights that are not numbers" in line
        assert line.endswith(f"Using {taken}.ckpt of step 6 instead.")
    assert load_checkpoint(run.last)["genai"]["step"] == 9


@pytest.mark.parametrize(
    ("spoiled", "taken"), [(["best"], "last"), (["best", "last"], "previous"), (["last", "previous"], "best")]
)
def test_a_folder_is_sampled_with_the_newest_that_is_finite(
    spoiled: list[str], taken: str, run: Run, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    spoil_files(run, *spoiled)
    model = genai.load(run.folder, device="cpu")
    assert model.file == run.last.with_name(f"{taken}.ckpt")
    assert len(model.notes) == (len(spoiled) if taken != "best" else 0)
    assert all("weights that are not numbers" in note for note in model.notes)
    genai.fit(*small, f"init_from={run.folder}", "steps=1")
    assert capsys.readouterr().err.count(f"Using {taken}.ckpt of step 6 instead.") == len(model.notes)


def test_without_a_finite_one_it_is_said_so(
    run: Run, small: list[str], resume: Callable[[Path], object], tmp_path: Path
) -> None:
    spoil_files(run, "last", "previous", "best")
    for task in (
        lambda: resume(run.folder),
        lambda: genai.load(run.folder, device="cpu"),
        lambda: genai.fit(*small, f"init_from={run.folder}", "steps=1"),
        lambda: genai.fit(*small, f"init_from={run.last}", "steps=1"),
    ):
        assert_refused(task, "^(?!.*(lr|rate)).*weights that are not numbers", tmp_path)


def test_moments_that_are_not_finite_are_for_sampling_only(
    run: Run, resume: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    for value, keys in ((NAN, (0, "exp_avg")), (INF, (6, "momentum"))):
        write_changed(run.best, run.last, spoil(value, "optimizer_states", 0, "state", *keys))
        assert genai.load(run.last, device="cpu").sample("a", length=2)
        assert_refused(lambda: resume_only(run), "optimizer states that are not numbers", run.folder)
    resume(run.folder)
    assert "Using previous.ckpt of step 6 instead" in capsys.readouterr().err


def resume_only(run: Run) -> None:
    """Resume from ``last.ckpt``, without the others."""
    others = [file for file in (run.best, run.last.with_name("previous.ckpt")) if file.exists()]
    places = [file.rename(run.folder.parent / file.name) for file in others]
    try:
        genai.fit(f"resume={run.folder}", "steps=9")
    finally:
        for file, place in zip(others, places, strict=True):
            place.rename(file)


# --------------------------------------------------------------------------------------------------------- saving


@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize(
    "keys",
    [
        ("state_dict", RAW),
        ("state_dict", AVERAGED),
        ("optimizer_states", 0, "state", 0, "exp_avg"),
        ("optimizer_states", 0, "state", 1, "exp_avg_sq"),
        ("optimizer_states", 0, "state", 6, "momentum"),
    ],
)
def test_what_is_not_finite_is_not_saved(value: float, keys: tuple[Any, ...], run: Run) -> None:
    state = torch.load(run.last, weights_only=True)
    spoil(value, *keys)(state)
    name = ".".join(map(str, keys)).removeprefix("state_dict.")
    message = rf"last\.ckpt is not saved, because {name} holds (nan|inf)\. Earlier checkpoints are kept\."
    assert_refused(lambda: save_checkpoint(state, run.last), message, run.folder)


def test_large_finite_numbers_and_whole_numbers_are_saved(tmp_path: Path) -> None:
    tensors = [torch.tensor([3e38, 3e38]), torch.tensor(2**62), torch.zeros(0), torch.tensor([True])]
    assert describe_not_finite({"optimizer_states": [dict(enumerate(tensors))]}) == ""
    weights = {"a": torch.full((100,), 1e17), "b": torch.tensor(60_000.0).half()}
    weights["mask"] = torch.full((4, 4), -torch.inf).triu(1)
    weights["angles"] = torch.polar(torch.ones(3), torch.arange(3.0))
    assert describe_not_finite({"state_dict": weights}) == ""
    state = {"state_dict": weights, "genai": {"format": 1, "step": 1}}
    save_checkpoint(state, tmp_path / "a.ckpt")
    assert load_checkpoint(tmp_path / "a.ckpt")["state_dict"]["angles"].equal(weights["angles"])
    assert describe_not_finite({"state_dict": {"a": torch.tensor([5e18])}}) == "a holds 5e+18"
    assert describe_not_finite({"state_dict": {"a": torch.tensor([1.0, -torch.inf])}}) == "a holds inf"
    assert describe_not_finite({"state_dict": {"a": torch.tensor([3e38])}}) == "a holds 3e+38"
    assert describe_not_finite({"x": [{"y": torch.tensor([[1.0, NAN]]).bfloat16()}]}) == "x.0.y holds nan"


def test_what_could_not_be_read_again_is_not_saved(tmp_path: Path) -> None:
    state = {"state_dict": {"a": torch.zeros(3, dtype=torch.uint16)}, "genai": {"format": 1, "step": 1}}
    with pytest.raises(RunError, match="could not be read again: it is refused: it names"):
        save_checkpoint(state, tmp_path / "a.ckpt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("steps", [2, 9])
def test_a_run_that_ruins_its_weights_does_not_finish(
    steps: int, small: list[str], tmp_path: Path, inside: Callable[..., Any]
) -> None:
    """The last good checkpoint is kept, and the run goes on from there with better settings."""
    words = ("optimizer.eps=0", "checkpoint_every=1", "val_every=100", f"steps={steps}")
    done = inside("train", *small, *words, cwd=tmp_path)
    assert done.returncode == 1
    assert re.search(r"(holds|is) nan.*Earlier checkpoints are kept\.", done.stderr)  # of the save, or the next step
    assert "Traceback" not in done.stderr and "finished" not in done.stdout
    runs = list(all_runs(tmp_path / "runs"))
    assert not any(run.record.finished or run.has_checkpoint for run in runs)


def test_a_run_keeps_the_checkpoint_before_its_weights_are_ruined(
    stranger: Path, small: list[str], tmp_path: Path
) -> None:
    before = (stranger / "checkpoints" / "last.ckpt").read_bytes()
    words = ("optimizer.lr=10", "optimizer.embedding_lr=10", "optimizer.head_lr=10", "optimizer.betas=[0,0]")
    with pytest.raises(RunError, match=r"(?s)not finite|holds (nan|inf)|is (nan|inf)"):
        genai.fit(f"resume={stranger}", "steps=40", "optimizer.eps=0", *words, "checkpoint_every=1")
    files = [*(stranger / "checkpoints").glob("*.ckpt")]
    assert all(load_checkpoint(file) for file in files)
    assert before in [file.read_bytes() for file in files] or len(files) > 1
    assert not Run(stranger).record.finished


def test_a_float_of_a_record_or_header_is_finite(good: Path, stranger: Path, tmp_path: Path) -> None:
    file = stranger / "record.json"
    file.write_text(file.read_text().replace('"cpu_seconds": ', '"cpu_seconds": NaN, "x": '))
    with pytest.raises(UserError, match="cpu_seconds=nan: it should be a finite number"):
        _ = Run(stranger).record
    path = write_changed(good, tmp_path / "x.ckpt", lambda state: state["genai"].update(seconds=INF))
    with pytest.raises(CorruptCheckpoint, match="seconds=inf: it should be a finite number"):
        load_checkpoint(path)
    write_changed(good, path, lambda state: state["genai"].update(best=INF, unlogged={"memory_mb": NAN}))
    assert load_checkpoint(path)["genai"]["best"] == INF
