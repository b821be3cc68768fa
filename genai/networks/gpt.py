"""GPT: a decoder-only transformer over tokens, with a cache for generation.

The block is that of today's small-model speed runs: RMS norm without weights, rotary positions, normalised queries and
keys, squared ReLU, projections that start at zero, an untied readout, the embedding mixed back in at each block, and
hashed n-gram embeddings, which at small sizes save most of the training time.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import Readout, rms_norm, rotary_angles, rotate

Count = Annotated[int, Ge(1), Le(65_536)]
Angles = tuple[Tensor, Tensor]


@dataclass
class Cache:
    """What generation keeps of the past, for every layer: a ring of at most ``block`` positions.

    Attributes:
        keys, values: (layers, batch, kv_heads, capacity, head_width); position p lies at slot p % capacity.
        valid: (batch, capacity), slots that hold a token rather than padding; ``None``: all do.
        recent: (batch, ngrams - 1), the newest tokens.
        position: of the next token.
    """

    keys: Tensor
    values: Tensor
    valid: Tensor | None
    recent: Tensor
    position: int


class GPT(nn.Module):
    """Next-token logits.

    Args:
        vocab_size: classes of a token.
        block: positions that a token attends to, itself included; a longer input slides this window.
        layers, heads, width: of the transformer; ``width`` is divided among the heads.
        kv_heads: fewer heads for keys and values (grouped-query attention, arXiv:2305.13245); ``None``: ``heads``.
        ngrams: add hashed embeddings of the last 2, ..., ``ngrams`` tokens; 1: none.
        ngram_rows: rows of each such table.
        dropout: of the feed-forward layers.

    Raises:
        ValueError: widths and heads that do not divide.
    """

    chunk = 1
    """Classes that a stream gives at once."""

    def __init__(
        self,
        vocab_size: Annotated[int, Ge(1), Le(2_000_000)],
        block: Annotated[int, Ge(1), Le(1_000_000)],
        layers: Annotated[int, Ge(1), Le(512)] = 4,
        heads: Count = 4,
        width: Count = 128,
        kv_heads: Count | None = None,
        ngrams: Annotated[int, Ge(1), Le(3)] = 3,
        ngram_rows: Annotated[int, Ge(1), Le(10_000_000)] = 8192,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        kv_heads = kv_heads or heads
        if width % (2 * heads):
            raise ValueError(f"width={width} has to be a multiple of 2 x heads={2 * heads}.")
        if heads % kv_heads:
            raise ValueError(f"heads={heads} has to be a multiple of kv_heads={kv_heads}.")
        self.vocab_size, self.block, self.ngrams, self.ngram_rows = vocab_size, block, ngrams, ngram_rows
        self.head_width, self.kv_heads = width // heads, kv_heads
        self.embedding = nn.Embedding(vocab_size, width)
        self.ngram_embeddings = nn.ModuleList(nn.Embedding(ngram_rows, width) for _ in range(ngrams - 1))
        self.blocks = nn.ModuleList(Block(width, heads, kv_heads, block, dropout) for _ in range(layers))
        self.readout = Readout(width, vocab_size, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.8)
        for table in self.ngram_embeddings:
            nn.init.zeros_(table.weight)  # type: ignore[arg-type]
        nn.init.normal_(self.readout.weight, std=0.001)

    @property
    def classes(self) -> int:
        return self.vocab_size

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        """Logits (batch, time, vocab_size) of the token after each of ``tokens`` (batch, time).

        ``valid`` (batch, time) marks padding as False; no position attends to it.
        """
        return self.readout(self._hidden(tokens, valid)[0])

    def prefill(self, tokens: Tensor, valid: Tensor | None = None, new: int = 1) -> tuple[Tensor, Cache]:
        """Logits (batch, vocab_size) after ``tokens`` (batch, time), and the cache for ``new`` more of them."""
        reach = len(self.blocks) * self.block + self.ngrams  # nothing before it matters
        tokens, valid = tokens[:, -reach:], None if valid is None else valid[:, -reach:]
        batch, time = tokens.shape
        capacity = min(self.block, time + new)
        hidden, cached = self._hidden(tokens, valid)
        keys, values = torch.stack(cached, 1)
        kept = torch.arange(max(0, time - capacity), time, device=tokens.device)
        slots = kept % capacity
        ring_keys = keys.new_zeros(*keys.shape[:3], capacity, self.head_width)
        ring_values = torch.zeros_like(ring_keys)
        ring_keys[..., slots, :], ring_values[..., slots, :] = keys[..., kept, :], values[..., kept, :]
        ring_valid = None
        if valid is not None:
            ring_valid = torch.ones(batch, capacity, dtype=torch.bool, device=tokens.device)
            ring_valid[:, slots] = valid[:, kept]
        recent = self._shifted(tokens, valid, self.ngrams - 1)[:, time:]
        return self.readout(hidden[:, -1]), Cache(ring_keys, ring_values, ring_valid, recent, time)

    def step(self, tokens: Tensor, cache: Cache) -> Tensor:
        """Logits (batch, vocab_size) after one more token each, ``tokens`` (batch,). ``cache`` moves on."""
        capacity = cache.keys.shape[-2]
        slot, filled = cache.position % capacity, min(cache.position + 1, capacity)
        window = torch.cat([cache.recent, tokens[:, None]], 1)
        x = self._embed(window)[:, -1:]
        angles = rotary_angles(torch.tensor([cache.position], device=tokens.device), self.head_width)
        mask = None
        if cache.valid is not None:
            cache.valid[:, slot] = True
            mask = cache.valid[:, None, None, :filled]
        start = x
        for block, keys, values in zip(self.blocks, cache.keys, cache.values, strict=True):
            q, k, v, x = block.project(x, start, angles)  # type: ignore[operator]
            keys[:, :, slot], values[:, :, slot] = k[:, :, 0], v[:, :, 0]
            x = block.finish(x, q, keys[:, :, :filled], values[:, :, :filled], mask)  # type: ignore[operator]
        cache.recent, cache.position = window[:, 1:], cache.position + 1
        return self.readout(rms_norm(x)[:, -1])

    def _hidden(self, tokens: Tensor, valid: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Normalised features (batch, time, width), and each layer's keys and values."""
        time = tokens.shape[1]
        x = start = self._embed(self._shifted(tokens, valid, self.ngrams - 1))[:, self.ngrams - 1 :]
        angles = rotary_angles(torch.arange(time, device=tokens.device), self.head_width)
        mask = self._mask(time, valid, tokens.device)
        cached = []
        for block in self.blocks:
            x, keys_values = block(x, start, angles, mask)
            cached.append(keys_values)
        return rms_norm(x), cached

    def engine(self, logits: Tensor, cache: Cache, **how: float) -> None:
        """It has none."""

    def _mask(self, time: int, valid: Tensor | None, device: torch.device) -> Tensor | None:
        """(1 or batch, 1, time, time): causal, at most ``block`` back, no padding; ``None``: plain causal will do."""
        if valid is None and time <= self.block:
            return None
        row = torch.arange(time, device=device)
        back = row[:, None] - row[None]
        mask = ((back >= 0) & (back < self.block))[None, None]
        if valid is None:
            return mask
        return (mask & valid[:, None, None]) | (back == 0)  # padding sees itself, lest its softmax be empty

    def _shifted(self, tokens: Tensor, valid: Tensor | None, before: int) -> Tensor:
        """``tokens`` behind ``before`` marks of "nothing yet"; padding is nothing, too."""
        nothing = self.vocab_size
        if valid is not None:
            tokens = tokens.masked_fill(~valid, nothing)
        return F.pad(tokens, (before, 0), value=nothing)

    def _embed(self, tokens: Tensor) -> Tensor:
        """(batch, time, width). Each position's n-grams end at it; the first ``ngrams - 1`` are context only."""
        x = self.embedding(tokens.clamp(max=self.vocab_size - 1))
        key, base = tokens, self.vocab_size + 1
        for distance, table in enumerate(self.ngram_embeddings, 1):
            earlier = F.pad(tokens, (distance, 0), value=self.vocab_size)[:, : tokens.shape[1]]
            key = key + earlier * base**distance
            x = x + table(_hash(key, self.ngram_rows, base ** (distance + 1)))
        return rms_norm(x)


