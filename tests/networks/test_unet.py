"""The U-Net: shapes, sizes, what reaches the output."""

import pytest
import torch

from genai.networks.layers import PromptEmbedding
from genai.networks.text_encoder import PromptEncoder
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


def words(*prompts: str) -> PromptEmbedding:
    torch.manual_seed(1)
    embedding: PromptEmbedding = PromptEncoder(8, 16)(list(prompts))
    return embedding


def test_attention_to_words_starts_without_effect_and_then_sees_their_order() -> None:
    torch.manual_seed(0)
    plain, network = UNet((3, 16, 16), context=8, width=16), UNet((3, 16, 16), context=8, width=16, word_width=16)
    network.load_state_dict(plain.state_dict(), strict=False)
    x, time, embedding = torch.randn(2, 3, 16, 16), torch.rand(2), words("a b", "b a")
    pooled = embedding.pooled[:1].expand(2, -1)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and module is network.out:
            torch.nn.init.normal_(module.weight)
    plain.out.load_state_dict(network.out.state_dict())
    x = x[:1].expand(2, -1, -1, -1)
    assert torch.equal(network(x, time[:1].expand(2), pooled, words=embedding), plain(x, time[:1].expand(2), pooled))
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    first, second = network(x, time[:1].expand(2), pooled, words=embedding)
    assert (first - second).abs().max() > 1e-3


def test_a_layout_of_words_sees_their_order_from_the_first_step() -> None:
    torch.manual_seed(0)
    network = UNet((3, 16, 16), context=8, width=16, word_width=16, word_layout=2)
    torch.nn.init.normal_(network.out.weight)
    embedding = words("a b", "b a")
    x, time, pooled = torch.randn(1, 3, 16, 16).expand(2, -1, -1, -1), torch.full((2,), 0.5), embedding.pooled[:1]
    first, second = network(x, time, pooled.expand(2, -1), words=embedding)
    assert (first - second).abs().max() > 1e-3
    larger = torch.randn(2, 3, 24, 16)
    assert network(larger, time, embedding.pooled, words=embedding).shape == larger.shape


def test_a_layout_of_words_needs_words() -> None:
    with pytest.raises(ValueError, match="word_layout needs word_width"):
        UNet((3, 16, 16), context=8, word_layout=2)


def test_padding_and_other_prompts_of_a_batch_change_nothing() -> None:
    torch.manual_seed(0)
    network = UNet((3, 16, 16), context=8, width=16, word_width=16, word_layout=1)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    x, time = torch.randn(2, 3, 16, 16), torch.rand(2)
    both, alone = words("a", "a much longer prompt"), words("a")
    output = network(x, time, both.pooled, words=both)[0]
    assert torch.allclose(output, network(x[:1], time[:1], alone.pooled, words=alone)[0], atol=1e-5)


def test_the_width_follows_the_channels() -> None:
    assert [UNet(shape).stem.out_channels for shape in ((3, 16, 16), (1, 16, 16))] == [32, 32]
    assert UNet((32, 8, 8), patch=1).stem.out_channels == 96


@pytest.mark.parametrize(("shape", "patch", "frames"), [((3, 32, 32), 4, 1), ((1, 28, 20), 2, 1), ((3, 16, 16), 4, 3)])
def test_a_detail_head_begins_as_the_identity_and_then_sees_the_input(
    shape: tuple[int, ...], patch: int, frames: int
) -> None:
    torch.manual_seed(0)
    plain, network = (UNet(shape, frames, width=16, patch=patch, detail_width=width) for width in (0, 8))
    network.load_state_dict(plain.state_dict(), strict=False)
    lead = (2,) if frames == 1 else (2, frames)
    x, time = torch.randn(*lead, *shape), torch.rand(*lead)
    seconds = (torch.arange(frames).expand(2, frames) / 8,) if frames > 1 else (None,)
    torch.nn.init.normal_(plain.out.weight, std=0.1)
    network.load_state_dict(plain.state_dict(), strict=False)
    out = network(x, time, None, *seconds)
    torch.testing.assert_close(out, plain(x, time, None, *seconds), rtol=1e-4, atol=1e-4)
    assert network.detail_head is not None
    for parameter in network.detail_head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    changed = network(x, time, None, *seconds)
    moved = x.clone()
    moved[..., 0, 0] += 1
    difference = (network(moved, time, None, *seconds) - changed).abs().sum((-3, -2, -1))
    assert changed.shape == x.shape and not torch.allclose(out, changed) and difference.min() > 0


def test_a_detail_head_needs_an_even_patch() -> None:
    with pytest.raises(ValueError, match="detail_width needs a patch of a multiple of 2, not 1"):
        UNet((3, 16, 16), patch=1, detail_width=8)
