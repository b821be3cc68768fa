import pytest
import torch

from genai.networks.spectral import SpectralGain
from genai.networks.wavenet.model import WaveNet


def network(rate: int = 8000) -> SpectralGain:
    torch.manual_seed(0)
    sizes = {"layers": 2, "cycle": 2, "residual": 8, "gate": 8, "skip": 8, "patch": 8}
    return SpectralGain(WaveNet(None, 80, frame=None, centered=True, **sizes), rate, window=0.032).eval()


@pytest.mark.parametrize("time", [1, 63, 640, 1001])
def test_the_length_is_kept(time: int) -> None:
    made = network()(torch.randn(2, time))
    assert made.shape == (2, time) and made.isfinite().all()


def test_gains_of_one_are_the_identity() -> None:
    net, x = network(), torch.randn(2, 1000)
    torch.nn.init.zeros_(net.leave.weight)
    torch.testing.assert_close(net(x), x, atol=1e-5, rtol=1e-4)


def test_the_window_is_constant_in_seconds() -> None:
    assert network(8000).patch == 64 and network(16_000).patch == 128


def test_outputs_depend_on_samples_within_reach() -> None:
    net = network()
    x = torch.randn(1, 64 * 60)
    begin = 64 * 30
    other = x.clone()
    other[:, : begin - net.reach] += 1
    other[:, begin + 64 + net.reach :] -= 1
    with torch.no_grad():
        torch.testing.assert_close(net(other)[:, begin : begin + 64], net(x)[:, begin : begin + 64])
        nearer = x.clone()
        nearer[:, : begin - net.reach // 2] += 1
        assert not torch.allclose(net(nearer)[:, begin : begin + 64], net(x)[:, begin : begin + 64], atol=1e-5)
