from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from genai.modalities.vocoder_audio import VocoderAudio
from genai.networks.harmonic_vocoder import HarmonicVocoder
from genai.speech.voice_frames import band_centers

RATE = 16_000
BANDS = band_centers(RATE).tolist()
SIZES: dict[str, Any] = VocoderAudio(RATE).interface


def small(**settings: int) -> HarmonicVocoder:
    torch.manual_seed(0)
    network = HarmonicVocoder(**SIZES, **{"width": 16, "layers": 2, "kernel": 3, **settings})
    torch.nn.init.normal_(network.leave.weight, std=0.05)
    return network.eval()


def frames_of(f0: Tensor) -> Tensor:
    """Return frames (1, time, bands + 2) of an even spectrum."""
    known = torch.full((*f0.shape, len(BANDS) + 1), -6.0)
    return torch.cat([known, f0[..., None]], -1)


@pytest.mark.parametrize("hertz", [97.3, 220.0, 450.0])
def test_a_tone_has_the_pitch_of_its_frames(hertz: float) -> None:
    frames = frames_of(torch.full((1, 80), hertz))
    frames[..., -2] = -60.0
    with torch.no_grad():
        sound = HarmonicVocoder(**SIZES)(frames, torch.zeros(1, 16_000), torch.zeros(1))[0].numpy()
    spectrum = np.abs(np.fft.rfft(sound[2000:14_000] * np.hanning(12_000), 2**20))
    near = np.arange(2**20 // 2 + 1) * RATE / 2**20
    near_pitch = np.flatnonzero((near > hertz * 0.8) & (near < hertz * 1.2))
    found = near[near_pitch[spectrum[near_pitch].argmax()]]
    assert abs(1200 * np.log2(found / hertz)) < 5  # cents
    between = np.abs(near / hertz % 1 - 0.5) < 0.2
    assert spectrum[between].max() < 1e-3 * spectrum.max()  # no mirrored harmonics


def test_both_sources_have_unit_variance_and_unvoiced_frames_no_pitch() -> None:
    network = small()
    pulses, gate = network.source(torch.tensor([[120.0] * 40 + [0.0] * 40]), torch.zeros(1))
    assert pulses[:, :7800].square().mean() == pytest.approx(1, abs=0.05)
    assert gate[:, :7800].min() == 1 and gate[:, 8000:].max() == 0


def test_the_phase_of_a_frame_is_that_of_its_first_sample() -> None:
    network, f0 = small(), torch.tensor([[0.0, 100.0, 120.0, 180.0, 0.0, 0.0, 90.0, 95.0]])
    whole, _ = network.source(f0, torch.full((1,), 0.3))
    phases = network.phases(f0, torch.full((1,), 0.3))
    part, _ = network.source(f0[:, 3:], phases[:, 3])
    torch.testing.assert_close(part, whole[:, 3 * 200 :])


def test_sound_depends_on_frames_within_reach_and_gradients_reach_all_parameters() -> None:
    network = small()
    frames = frames_of(torch.full((1, 60), 150.0)).requires_grad_()
    sound = network(frames, torch.randn(1, 60 * 200), torch.zeros(1))
    sound[:, 30 * 200 : 31 * 200].square().sum().backward()
    assert frames.grad is not None
    touched = frames.grad.abs().amax((0, 2)).nonzero().flatten()
    assert 30 - network.reach <= touched.min() < 30 < touched.max() <= 30 + network.reach
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="kernel=4 should be odd"):
        HarmonicVocoder(**SIZES, kernel=4)
    with pytest.raises(ValueError, match="steps=3 does not divide"):
        HarmonicVocoder(**SIZES, steps=3)


def test_spectra_are_computed_in_full_precision_also_in_mixed_precision() -> None:
    network = HarmonicVocoder(**SIZES, width=16, layers=1)  # it corrects nothing yet
    frames, noise = frames_of(torch.full((1, 20), 150.0)), torch.randn(1, 20 * 200)
    with torch.no_grad():
        sound = network(frames, noise, torch.zeros(1))
        with torch.autocast("cpu", torch.bfloat16):
            mixed = network(frames, noise, torch.zeros(1))
    torch.testing.assert_close(mixed, sound, rtol=1e-4, atol=1e-5)
