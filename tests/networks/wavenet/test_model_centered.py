import pytest
import torch

from genai.networks.wavenet.model import WaveNet


def network(patch: int = 1) -> WaveNet:
    torch.manual_seed(0)
    sizes = {"layers": 4, "cycle": 2, "residual": 8, "gate": 8, "skip": 8}
    return WaveNet(None, 80, frame=None, centered=True, patch=patch, **sizes)


@pytest.mark.parametrize("patch", [1, 4])
@pytest.mark.parametrize("time", [1, 7, 160])
def test_the_length_is_kept(patch: int, time: int) -> None:
    assert network(patch)(torch.randn(2, time)).shape == (2, time)


@pytest.mark.parametrize("patch", [1, 4])
def test_the_receptive_field_is_exact_on_both_sides(patch: int) -> None:
    net, middle = network(patch), 80
    x = torch.randn(1, 161, requires_grad=True)
    net(x)[0, middle : middle + patch].sum().backward()
    assert x.grad is not None
    affected = x.grad[0].nonzero()[:, 0]
    assert net.reach == patch * 6 and net.receptive_field == patch * 13
    assert (int(affected[0]), int(affected[-1])) == (middle - net.reach, middle + patch - 1 + net.reach)


def test_patches_need_waveforms() -> None:
    with pytest.raises(ValueError, match="patch=2"):
        WaveNet(256, 80, patch=2)
