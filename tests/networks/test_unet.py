"""The U-Net: shapes, sizes, what reaches the output."""

import pytest
import torch

from genai.networks.unet import UNet


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 28, 28), (3, 24, 40), (3, 64, 64)])
@pytest.mark.parametrize("context", [0, 8])
def test_the_output_has_the_shape_of_the_input(shape: tuple[int, ...], context: int) -> None:
    network = UNet(shape, context=context, width=16, blocks=1)
    pooled = torch.randn(2, context) if context else None
    assert network(torch.randn(2, *shape), torch.rand(2), pooled).shape == (2, *shape)


def test_indivisible_sizes_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"30 x 32 pixels have to be multiples of 4"):
        UNet((3, 30, 32))


def test_the_output_starts_at_zero_and_depends_on_time_and_prompt() -> None:
    torch.manual_seed(0)
    network = UNet((3, 16, 16), context=8, width=16, blocks=1)
    x, time, pooled = torch.randn(2, 3, 16, 16), torch.rand(2), torch.randn(2, 8)
    assert not network(x, time, pooled).any()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    out = network(x, time, pooled)
    assert not torch.allclose(out, network(x, time.flip(0), pooled))
    assert not torch.allclose(out, network(x, time, pooled.flip(0)))
    torch.testing.assert_close(out[:1], network(x[:1], time[:1], pooled[:1]), rtol=1e-3, atol=1e-3)
