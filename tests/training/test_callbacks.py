"""What a run says about its validation losses."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from genai.runs.run import Run
from genai.training.callbacks import MAX_WARNINGS, MIN_INCREASE, TrainingLoop


class Lines(list[str]):
    """A progress bar that collects its lines."""

    print_line = list.append


def lines_for(val_losses: list[float], log_prefixes: list[str] | None = None) -> list[str]:
    loop: Any = TrainingLoop.__new__(TrainingLoop)
    loop.progress, loop.has_warned_overfit, loop.logs = Lines(), False, None
    method = SimpleNamespace(handles_overfit=False)
    module: Any = SimpleNamespace(step=0, best_val_loss=float("inf"), log_prefixes=log_prefixes or [], method=method)
    for module.step, val_loss in enumerate(val_losses, 1):
        loop._print_overfit(module, val_loss)
        module.best_val_loss = min(module.best_val_loss, val_loss)
    return loop.progress


@pytest.mark.parametrize(
    ("val_losses", "says"),
    [
        ([3.0, 2.0, 2.1, 2.3], ["step 3: val_loss 2.1000 has risen from 2.0000"]),
        ([3.0, 2.0, 2.0 * (1 + 0.9 * MIN_INCREASE), 1.9], []),
        ([-1.0, -2.0, -1.8], ["step 3: val_loss -1.8000 has risen from -2.0000"]),
        ([2.0], []),
    ],
)
def test_a_clear_rise_of_the_validation_loss_is_said_once(val_losses: list[float], says: list[str]) -> None:
    lines = lines_for(val_losses)
    assert [line.split(":")[0] + ":" + line.split(":")[1] for line in lines] == says
    assert all("overfits" in line and "best.ckpt" in line for line in lines)


def test_losses_of_several_networks_say_nothing_about_overfitting() -> None:
    assert lines_for([1.0, 5.0], ["generator", "discriminator"]) == []


def test_a_warning_stays_in_the_record(tmp_path: Path) -> None:
    loop: Any = TrainingLoop.__new__(TrainingLoop)
    loop.progress, loop.logs, loop.run = Lines(), object(), Run(tmp_path)
    for number in range(MAX_WARNINGS + 2):
        loop._warn(f"line {number}")
    assert loop.run.record.warnings == [f"line {number}" for number in range(2, MAX_WARNINGS + 2)]
