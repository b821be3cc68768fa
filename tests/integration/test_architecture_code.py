"""The code of docs/ARCHITECTURE.md runs."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from genai.cli.compose import compose
from genai.core.cache import cache_dir
from genai.core.data import ItemRandom, Source
from genai.core.instantiate import instantiate
from genai.inference.build import build_method
from genai.inference.model import Model
from genai.media.picture import Picture
from genai.modalities.base import Modality
from tests.conftest import ROOT


def test_the_life_of_a_batch_and_of_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    batch, sample = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "ARCHITECTURE.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {
        each.__name__: each
        for each in (compose, cache_dir, ItemRandom, Source, instantiate, Model, build_method, Modality, Path)
    }
    exec(batch, names)
    assert names["batch"].x.shape == (4, 3, 16, 16) and names["batch"].x.dtype == torch.uint8
    assert len(names["batch"].prompts) == 4
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in names["method"].parameters())
    exec(sample, names)
    assert Picture.read(tmp_path / "000.png").pixels.shape == (16, 16, 3)
