from typing import Any

import pytest
import torch
from torch import Tensor

from genai.core.batch import Batch
from genai.methods.autoregressive import Autoregressive
from genai.networks.gpt import GPT
from genai.networks.layers import rms_norm

VOCAB, BLOCK = 11, 6


def gpt(**options: Any) -> GPT:
    """A small one in float64 whose every weight is random: those that start at zero would hide mistakes."""
    torch.manual_seed(0)
    network = GPT(VOCAB, **{"block": BLOCK, "layers": 2, "heads": 4, "width": 32, "ngram_rows": 64, **options})
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return network.double().eval()


def tokens(batch: int, time: int, seed: int = 1) -> Tensor:
    return torch.randint(VOCAB, (batch, time), generator=torch.Generator().manual_seed(seed))


VARIANTS: list[dict[str, Any]] = [
    {"ngrams": 1},
    {"ngrams": 2},
    {"ngrams": 3},
    {"ngrams": 3, "ngram_rows": 5},
    {"kv_heads": 2},
    {"kv_heads": 1, "layers": 3},
    {"block": 1},
    {"block": 100},
]


@pytest.fixture(params=VARIANTS, ids=lambda options: ",".join(f"{k}={v}" for k, v in options.items()))
def network(request: pytest.FixtureRequest) -> GPT:
    return gpt(**request.param)


@torch.no_grad()
@pytest.mark.parametrize("changed", [0, 3, 9, 13])
def test_gpt_is_causal(network: GPT, changed: int) -> None:
    x = tokens(2, 14)
    other = x.clone()
    other[:, changed] = (x[:, changed] + 1) % VOCAB
    before, after = network(x), network(other)
    assert before[:, :changed].equal(after[:, :changed])
    assert not before[:, changed].allclose(after[:, changed])


