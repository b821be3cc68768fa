import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genai.core.batch import Batch, Request
from genai.core.errors import UserError
from genai.metrics.audio import enhancement
from genai.metrics.audio.enhancement import CONDITIONS, Enhancement, compared, scores, sentences, si_sdr
from genai.metrics.audio.wiener import wiener
from genai.metrics.base import EvalContext

RATE = 8000


def tone(seconds: float = 3.0) -> Tensor:
    """A note of half a second, and as long a pause, again and again."""
    t = torch.arange(round(seconds * RATE)) / RATE
    return 0.3 * torch.sin(2 * math.pi * 440 * t) * ((t * 2).long() % 2 == 0)


class Clips:
    """Held-out clips of a tenth of a second, padded to a fifth; x tells which."""

    def __init__(self, count: int = 100) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: list[int], random: None) -> Batch:
        x = torch.zeros(1, RATE // 5)
        x[0, : RATE // 10] = 0.1 * torch.randn(RATE // 10, generator=torch.Generator().manual_seed(indices[0]))
        return Batch(x, valid=torch.arange(RATE // 5)[None] < RATE // 10)


class Adding:
    """A damage that adds a constant pattern."""

    rate = RATE

    def damaged(self, clean: Tensor, kind: str, ratio: float) -> Tensor:
        return clean + 0.05 * torch.randn_like(clean)


class Perfect(nn.Module):
    """Gives back a thing that it was told."""

    damage: Any = Adding()

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

    def split_options(self, values: Any) -> tuple[None, None]:
        return None, None


def study(method: Any, n: int = 12) -> EvalContext:
    made = EvalContext(Model(method), None, n=n)  # type: ignore[arg-type]
    made.__dict__["val"] = Clips()
    return made


def test_si_sdr_by_hand() -> None:
    target, other = torch.tensor([1.0, -1, 1, -1]), torch.tensor([1.0, 1, -1, -1])
    assert float(si_sdr(target + 0.1 * other, target)) == pytest.approx(20, abs=1e-4)
    assert float(si_sdr(7 * (target + 0.1 * other) + 3, target)) == pytest.approx(
        20, abs=1e-4
    )  # neither scale nor mean


def test_si_sdr_is_that_of_torchmetrics() -> None:
    audio = pytest.importorskip("torchmetrics.functional.audio")
    made, clean = torch.randn(2, 3, 500, generator=torch.Generator().manual_seed(0))
    theirs = audio.scale_invariant_signal_distortion_ratio(made, clean, zero_mean=True)
    torch.testing.assert_close(si_sdr(made, clean), theirs, atol=1e-3, rtol=1e-3)


def test_a_wiener_filter_takes_white_noise_off_a_tone_and_leaves_silence_silent() -> None:
    clean = tone()[None]
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    assert float(si_sdr(wiener(noisy, RATE), clean)) > float(si_sdr(noisy, clean)) + 6
    assert not wiener(torch.zeros(1, 4000), RATE).any()


def test_sentences_are_held_out_clips_without_their_padding() -> None:
    rows = sentences(study(None), 2, RATE)
    assert rows.shape == (2, 3 * RATE)
    assert (rows.unflatten(1, (-1, RATE // 10)).abs().sum(-1) > 0).all()
    assert sentences(study(None), 99, RATE).shape == (3, 3 * RATE)  # there are ten seconds
    few = study(None)
    few.__dict__["val"] = Clips(1)
    assert sentences(few, 5, RATE).shape == (1, 3 * RATE)


def test_what_is_restored_is_scored_beside_what_was_given_and_a_wiener_filter() -> None:
    clean = sentences(study(None), 2, RATE)
    found = compared(study(Perfect(clean)))
    assert list(found) == list(CONDITIONS)
    assert (found["white", 0]["restored"]["si_sdr"] > 100).all()
    assert (found["white", 0]["noisy"]["si_sdr"] < 10).all()
    again = compared(study(Perfect(clean)))
    assert (again["hum", 0]["noisy"]["si_sdr"] == found["hum", 0]["noisy"]["si_sdr"]).all()


def test_figures_say_what_they_are_to_be_read_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enhancement, "_imported", lambda package, name: None)
    clean = sentences(study(None), 2, RATE)
    figures = Enhancement().compute(study(Perfect(clean)))
    assert set(figures) == {f"si_sdr_{kind}_{ratio}" for kind, ratio in CONDITIONS}
    about = figures["si_sdr_babble_0"].about
    assert "noisy" in about and "wiener" in about and "pip install 'genai[enhance]'" in about


def test_models_that_undo_nothing_are_told_so() -> None:
    with pytest.raises(UserError, match="model=enhancer"):
        Enhancement().compute(study(nn.Linear(1, 1)))


def test_stoi_and_pesq_of_a_clean_sound_are_their_best() -> None:
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    clean = (tone() * (1 + torch.rand(3 * RATE, generator=torch.Generator().manual_seed(0))))[None]
    found = scores(clean, clean, RATE)
    assert found["stoi"][0] == pytest.approx(1, abs=1e-3) and found["pesq"][0] > 4.4
