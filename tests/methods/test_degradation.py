import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from genai.methods.degradation import Degradation, Kind, loudness

RATE = 8000
KINDS = get_args(Kind)


def tones(count: int = 4, time: int = RATE) -> Tensor:
    """Loud for the first half, silent then."""
    t = torch.arange(time) / RATE
    waves = torch.stack([torch.sin(2 * math.pi * 200 * (k + 1) * t) for k in range(count)]) * 0.3
    return waves * (t < t[-1] / 2)


def decibels(power: Tensor) -> Tensor:
    return 10 * power.log10()


@pytest.mark.parametrize("kind", ["white", "colored", "hum", "babble"])
@pytest.mark.parametrize("ratio", [-5.0, 0.0, 15.0])
def test_the_ratio_is_that_of_the_active_part(kind: Kind, ratio: float) -> None:
    torch.manual_seed(0)
    clean = tones()
    noise = Degradation(RATE).degrade(clean, kind, ratio) - clean
    active = clean[:, : RATE // 2].square().mean(1)
    assert decibels(active / noise.square().mean(1)) == pytest.approx(torch.full((4,), ratio), abs=0.1)


@pytest.mark.parametrize("ratio", [3.0, 5.0, 20.0])
def test_clipping_loses_what_it_says_and_keeps_the_rest(ratio: float) -> None:
    clean = tones()
    noisy = Degradation(RATE).degrade(clean, "clipping", ratio)
    lost = (clean - noisy).square().sum(1)
    assert decibels(clean.square().sum(1) / lost) == pytest.approx(torch.full((4,), ratio), abs=0.1)
    peak = noisy.abs().amax(1, keepdim=True)
    torch.testing.assert_close(noisy, clean.clamp(-peak, peak))


@pytest.mark.parametrize("kind", KINDS)
def test_padding_stays_silent_and_does_not_count(kind: Kind) -> None:
    clean, valid = tones(3), torch.ones(3, RATE, dtype=torch.bool)
    valid[1, 5000:] = False
    torch.manual_seed(0)
    noisy = Degradation(RATE).degrade(clean, kind, 0.0, valid)
    assert not noisy[1, 5000:].any() and (noisy != clean)[1, :5000].any()
    if kind != "clipping":
        noise = (noisy - clean)[1, :5000]
        assert float(noise.square().mean()) == pytest.approx(float(loudness(clean, 160)[1]) ** 2, rel=0.01)


def test_colors() -> None:
    torch.manual_seed(0)
    silent = torch.ones(64, RATE)

    def octaves(kind: Kind) -> tuple[float, float]:
        power = torch.fft.rfft(Degradation(RATE).degrade(silent, kind, 0.0) - silent).abs().square().mean(0)
        return float(power[100:200].sum()), float(power[1600:3200].sum())

    low, high = octaves("white")
    assert high / low == pytest.approx(16, rel=0.1)
    low, high = octaves("colored")
    assert high < low
    low, high = octaves("hum")
    assert high < low / 100


def test_each_row_has_damage_of_its_own_and_a_seed_repeats_it() -> None:
    degradation, clean = Degradation(RATE, min_snr=0, max_snr=10), tones(1).repeat(64, 1)
    torch.manual_seed(0)
    first = degradation(clean)
    torch.manual_seed(0)
    assert torch.equal(degradation(clean), first)
    noises = (first - clean).square().sum(1)
    assert len(noises.unique()) > 48 and first.isfinite().all()


@pytest.mark.parametrize("batch", [1, 2])
def test_silence_and_single_sounds_are_no_trouble(batch: int) -> None:
    for kind in KINDS:
        assert Degradation(RATE).degrade(torch.zeros(batch, 900), kind, 0.0).isfinite().all()
        assert (Degradation(RATE).degrade(tones(batch), kind, 0.0) != tones(batch)).any()


def test_ranges_make_sense() -> None:
    with pytest.raises(ValueError, match="min_snr below max_snr"):
        Degradation(RATE, min_snr=3, max_snr=0)
    with pytest.raises(ValueError, match="at least one kind"):
        Degradation(RATE, kinds=[])
