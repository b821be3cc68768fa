"""scripts/gpu_check.sh on a CPU: it runs small, and says what it left out."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_on_a_cpu_it_runs_small_and_says_what_it_left_out(tmp_path: Path) -> None:
    out = tmp_path / "gpu_check.json"
    command = [ROOT / "scripts" / "gpu_check.sh", "--out", out, "--steps", "10"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text())
    assert [each["modality"] for each in report["results"]] == ["text", "image", "audio", "video"]
    for each in report["results"]:
        assert each["resumed"] and each["sampled"] and each["val_loss"] is not None and not each["errors"]
        assert each["samples_per_s"] > 0 and each["memory_mb"] > 0 and each["mfu"] is None
    assert "torch.compile" in report["left_out"] and "left out: bf16, torch.compile, MFU" in done.stdout


def test_an_unknown_modality_is_refused() -> None:
    command = [ROOT / "scripts" / "gpu_check.sh", "smell"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "no such modality: smell. There are: text, image" in done.stderr
