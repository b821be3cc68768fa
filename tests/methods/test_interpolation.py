"""Noise and prompts on the way from one sample to another."""

import pytest
import torch

from genai.core.batch import Interpolation, Request
from genai.methods.interpolation import (
    embed_prompts,
    initial_noise,
    interpolated_prompts,
    noise_sampler,
    pool_prompts,
    slerp,
)
from genai.networks.text_encoder import PromptEncoder


def request(*shares: float) -> Request:
    count = len(shares)
    return Request(
        ["red"] * count, [1] * count, (3,), interpolation=[Interpolation("blue", 2, share) for share in shares]
    )


def test_noise_is_a_function_of_its_seed() -> None:
    alone = initial_noise(Request(["a"], [5], (4,)), (4,))
    torch.testing.assert_close(initial_noise(Request(["a", "b"], [3, 5], (4,)), (4,))[1:], alone, rtol=0, atol=0)


def test_interpolation_starts_and_ends_with_the_two_samples() -> None:
    first, last = initial_noise(request(0.0, 1.0), (2, 50))
    one, other = initial_noise(Request(["a", "b"], [1, 2], (2, 50)), (2, 50))
    torch.testing.assert_close(first, one)
    torch.testing.assert_close(last, other)


def test_noise_on_the_way_is_as_long_as_noise_is() -> None:
    start, end = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    halfway = slerp(start, end, torch.tensor([0.5]))
    torch.testing.assert_close(halfway, torch.full((1, 2), 0.5**0.5))
    lengths = initial_noise(request(0.25, 0.5, 0.75), (4000,)).square().mean(1)
    assert lengths.tolist() == pytest.approx([1, 1, 1], abs=0.1)  # the straight line is half as strong in the middle
    torch.testing.assert_close(slerp(start, start, torch.tensor([0.3])), start, rtol=1e-3, atol=1e-4)


def test_pooled_prompts_are_interpolated() -> None:
    torch.manual_seed(0)
    encoder = PromptEncoder(width=8, word_width=32)
    red, blue = encoder(["red", "blue"]).pooled
    pooled_prompts = pool_prompts(encoder, interpolated_prompts(request(0.0, 0.25, 1.0)))
    assert pooled_prompts is not None
    torch.testing.assert_close(pooled_prompts, torch.stack([red, 0.75 * red + 0.25 * blue, blue]), rtol=1e-4, atol=1e-5)
    mixed = pool_prompts(encoder, ["blue", ("red", "blue", 0.0)])
    assert mixed is not None
    torch.testing.assert_close(mixed, torch.stack([blue, red]), rtol=1e-4, atol=1e-5)
    assert pool_prompts(None, ["red"]) is None


def noise_request(seeds: list[int], targets: list[Interpolation] | None = None) -> Request:
    return Request([""] * len(seeds), seeds, (4, 5), interpolation=targets)


def test_fresh_noise_of_an_item_is_its_own_and_never_the_same() -> None:
    x = torch.zeros(3, 4, 5)
    together, alone = noise_sampler(noise_request([5, 6, 7])), noise_sampler(noise_request([6]))
    draws = [alone(x[:1])[0] for _ in range(2)]
    assert all(torch.equal(together(x)[1], draw) for draw in draws)
    draws.append(initial_noise(noise_request([6]), (4, 5))[0])
    assert not any(torch.equal(draws[a], draws[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert all(abs(torch.corrcoef(torch.stack([draws[a].ravel(), draws[2].ravel()]))[0, 1]) < 0.6 for a in (0, 1))


def test_fresh_noise_at_the_end_of_the_way_is_that_of_the_other_seed() -> None:
    x = torch.zeros(1, 4, 5)
    end = noise_sampler(noise_request([5], [Interpolation("", 6, 1.0)]))(x)
    torch.testing.assert_close(end, noise_sampler(noise_request([6]))(x), atol=1e-3, rtol=0)


def test_words_of_both_prompts_are_seen_by_their_weight() -> None:
    torch.manual_seed(0)
    encoder = PromptEncoder(8, 16)
    start, end = (embed_prompts(encoder, [text]) for text in ("a b", "c"))
    assert start and end and embed_prompts(None, ["a"]) is None
    for weight, only in ((0.0, start), (1.0, end)):
        pair = embed_prompts(encoder, [("a b", "c", weight)])
        assert pair and torch.equal(pair.pooled, only.pooled) and pair.tokens.shape[1] == pair.mask.shape[1] == 5
        seen = pair.mask[0].exp()
        assert torch.equal(pair.tokens[0, seen > 0], only.tokens[0]) and set(seen.tolist()) == {0.0, 1.0}
