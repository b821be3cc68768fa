import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from genai.core.batch import Batch
from genai.core.cache import cache_dir
from genai.metrics.audio.bits_per_sample import SMOOTHING, BitsPerSample, count_transitions
from genai.metrics.base import EvalContext, Result
from genai.modalities.audio import Audio
from tests.stubs import ConstantLoss, SoundSource, StubModel

AUDIO = Audio(8000)


def sounds(levels: list[NDArray[Any]]) -> SoundSource:
    """Source of clips that the modality encodes as ``levels``."""
    return SoundSource([(AUDIO.decode(torch.from_numpy(each)).samples, "") for each in levels])


def results(levels: list[NDArray[Any]], loss: float = 1.0) -> dict[str, Result]:
    return BitsPerSample().compute(EvalContext(StubModel(AUDIO, loss=loss), sounds(levels)))  # type: ignore[arg-type]


def test_sawtooth_has_no_order_1_entropy() -> None:
    found = results([(np.arange(8000) + 128) % 256 for _ in range(16)], loss=math.log(2))
    assert found["bits_per_sample"].value == pytest.approx(1)
    assert found["bits_order_0"].value == pytest.approx(8, abs=1e-3)
    assert found["bits_order_1"].value == pytest.approx(0, abs=0.05)
    assert "256 levels, 32,000 samples" in found["bits_per_sample"].description


def test_noise_has_8_bits_per_sample() -> None:
    rng = np.random.default_rng(0)
    found = results([rng.integers(256, size=40_000) for _ in range(16)])
    assert found["bits_order_0"].value == pytest.approx(8, abs=0.01)
    assert 8 < (found["bits_order_1"].value or 0) < 8.5  # 65,536 numbers out of 480,000


class TableMethod(ConstantLoss):
    """Method that predicts each level from a table."""

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        smooth = counts.double() + SMOOTHING
        self.nats = -(smooth / smooth.sum(1, keepdim=True)).log()

    def loss(self, batch: Batch, network_name: str) -> dict[str, Tensor]:
        nats = self.nats[batch.x[:, :-1].long(), batch.x[:, 1:].long()]
        return {"loss": (nats if batch.valid is None else nats[batch.valid]).mean()}


def test_table_model_equals_order_1_bits() -> None:
    rng = np.random.default_rng(0)
    levels = [rng.integers(-2, 3, size=rng.integers(1000, 50_000)).cumsum() % 40 + 100 for _ in range(16)]
    source = sounds(levels)
    model = StubModel(AUDIO)
    context = EvalContext(model, source)  # type: ignore[arg-type]
    model.method = TableMethod(count_transitions(context.train, 256, None, ""))
    found = BitsPerSample().compute(context)
    assert found["bits_per_sample"].value == pytest.approx(found["bits_order_1"].value, rel=1e-6)
    assert int(count_transitions(context.val, 256, None, "").sum()) == sum(map(len, levels[::4]))
    assert len(context.val) > len(source.val)  # long clips are several items


def test_waveforms_have_no_bits() -> None:
    source = SoundSource([(np.zeros(100), "")] * 8)
    audio = Audio(8000, num_classes=None)
    audio.fit(source.train, cache_dir())
    result = BitsPerSample().compute(EvalContext(StubModel(audio), source))["bits_per_sample"]  # type: ignore[arg-type]
    assert result.value is None and "no probability" in result.description
