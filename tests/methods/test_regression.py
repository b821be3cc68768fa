import math

import pytest
import torch
from torch import Tensor, nn

from genai.core.batch import Batch, Request
from genai.methods import regression
from genai.methods.degradation import Degradation
from genai.methods.regression import Regression, RegressionOptions, spectral_distance
from genai.networks.spectral import SpectralGain
from genai.networks.wavenet.model import WaveNet

RATE = 8000


class Share(nn.Module):
    """Leaves out a share of its input."""

    patch, reach = 1, 0

    def __init__(self, share: float = 0.0) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(share))

    def forward(self, x: Tensor) -> Tensor:
        return x - self.share * x


class Doubled(Degradation):
    """A damage by hand: everything is twice as loud."""

    def forward(self, clean: Tensor, valid: Tensor | None = None) -> Tensor:
        return 2 * clean


def small(patch: int = 1, layers: int = 4) -> Regression:
    torch.manual_seed(0)
    sizes = {"layers": layers, "cycle": 3, "residual": 8, "gate": 8, "skip": 8, "patch": patch}
    return Regression(WaveNet(None, 80, frame=None, centered=True, **sizes), Degradation(RATE)).eval()


def request(*sounds: Tensor) -> Request:
    return Request([""] * len(sounds), [0] * len(sounds), (len(sounds[0]),), init=list(sounds))


def test_loss_by_hand() -> None:
    square = torch.tensor([0.5, -0.5]).repeat(2, 400)
    method = Regression(Share(0.0), Doubled(RATE), spectral=0)
    assert method.loss(Batch(square))["loss"].item() == pytest.approx(10 * math.log10(1.01))  # as much error as sound
    some = Regression(Share(0.45), Doubled(RATE), spectral=0).loss(Batch(square))
    assert some["loss"].item() == pytest.approx(10 * math.log10(0.01 + 0.01), abs=1e-4)  # 10 % of it: -20 dB
    perfect = Regression(Share(0.5), Doubled(RATE)).loss(Batch(square))
    assert perfect["waveform"].item() == pytest.approx(-20, abs=1e-4) and perfect["spectrum"].item() < 1e-6
    with torch.no_grad():
        both = Regression(Share(0.0), Doubled(RATE), spectral=3).loss(Batch(square))
    assert float(both["loss"]) == pytest.approx(float(both["waveform"] + 3 * both["spectrum"]))


def test_padding_does_not_count() -> None:
    square = torch.tensor([0.5, -0.5]).repeat(1, 400)
    padded = torch.cat([square, torch.ones(1, 800)], 1)
    valid = torch.arange(1600)[None] < 800
    method = Regression(Share(0.2), Doubled(RATE), spectral=0)
    with torch.no_grad():
        losses = [method.loss(batch)["loss"] for batch in (Batch(padded, valid=valid), Batch(square))]
    torch.testing.assert_close(*losses)
    assert Batch(padded, valid=valid).weight == 0.5


def test_it_learns_to_leave_out_what_is_too_much() -> None:
    method = Regression(Share(0.0), Doubled(RATE))
    optimizer = torch.optim.Adam(method.parameters(), 0.05)
    for _ in range(60):
        optimizer.zero_grad()
        method.loss(Batch(torch.randn(2, 800)))["loss"].backward()
        optimizer.step()
    assert method.ema_module.share.item() == pytest.approx(0.5, abs=0.05)  # type: ignore[operator, union-attr]


def test_distance_of_spectra() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 1000)
    assert float(spectral_distance(x, x, 128)) == 0
    assert float(spectral_distance(x, -x, 128)) == 0  # magnitudes have no sign
    assert float(spectral_distance(4 * x, x, 128)) == pytest.approx(float(spectral_distance(x, 0 * x, 128)), rel=0.1)


@pytest.mark.parametrize("patch", [1, 3, 8])
@pytest.mark.parametrize("time", [1, 500, 64, 129])
def test_windows_give_what_the_whole_gives(patch: int, time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    method, sound = small(patch), torch.randn(time) * 0.1
    whole = method.sample(request(sound), RegressionOptions())[0]
    monkeypatch.setattr(regression, "WINDOW_SAMPLES", 64)
    chunks = list(method.stream(request(sound), RegressionOptions()))
    assert [piece.start for piece in chunks] == list(range(0, time, 64 - 64 % patch))
    torch.testing.assert_close(torch.cat([piece.x[0] for piece in chunks]), whole, atol=1e-5, rtol=0)
    assert len(whole) == time and not torch.equal(whole, sound)


def test_windows_of_spectra_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = WaveNet(None, 80, frame=None, centered=True, layers=2, cycle=2, residual=8, gate=8, skip=8, patch=8)
    method, sound = Regression(SpectralGain(stack, RATE), Degradation(RATE)).eval(), torch.randn(4000) * 0.1
    whole = method.sample(request(sound), RegressionOptions())[0]
    monkeypatch.setattr(regression, "WINDOW_SAMPLES", 1000)
    windows = method.sample(request(sound), RegressionOptions())[0]
    torch.testing.assert_close(windows, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("gain", [1e-3, 0.1, 3.0])
def test_loudness_makes_no_difference(gain: float) -> None:
    method, sound = small(), torch.randn(700) * 0.1
    restored = method.sample(request(sound), RegressionOptions())[0]
    torch.testing.assert_close(method.sample(request(gain * sound), RegressionOptions())[0], gain * restored)


def test_silence_stays_silent() -> None:
    output = small().sample(request(torch.zeros(900)), RegressionOptions())[0]
    assert output.abs().max() < 1e-5


def test_strength_mixes_the_input_back() -> None:
    method, sound = Regression(Share(1.0), Degradation(RATE)), torch.randn(300)
    for strength in (0.0, 0.25, 1.0):
        output = method.sample(request(sound), RegressionOptions(strength=strength))[0]
        torch.testing.assert_close(output, sound * (1 - strength))


def test_items_do_not_depend_on_each_other() -> None:
    method, sounds = small(), [torch.randn(400), 0.01 * torch.randn(400)]
    together = method.sample(request(*sounds), RegressionOptions())
    for sound, output in zip(sounds, together, strict=True):
        torch.testing.assert_close(method.sample(request(sound), RegressionOptions())[0], output, atol=1e-5, rtol=1e-4)


def test_a_short_training_beats_doing_nothing() -> None:
    torch.manual_seed(0)
    network = WaveNet(None, 80, frame=None, centered=True, layers=4, cycle=4, residual=16, gate=16, skip=16)
    method = Regression(network, Degradation(RATE, kinds=["white"], min_snr=0, max_snr=0))
    optimizer = torch.optim.Adam(method.parameters(), 0.01)
    tone = 0.3 * torch.sin(2 * math.pi * 300 * torch.arange(1600) / RATE).repeat(4, 1)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        parts = method.loss(Batch(tone))
        parts["loss"].backward()
        optimizer.step()
        losses.append(float(parts["waveform"].detach()))
    assert sum(losses[-5:]) / 5 < sum(losses[:5]) / 5 - 3
