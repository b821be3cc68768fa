"""The autoencoder: an eighth of the sides, latents that are normalized, frozen parts that nothing trains."""

import pytest
import torch

from genai.adapters.lora import LoRA, adapted_layers
from genai.methods.diffusion import Diffusion
from genai.methods.scaling import LearnedScaling
from genai.networks.autoencoder import Autoencoder
from genai.networks.unet import UNet


def small(color_channels: int = 3) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(color_channels, latents=4, width=8)


@pytest.mark.parametrize("color_channels", [1, 3])
def test_shapes_and_gradients(color_channels: int) -> None:
    network, pixels = small(color_channels), torch.rand(2, color_channels, 16, 24) * 2 - 1
    assert network.encode(pixels).shape == (2, 4, 2, 3)
    assert network(pixels).shape == pixels.shape
    network(pixels).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


def test_normalized_latents_decode_to_the_same_pixels() -> None:
    network, pixels = small(), torch.rand(2, 3, 16, 16) * 2 - 1
    latents, decoded = network.encode(pixels), network(pixels)
    network.means.copy_(torch.tensor([1.0, -2, 0, 3]))
    network.stds.copy_(torch.tensor([0.5, 2, 1, 4]))
    expected = (latents - network.means[:, None, None]) / network.stds[:, None, None]
    torch.testing.assert_close(network.encode(pixels), expected)
    torch.testing.assert_close(network(pixels), decoded)


def test_a_part_of_another_model_is_neither_trained_nor_adapted() -> None:
    codec = small()
    network = UNet((4, 2, 2), width=8, patch=1, multipliers=(1,), attention=0)
    method = Diffusion(network, scaling=LearnedScaling(autoencoder=codec))
    assert method.codec is codec and not any(parameter.requires_grad for parameter in codec.parameters())
    assert not {id(p) for p in codec.parameters()} & {id(p) for p in method.ema_module.parameters()}
    assert any(name.startswith("codec.") for name in method.state_dict())
    LoRA(rank=2).attach(method)
    names = [name for name, _ in adapted_layers(method)]
    assert names and not any(name.startswith("codec") for name in names)


def test_weights_of_pixels_become_those_of_positions() -> None:
    scaling = LearnedScaling(autoencoder=Autoencoder(3, latents=4, width=8))
    mask = torch.zeros(2, 1, 16, 16)
    mask[..., :8] = 1
    mask[..., 8:12] = 1
    assert scaling.scale_mask(mask).tolist() == [[[[1.0, 0.5], [1.0, 0.5]]]] * 2