@torch.no_grad()
@pytest.mark.parametrize("prefix", [1, 4, BLOCK, 9, 40])
def test_steps_with_the_cache_agree_with_forward(network: GPT, prefix: int) -> None:
    """Before, at and beyond the end of the window."""
    x = tokens(3, prefix + 10)
    whole = network(x)
    logits, cache = network.prefill(x[:, :prefix], new=10)
    torch.testing.assert_close(logits, whole[:, prefix - 1], atol=1e-5, rtol=1e-5)
    for position in range(prefix, prefix + 10):
        logits = network.step(x[:, position], cache)
        torch.testing.assert_close(logits, whole[:, position], atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("lengths", [(1, 3, 5), (2, 9, 6), (7, 8, 20), (1, 40)])
def test_padding_does_not_change_the_logits(network: GPT, lengths: tuple[int, ...]) -> None:
    items = [tokens(1, length + 8, seed)[0] for seed, length in enumerate(lengths)]
    time = max(lengths)
    x = torch.stack(
        [torch.cat([torch.zeros(time - n).long(), item[:n]]) for item, n in zip(items, lengths, strict=True)]
    )
    valid = torch.arange(time) >= time - torch.tensor(lengths)[:, None]
    padded = network(x, valid)
    logits, cache = network.prefill(x, valid, new=8)
    for step in range(9):
        for row, (item, n) in enumerate(zip(items, lengths, strict=True)):
            single = network(item[None, : n + step])[0]
            torch.testing.assert_close(logits[row], single[-1], atol=1e-5, rtol=1e-5)
            if step == 0:
                torch.testing.assert_close(padded[row, -n:], single, atol=1e-5, rtol=1e-5)
        if step < 8:
            logits = network.step(torch.stack([item[n + step] for item, n in zip(items, lengths, strict=True)]), cache)


@torch.no_grad()
def test_padding_tokens_are_ignored() -> None:
    network, x, valid = gpt(), tokens(2, 8), torch.arange(8).expand(2, 8) >= torch.tensor([[0], [5]])
    other = x.masked_fill(~valid, 7)
    assert network(x, valid)[valid].equal(network(other, valid)[valid])


@torch.no_grad()
@pytest.mark.parametrize("ngrams", [1, 3])
def test_one_layer_attends_to_block_tokens(ngrams: int) -> None:
    """Its oldest key knows of the ``ngrams - 1`` tokens before it."""
    network, x = gpt(layers=1, ngrams=ngrams), tokens(1, 20)
    reached = []
    for back in range(20):
        other = x.clone()
        other[:, 19 - back] = (x[:, 19 - back] + 1) % VOCAB
        if not network(x)[:, -1].allclose(network(other)[:, -1], atol=1e-12):
            reached.append(back)
    assert reached == list(range(BLOCK + ngrams - 1))


@torch.no_grad()
def test_long_prompts_are_cut_to_the_receptive_field() -> None:
    """A mask over all of it would take ten gigabytes."""
    network, x = gpt(), tokens(1, 100_000)
    logits, cache = network.prefill(x, new=3)
    torch.testing.assert_close(logits, network(x[:, -40:])[:, -1], atol=1e-5, rtol=1e-5)
    padded, _ = network.prefill(x, torch.ones_like(x, dtype=torch.bool), new=3)
    torch.testing.assert_close(padded, logits, atol=1e-5, rtol=1e-5)
    assert cache.keys.shape[-2] == BLOCK


@torch.no_grad()
def test_ngrams_contribute_beyond_single_tokens() -> None:
    """Without attention only the hashed tables see the token before."""
    for ngrams, matters in ((1, False), (2, True)):
        network = gpt(ngrams=ngrams, block=1)
        one, two = (network(torch.tensor([[first, 5]]))[0, -1] for first in (1, 2))
        assert one.allclose(two) != matters


@torch.no_grad()
@pytest.mark.parametrize("ngrams", [2, 3])
def test_ngrams_do_not_collide_in_large_tables(ngrams: int) -> None:
    network = gpt(ngrams=ngrams, ngram_rows=(VOCAB + 1) ** ngrams, block=1)
    network.embedding.weight.zero_()
    every = torch.cartesian_prod(*[torch.arange(VOCAB)] * ngrams)
    logits = network(every)[:, -1]
    assert len(logits.round(decimals=6).unique(dim=0)) == VOCAB**ngrams


def test_initial_predictions_are_uniform() -> None:
    torch.manual_seed(0)
    logits = GPT(VOCAB, BLOCK, layers=1)(tokens(2, 5))
    assert logits.shape == (2, 5, VOCAB)
    assert logits.abs().max() < 0.1


def test_every_parameter_gets_a_gradient() -> None:
    network = gpt()
    network(tokens(4, 14)).square().sum().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not silent


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_is_only_active_in_training(dropout: float) -> None:
    network, x = gpt(dropout=dropout), tokens(1, 5)
    assert network(x).equal(network(x))
    network.train()
    assert network(x).equal(network(x)) == (dropout == 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 30}, "width=30 has to be a multiple of 2 x heads=8"),
        ({"width": 4}, "width=4 has to be a multiple of 2 x heads=8"),
        ({"kv_heads": 3}, "heads=4 has to be a multiple of kv_heads=3"),
        ({"kv_heads": 8}, "heads=4 has to be a multiple of kv_heads=8"),
    ],
)
def test_indivisible_widths_are_rejected(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gpt(**options)


@pytest.mark.peers
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_it_computes_what_transformers_computes(kv_heads: int) -> None:
    """Qwen3 is this network without n-grams and mixing: it normalizes queries and keys, and relu(z) z is ReLU squared.

    It turns pairs of channels the other way round, so both halves of its queries and keys are exchanged.
    """
    transformers = pytest.importorskip("transformers")
    network = gpt(ngrams=1, kv_heads=kv_heads, block=16)
    config = transformers.Qwen3Config(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=kv_heads, head_dim=8, hidden_act="relu", rms_norm_eps=1e-15, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
    )  # fmt: skip
    peer = transformers.Qwen3ForCausalLM(config).double().eval()

    def exchange_halves(weight: Tensor) -> Tensor:
        return weight.unflatten(0, (-1, 2, 4)).flip(1).flatten(0, 2)

    with torch.no_grad():
        peer.model.embed_tokens.weight.copy_(rms_norm(network.embedding.weight))
        peer.lm_head.weight.copy_(network.readout.weight)
        for block, layer in zip(network.blocks, peer.model.layers, strict=True):
            block.mix.copy_(torch.tensor([1.0, 0.0]))
            q, k, v = block.qkv.weight.split([32, 8 * kv_heads, 8 * kv_heads])
            layer.self_attn.q_proj.weight.copy_(exchange_halves(q))
            layer.self_attn.k_proj.weight.copy_(exchange_halves(k))
            layer.self_attn.v_proj.weight.copy_(v)
            layer.self_attn.o_proj.weight.copy_(block.attention_out.weight)
            for norm in (layer.self_attn.q_norm, layer.self_attn.k_norm):
                norm.weight.fill_(1.2)
            for projection in (layer.mlp.gate_proj, layer.mlp.up_proj):
                projection.weight.copy_(block.up.weight)
            layer.mlp.down_proj.weight.copy_(block.down.weight)
        x = tokens(3, 17)
        expected = peer(x, labels=x)
        torch.testing.assert_close(network(x[:, :-1]), expected.logits[:, :-1], rtol=1e-5, atol=1e-5)
        loss = Autoregressive(network).loss(Batch(x, []), "model")["loss"]
        torch.testing.assert_close(loss.float(), expected.loss.float(), rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("lengths", [(4, 1, 6), (6, 6), (1, 1, 1, 5), (13, 2)])
@pytest.mark.parametrize(
    "options", [{}, {"ngrams": 1, "positions": "learned", "block": 16}, {"rotary_fraction": 0.5, "norm": "layer"}]
)
def test_a_text_of_several_in_a_row_has_the_logits_that_it_has_alone(
    lengths: tuple[int, ...], options: dict[str, Any]
) -> None:
    network = gpt(**options)
    texts = [tokens(1, length, seed) for seed, length in enumerate(lengths)]
    segments = torch.cat([torch.full((1, length), number) for number, length in enumerate(lengths)], 1)
    together = network(torch.cat(texts, 1), segments=segments)
    alone = torch.cat([network(text) for text in texts], 1)
    torch.testing.assert_close(together, alone, atol=1e-10, rtol=1e-10)
    assert not network(torch.cat(texts, 1)).allclose(alone)
