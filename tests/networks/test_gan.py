"""The networks of a GAN: sizes, what reaches the output, what a score depends on."""

import pytest
import torch
from torch import nn

from genai.networks.gan import Discriminator, Generator, level_sizes


def randomized(network: nn.Module) -> nn.Module:
    """With random weights where it begins with zeros."""
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network.eval()


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 28, 28), (3, 32, 32), (3, 24, 40), (3, 64, 64), (1, 4, 4)])
@pytest.mark.parametrize("context", [0, 8])
def test_sizes_that_are_multiples_of_four(shape: tuple[int, ...], context: int) -> None:
    pooled = torch.randn(2, context) if context else None
    images = Generator(shape, context, latent=5, width=8)(torch.randn(2, 5), pooled)
    assert images.shape == (2, *shape)
    assert Discriminator(shape, context, width=8)(images, pooled).shape == (2,)


def test_levels_end_at_small_or_odd_sides() -> None:
    assert level_sizes((3, 64, 64), 8) == [(32, 32), (16, 16), (8, 8)]
    assert level_sizes((3, 64, 64), 4)[-1] == (4, 4)
    assert level_sizes((1, 28, 28), 4) == [(14, 14), (7, 7)]


@pytest.mark.parametrize("network", [Generator, Discriminator])
def test_indivisible_sizes_are_rejected(network: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match=r"30 x 32 pixels have to be multiples of 4"):
        network((3, 30, 32))


def test_an_image_depends_on_latent_and_prompt_but_not_on_the_batch() -> None:
    torch.manual_seed(0)
    generator = randomized(Generator((3, 16, 16), 8, latent=5, width=8))
    z, pooled = torch.randn(2, 5), torch.randn(2, 8)
    images = generator(z, pooled)
    assert not torch.allclose(images, generator(z.flip(0), pooled), atol=1e-3)
    assert not torch.allclose(images, generator(z, pooled.flip(0)), atol=1e-3)
    torch.testing.assert_close(images[:1], generator(z[:1], pooled[:1]), rtol=1e-3, atol=1e-3)


def test_scores_depend_on_the_prompt_and_features_do_not() -> None:
    torch.manual_seed(0)
    discriminator = randomized(Discriminator((3, 16, 16), 8, width=8))
    assert isinstance(discriminator, Discriminator)
    x, pooled = torch.randn(2, 3, 16, 16), torch.randn(2, 8)
    features = discriminator.features(x)
    torch.testing.assert_close(discriminator.scores(features, pooled), discriminator(x, pooled))
    assert not torch.allclose(discriminator(x, pooled), discriminator(x, pooled.flip(0)), atol=1e-4)
    matrix = discriminator.prompt_scores(features, pooled)
    assert matrix.shape == (2, 2)
    unprompted = discriminator.scores(features)
    torch.testing.assert_close(unprompted + matrix.diagonal(), discriminator(x, pooled))
    other = x.clone()
    other[0, :, 0, 0] += 1  # one pixel
    changed = (discriminator(other, pooled) != discriminator(x, pooled)).tolist()
    assert changed == [True, False]
