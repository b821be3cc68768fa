"""What a run says at its end."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from genai.modalities.image import Image
from genai.runs.run import Run
from genai.training.report import print_result


@pytest.mark.parametrize(
    ("step", "val_loss", "num_val", "remark"),
    [
        (9, 2.5, 20, "(step 9, val_loss 2.5000: it rose)"),
        (9, 2.5, 3, "(step 9, val_loss 2.5000: it rose (of 3 held-out examples only))"),
        (9, 1.5, 20, ""),
        (5, 2.0, 20, ""),
    ],
)
@pytest.mark.parametrize("base_val_loss", [None, 2.0, 2.1])
def test_a_rising_loss_and_a_better_base_are_named(
    base_val_loss: float | None,
    step: int,
    val_loss: float,
    num_val: int,
    remark: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Run(tmp_path)
    run.write_record(best={"step": 5, "val_loss": 2.0}, steps=step)
    setup: Any = SimpleNamespace(
        val=range(num_val),
        modality=Image(),
        settings=SimpleNamespace(plugins=()),
        method=SimpleNamespace(can_sample=True),
    )
    print_result(setup, run, step, val_loss, base_val_loss, "9 of 9 are copies" if remark else "")
    out = capsys.readouterr().out
    assert ("copying   9 of 9 are copies: python -m genai.evaluate ckpt=" in out) == bool(remark)
    assert (remark in out) if remark else ("newest" not in out)
    assert ("base      val_loss 2.0000: no checkpoint is better" in out) == (base_val_loss == 2.0 and num_val == 20)
    assert ("last.ckpt samples from it" in out) == bool(remark)
