import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from genai.core.batch import Batch
from genai.core.cache import cache_dir
from genai.metrics.audio.bits_per_sample import SMOOTHING, BitsPerSample, transitions
from genai.metrics.base import EvalContext, Result
from genai.modalities.audio import Audio
from tests.metrics.stubs import Losing, Model, Sounds

AUDIO = Audio(8000)


def sounds(levels: list[NDArray[Any]]) -> Sounds:
    """Clips that the modality turns into these levels."""
    return Sounds([(AUDIO.decode(torch.from_numpy(each)).samples, "") for each in levels])


def figures(levels: list[NDArray[Any]], loss: float = 1.0) -> dict[str, Result]:
    return BitsPerSample().compute(EvalContext(Model(AUDIO, loss=loss), sounds(levels)))  # type: ignore[arg-type]


def test_a_sawtooth_is_no_news_to_a_table_of_one_level_after_another() -> None:
    found = figures([(np.arange(8000) + 128) % 256 for _ in range(16)], loss=math.log(2))
    assert found["bits_per_sample"].value == pytest.approx(1)
    assert found["bits_order_0"].value == pytest.approx(8, abs=1e-3)
    assert found["bits_order_1"].value == pytest.approx(0, abs=0.05)
    assert "256 levels, 32,000 samples" in found["bits_per_sample"].about


def test_noise_takes_eight_bits() -> None:
    draw = np.random.default_rng(0)
    found = figures([draw.integers(256, size=40_000) for _ in range(16)])
    assert found["bits_order_0"].value == pytest.approx(8, abs=0.01)
    assert 8 < (found["bits_order_1"].value or 0) < 8.5  # 65,536 numbers out of 480,000


class Table(Losing):
    """Predicts by a table of levels."""

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        smooth = counts.double() + SMOOTHING
        self.nats = -(smooth / smooth.sum(1, keepdim=True)).log()

    def loss(self, batch: Batch, player: str) -> dict[str, Tensor]:
        nats = self.nats[batch.x[:, :-1].long(), batch.x[:, 1:].long()]
        return {"loss": (nats if batch.valid is None else nats[batch.valid]).mean()}


def test_the_targets_are_those_of_the_loss() -> None:
    draw = np.random.default_rng(0)
    walks = [draw.integers(-2, 3, size=draw.integers(1000, 50_000)).cumsum() % 40 + 100 for _ in range(16)]
    source = sounds(walks)
    model = Model(AUDIO)
    study = EvalContext(model, source)  # type: ignore[arg-type]
    model.method = Table(transitions(study.train, 256, None, ""))
    found = BitsPerSample().compute(study)
    assert found["bits_per_sample"].value == pytest.approx(found["bits_order_1"].value, rel=1e-6)
    assert int(transitions(study.val, 256, None, "").sum()) == sum(map(len, walks[::4]))
    assert len(study.val) > len(source.val)  # long clips are several items


def test_waveforms_have_no_bits() -> None:
    source = Sounds([(np.zeros(100), "")] * 8)
    audio = Audio(8000, classes=None)
    audio.fit(source.train, cache_dir())
    figure = BitsPerSample().compute(EvalContext(Model(audio), source))["bits_per_sample"]  # type: ignore[arg-type]
    assert figure.value is None and "no probability" in figure.about