class Block(nn.Module):
    """Attention and feed-forward, in two halves so that a cache fits between them."""

    def __init__(self, width: int, heads: int, kv_heads: int, window: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, width // heads
        self.mix = nn.Parameter(torch.tensor([1.0, 0.1]))  # how much of the stream, and of the embedding, goes on
        self.qkv = nn.Linear(width, (heads + 2 * kv_heads) * self.head_width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.dropout = dropout
        for layer, gain in ((self.qkv, 1.0), (self.up, 0.4)):
            nn.init.uniform_(layer.weight, -gain * (3 / width) ** 0.5, gain * (3 / width) ** 0.5)
        for layer in (self.attention_out, self.down):
            nn.init.zeros_(layer.weight)

    def forward(self, x: Tensor, start: Tensor, angles: Angles, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Its output (batch, time, width), and its keys and values (2, batch, kv_heads, time, head_width)."""
        q, k, v, x = self.project(x, start, angles)
        return self.finish(x, q, k, v, mask, causal=mask is None), torch.stack([k, v])

    def project(self, x: Tensor, start: Tensor, angles: Angles) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Queries, keys, values (batch, heads, time, head_width), and the stream (batch, time, width) of them."""
        x = self.mix[0] * x + self.mix[1] * start
        heads = self.qkv(rms_norm(x)).unflatten(-1, (-1, self.head_width)).transpose(1, 2)
        q, k, v = heads.split([self.heads, self.kv_heads, self.kv_heads], 1)
        return rms_norm(rotate(q, angles)) * 1.2, rms_norm(rotate(k, angles)) * 1.2, v, x

    def finish(self, x: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool = False) -> Tensor:
        """The block's output (batch, time, width), given its stream and what it attends to."""
        attended = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=self.kv_heads != self.heads
        )
        x = x + self.attention_out(attended.transpose(1, 2).flatten(2))
        hidden = F.dropout(F.relu(self.up(rms_norm(x))).square(), self.dropout, self.training)
        return x + self.down(hidden)


def _hash(key: Tensor, rows: int, distinct: int) -> Tensor:
    """A row for each n-gram: its own where there are enough rows, else by multiplicative hashing (Knuth, TAOCP 6.4)."""
    return key if distinct <= rows else (((key * _GOLDEN) >> 33) & 0x7FFF_FFFF) % rows


_GOLDEN = 0x9E37_79B9_7F4A_7C15 - 2**64  # 2^64 over the golden ratio; the product wraps around
