import pytest
import torch
from torch import Tensor, nn

from genai.core.batch import Batch, Request
from genai.methods import vocoder
from genai.methods.vocoder import Vocoder, VocoderOptions, VocoderStream, stft_loss
from genai.networks.harmonic_vocoder import HarmonicVocoder

BANDS = [50.0 * 1.12**band for band in range(40)]


@pytest.fixture(scope="module")
def method() -> Vocoder:
    torch.manual_seed(0)
    network = HarmonicVocoder(16_000, 200, BANDS, 3000.0, -60.0, width=16, layers=2, kernel=3)
    nn.init.normal_(network.leave.weight, std=0.05)
    return Vocoder(network).eval()


def frames(count: int) -> Tensor:
    torch.manual_seed(1)
    f0 = 120 + 30 * torch.rand(count)
    f0[torch.rand(count) < 0.3] = 0
    return torch.cat([torch.randn(count, 40) - 8, -20 * torch.rand(count, 1), f0[:, None]], 1)


def test_equal_sounds_have_a_loss_of_0_and_others_not() -> None:
    x = torch.randn(2, 3000)
    assert all(part == 0 for part in stft_loss(x, x, [64, 200]).values())
    twice = stft_loss(2 * x, x, [64, 200])
    assert twice["convergence"] == pytest.approx(1, abs=1e-3)
    assert twice["magnitude"] == pytest.approx(0.693, abs=1e-2)  # log 2
    assert twice["loss"] == pytest.approx(twice["convergence"] + twice["magnitude"])
    assert stft_loss(torch.zeros(1, 9), torch.zeros(1, 9), [64])["loss"] == 0  # shorter than a window, and silent


def test_a_stream_equals_the_whole(method: Vocoder) -> None:
    rows, network = frames(150), method.network
    generator = torch.Generator().manual_seed(5)
    noise = torch.stack([torch.randn(200, generator=generator) for _ in rows])
    with torch.no_grad():
        whole = network(rows[None], noise.reshape(1, -1), torch.zeros(1))[0]
    stream = VocoderStream(network, seed=5)
    parts = [stream.push(part) for part in rows.split((1, 40, 7, 60, 30, 12))] + [stream.finish()]
    assert sum(len(part) > 0 for part in parts) > 3
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-5, rtol=1e-4)
    assert len(stream.frames) <= 2 * network.reach + 60  # what is kept does not grow


def test_a_request_is_answered_in_parts_of_its_length(method: Vocoder, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = frames(90)
    request = Request(["", ""], [0, 1], (17_900,), local=[rows, rows])
    (whole, other) = method.sample(request, VocoderOptions())
    monkeypatch.setattr(vocoder, "FRAMES_AT_ONCE", 35)
    chunks = list(method.stream(request, VocoderOptions()))
    assert len(chunks) > 1 and chunks[0].start == 0
    torch.testing.assert_close(torch.cat([chunk.x[0] for chunk in chunks]), whole, atol=1e-5, rtol=1e-4)
    assert len(whole) == 17_900 and not torch.equal(whole, other)  # another seed, another noise
    torch.testing.assert_close(method.synthesize(rows)[:17_900], whole, atol=1e-5, rtol=1e-4)


def test_padding_is_not_learned(method: Vocoder) -> None:
    rows = frames(40)[None]
    x, valid = torch.randn(1, 8000) * 0.01, torch.arange(8000)[None] < 4000
    batch = Batch(x, [""], valid=valid, local=rows)
    other = Batch(x + ~valid, [""], valid=valid, local=rows)
    assert method.validation_loss(batch) == method.validation_loss(other)


def test_a_stream_computes_all_of_it_on_the_device_of_the_network() -> None:
    class Elsewhere(nn.Module):
        hop_length, sample_rate, reach = 4, 16_000, 1

        def forward(self, frames: Tensor, noise: Tensor, phase: Tensor) -> Tensor:
            assert frames.device == noise.device == phase.device == torch.device("meta")
            return torch.zeros(1, 4 * frames.shape[1])

        def phases(self, f0: Tensor, phase: Tensor) -> Tensor:
            return phase[:, None] + f0

    stream = VocoderStream(Elsewhere(), device=torch.device("meta"))
    sounds = [stream.push(part) for part in frames(20).split(8)] + [stream.finish()]
    assert sum(map(len, sounds)) == 4 * 20
