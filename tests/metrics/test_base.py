"""Results, and which metrics fit."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from genai.core.errors import UserError
from genai.metrics.base import Result, select_metrics
from tests.stubs import SoundSource


def test_numbers_of_numpy_and_torch_become_plain() -> None:
    result = Result(np.float32(0.5), "", torch.tensor(0.25), np.int64(3))  # type: ignore[arg-type]
    assert json.loads(json.dumps(asdict(result))) == asdict(Result(0.5, "", 0.25, 3))
    assert type(result.reference) is int and Result(None, "").value is None


def test_own_metrics_of_a_plugin_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loud_plugin.py").write_text(
        "from genai.metrics.base import Metric\nclass Loud(Metric):\n    def compute(self, context): return {}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    source = SoundSource([(np.zeros(8), "")] * 2)
    monkeypatch.setattr(SoundSource, "own_metrics", {"loud": "loud_plugin.Loud"})
    with pytest.raises(UserError, match=r"no metric 'lout'. Did you mean 'loud'.*there are: .*loud"):
        select_metrics(["lout"], source, True, ["loud_plugin"])
    with pytest.raises(UserError, match=r"'parses' does not fit SoundSource.*there are: .*loud"):
        select_metrics(["parses"], source, True, ["loud_plugin"])
