import math
from pathlib import Path

import pytest

import genai
from genai.cli.compose import compose
from genai.core.instantiate import parse_dataclass
from genai.training.config import TrainSettings
from genai.training.dev_run import estimate


def settings(**values: object) -> TrainSettings:
    config = compose("train", ["modality=text"]).values
    names = TrainSettings.__dataclass_fields__
    return parse_dataclass(TrainSettings, {k: v for k, v in config.items() if k in names} | values)  # type: ignore[no-any-return]


DURATIONS = {"step": [9.0, 1.0, 1.0, 1.0], "validation": [10.0], "preview": [6.0], "checkpoint": [6.0]}


def test_the_first_step_does_not_count_and_what_is_due_by_the_clock_takes_its_share() -> None:
    lines = estimate(settings(steps=1000, val_every=100), 1000, DURATIONS, 2048.0)
    # (1 s a step + 10 s a hundred steps) * 1,000 steps, in the 48 of 60 s that previews and checkpoints leave
    assert lines[-1] == "estimate  1000 steps take about 22.9 minutes".replace("1000", "1,000")
    assert lines[0] == "memory    2,048 MB at most"
    assert lines[1] == "seconds   step 1, validation 10, preview 6, checkpoint 6"


def test_memory_that_is_unknown_is_left_out() -> None:
    assert estimate(settings(steps=10), 10, DURATIONS, math.nan)[0].startswith("seconds")


def test_a_run_of_minutes_is_so_many_steps() -> None:
    lines = estimate(settings(minutes=11.0, val_every=100, preview_every=50, checkpoint_every=50), None, DURATIONS, 1.0)
    assert lines[-1] == "estimate  11 minutes are about 492 steps"  # 1 + 10 / 100 + 2 * 6 / 50 seconds a step


def test_it_stops_early_and_says_what_the_run_would_take(small: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    model = genai.fit(*small, "debug=fast_dev_run", "steps=100000", *[word for word in small if "runs=" in word])
    said = capfd.readouterr().out
    assert model.step == 5 and "estimate  100,000 steps take about" in said and " MB at most" in said
    assert model.file and (model.file.parent.parent / "previews" / "00000005").is_dir()


def test_overfit_trains_and_validates_on_the_same_items(small: list[str], tmp_path: Path) -> None:
    words = [*small, "debug=overfit", "overfit_items=1", "steps=100", "val_every=100", f"runs={tmp_path / 'runs'}"]
    model = genai.fit(*words)
    assert model.record["best"]["val_loss"] < 1.7  # 1.26; 2.15 where all items are trained on


def test_profile_writes_a_table_and_a_trace(
    small: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = genai.fit(*small, "debug=profile", f"runs={tmp_path / 'runs'}")
    assert model.file
    folder = model.file.parent.parent / "profile"
    assert "aten::" in (folder / "operators.txt").read_text() and (folder / "trace.json").stat().st_size > 1000
    assert "aten::" in capfd.readouterr().out


def test_a_run_too_short_for_a_profile_is_told(
    small: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    genai.fit(*small, "debug=profile", "steps=2", f"runs={tmp_path / 'runs'}")
    assert "profile   none: it takes 9 steps or more" in capfd.readouterr().out
