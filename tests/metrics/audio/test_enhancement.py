import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genai.core.batch import Batch, Request
from genai.core.errors import UserError
from genai.metrics.audio import enhancement
from genai.metrics.audio.enhancement import (
    CONDITIONS,
    Enhancement,
    compute_scores,
    joined_clips,
    score_conditions,
    si_sdr,
)
from genai.metrics.audio.wiener import wiener_filter
from genai.metrics.base import EvalContext

RATE = 8000


def pulsed_tone(seconds: float = 3.0) -> Tensor:
    """A tone that is on and off for half a second in turn."""
    t = torch.arange(round(seconds * RATE)) / RATE
    return 0.3 * torch.sin(2 * math.pi * 440 * t) * ((t * 2).long() % 2 == 0)


class Clips:
    """Held-out clips of 0.1 s, padded to 0.2 s."""

    def __init__(self, count: int = 100) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: list[int], random: None) -> Batch:
        x = torch.zeros(1, RATE // 5)
        x[0, : RATE // 10] = 0.1 * torch.randn(RATE // 10, generator=torch.Generator().manual_seed(indices[0]))
        return Batch(x, valid=torch.arange(RATE // 5)[None] < RATE // 10)


class AddNoise:
    """Degradation that adds noise."""

    sample_rate = RATE

    def degrade(self, clean: Tensor, kind: str, ratio: float) -> Tensor:
        return clean + 0.05 * torch.randn_like(clean)


class PerfectMethod(nn.Module):
    """Method that returns the clip of ``answer`` nearest to its input."""

    degradation: Any = AddNoise()

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def sample(self, request: Request, options: Any) -> list[Tensor]:
        assert request.init is not None
        distances = [(row - request.init[0]).square().sum() for row in self.answer]
        return [self.answer[int(torch.stack(distances).argmin())]]


class Model:
    def __init__(self, method: Any) -> None:
        self.method = method

    def build_options(self, values: Any) -> tuple[None, None]:
        return None, None


def make_context(method: Any, n: int = 12) -> EvalContext:
    context = EvalContext(Model(method), None, n=n)  # type: ignore[arg-type]
    context.__dict__["val"] = Clips()
    return context


def test_si_sdr_values() -> None:
    target, other = torch.tensor([1.0, -1, 1, -1]), torch.tensor([1.0, 1, -1, -1])
    assert float(si_sdr(target + 0.1 * other, target)) == pytest.approx(20, abs=1e-4)
    assert float(si_sdr(7 * (target + 0.1 * other) + 3, target)) == pytest.approx(
        20, abs=1e-4
    )  # neither scale nor mean


def test_si_sdr_equals_torchmetrics() -> None:
    audio = pytest.importorskip("torchmetrics.functional.audio")
    context, clean = torch.randn(2, 3, 500, generator=torch.Generator().manual_seed(0))
    expected = audio.scale_invariant_signal_distortion_ratio(context, clean, zero_mean=True)
    torch.testing.assert_close(si_sdr(context, clean), expected, atol=1e-3, rtol=1e-3)


def test_wiener_filter_removes_white_noise() -> None:
    clean = pulsed_tone()[None]
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    assert float(si_sdr(wiener_filter(noisy, RATE), clean)) > float(si_sdr(noisy, clean)) + 6
    assert not wiener_filter(torch.zeros(1, 4000), RATE).any()


def test_joined_clips_have_no_padding() -> None:
    rows = joined_clips(make_context(None), 2, RATE)
    assert rows.shape == (2, 3 * RATE)
    assert (rows.unflatten(1, (-1, RATE // 10)).abs().sum(-1) > 0).all()
    assert joined_clips(make_context(None), 99, RATE).shape == (3, 3 * RATE)  # there are ten seconds
    single = make_context(None)
    single.__dict__["val"] = Clips(1)
    assert joined_clips(single, 5, RATE).shape == (1, 3 * RATE)


def test_scores_of_input_baseline_and_output() -> None:
    clean = joined_clips(make_context(None), 2, RATE)
    found = score_conditions(make_context(PerfectMethod(clean)))
    assert list(found) == list(CONDITIONS)
    assert (found["white", 0]["restored"]["si_sdr"] > 100).all()
    assert (found["white", 0]["noisy"]["si_sdr"] < 10).all()
    again = score_conditions(make_context(PerfectMethod(clean)))
    assert (again["hum", 0]["noisy"]["si_sdr"] == found["hum", 0]["noisy"]["si_sdr"]).all()


def test_descriptions_have_baselines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enhancement, "_import_function", lambda package, name: None)
    clean = joined_clips(make_context(None), 2, RATE)
    figures = Enhancement().compute(make_context(PerfectMethod(clean)))
    assert set(figures) == {f"si_sdr_{kind}_{ratio}" for kind, ratio in CONDITIONS}
    description = figures["si_sdr_babble_0"].description
    assert "noisy" in description and "wiener" in description and "pip install 'genai[enhance]'" in description


def test_silent_sounds_have_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enhancement, "joined_clips", lambda *_: torch.zeros(0, 3 * RATE))
    results = Enhancement().compute(make_context(PerfectMethod(torch.zeros(1, 1))))
    assert [(name, result.value) for name, result in results.items()] == [("si_sdr", None)]
    assert "silent" in results["si_sdr"].description


def test_models_without_degradation_raise() -> None:
    with pytest.raises(UserError, match="model=enhancer"):
        Enhancement().compute(make_context(nn.Linear(1, 1)))


@pytest.mark.peers
@pytest.mark.parametrize(("name", "least"), [("stoi", 0.999), ("pesq", 4.4)])
def test_clean_sound_has_the_highest_score(name: str, least: float) -> None:
    pytest.importorskip({"stoi": "pystoi"}.get(name, name))
    clean = (pulsed_tone() * (1 + torch.rand(3 * RATE, generator=torch.Generator().manual_seed(0))))[None]
    assert compute_scores(clean, clean, RATE)[name][0] > least
