"""Augmentation that gradients pass: what changes, by how much, and what does not."""

import pytest
import torch

from genai.methods.augment import AUGMENTATIONS, augment_images, random_color, random_cutout, random_translation


def test_nothing_is_changed_where_nothing_is_asked_for() -> None:
    x = torch.randn(2, 3, 8, 8)
    assert augment_images(x, []) is x


@pytest.mark.parametrize("kind", sorted(AUGMENTATIONS))
def test_each_image_is_changed_otherwise_and_gradients_pass_twice(kind: str) -> None:
    torch.manual_seed(0)
    x = torch.ones(64, 3, 16, 16) * torch.linspace(-1, 1, 16)
    x.requires_grad_()
    output = augment_images(x, [kind])  # type: ignore[list-item]
    assert output.shape == x.shape and len({tuple(item.flatten().tolist()) for item in output}) > 8
    (slope,) = torch.autograd.grad(output.square().sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


def test_translation_moves_by_an_eighth_and_brings_in_nothing() -> None:
    torch.manual_seed(0)
    x = torch.zeros(200, 1, 16, 16)
    x[:, :, 8, 8] = 1
    places = random_translation(x).flatten(1).argmax(1)
    moves = {(int(place) // 16 - 8, int(place) % 16 - 8) for place in places}
    assert {move[0] for move in moves} == {move[1] for move in moves} == {-2, -1, 0, 1, 2}
    assert random_translation(torch.ones(50, 1, 16, 16)).flatten(1).min(1).values.eq(0).any()


def test_cutout_takes_half_the_sides_at_most() -> None:
    torch.manual_seed(0)
    left = random_cutout(torch.ones(200, 1, 16, 16)).mean((1, 2, 3))
    assert 1 - (9 / 16) ** 2 <= left.min() < 0.8 and left.max() > 0.85


def test_color_keeps_gray_gray() -> None:
    torch.manual_seed(0)
    gray = torch.randn(4, 1, 8, 8).expand(4, 3, 8, 8)
    output = random_color(gray)
    torch.testing.assert_close(output, output[:, :1].expand_as(output))
    assert not torch.allclose(output, gray)
