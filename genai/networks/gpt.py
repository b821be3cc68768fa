"""GPT: a decoder-only transformer over tokens, with a KV cache for generation.

The block follows the small-model speed runs (modded-nanoGPT): RMSNorm without weights, rotary embeddings, QK norm,
squared ReLU, zero-init output projections, an untied readout, the token embedding mixed back in at each block, and
hashed n-gram embeddings. At small sizes the n-grams save most of the training time.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import Readout, apply_rotary, rms_norm, rotary_angles

Count = Annotated[int, Ge(1), Le(65_536)]
RotaryAngles = tuple[Tensor, Tensor]


@dataclass
class KVCache:
    """Keys and values of past tokens, for all layers: a ring buffer of at most ``block`` positions.

    Attributes:
        keys, values: (layers, batch, kv_heads, capacity, head_width); position p is stored at slot p % capacity.
        valid: (batch, capacity), True at slots that hold a token, False at padding; ``None``: no padding.
        recent: (batch, ngrams - 1), the most recent tokens.
        position: of the next token.
    """

    keys: Tensor
    values: Tensor
    valid: Tensor | None
    recent: Tensor
    position: int


class GPT(nn.Module):
    """A decoder-only transformer that predicts next-token logits.

    Args:
        vocab_size: number of tokens.
        block: context length; a position attends to itself and the ``block - 1`` before it. Longer inputs use a sliding
            window.
        layers, heads: number of transformer blocks, and of attention heads in each.
        width: channels of the residual stream, a multiple of ``2 * heads``.
        kv_heads: number of key and value heads (grouped-query attention, arXiv:2305.13245); ``None``: ``heads``.
        ngrams: longest n-gram that is embedded: hashed embeddings of the last 2, ..., ``ngrams`` tokens; 1: none.
        ngram_rows: rows of each n-gram table.
        dropout: dropout probability in the feed-forward layers.

    Raises:
        ValueError: ``width`` or ``heads`` is not divisible as required.
    """

    chunk = 1
    """Tokens per chunk of a stream."""

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
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, kv_heads, block, dropout) for _ in range(layers))
        self.readout = Readout(width, vocab_size, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.8)
        for table in self.ngram_embeddings:
            nn.init.zeros_(table.weight)  # type: ignore[arg-type]
        nn.init.normal_(self.readout.weight, std=0.001)

    @property
    def num_classes(self) -> int:
        return self.vocab_size

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        """Compute next-token logits (batch, time, vocab_size) for ``tokens`` (batch, time).

        Args:
            tokens: (batch, time) int64.
            valid: (batch, time) bool, False at padding, which no position attends to; ``None``: no padding.
        """
        return self.readout(self._hidden(tokens, valid)[0])

    def prefill(self, tokens: Tensor, valid: Tensor | None = None, new: int = 1) -> tuple[Tensor, KVCache]:
        """Run the prompt ``tokens`` (batch, time) and fill a KV cache that has room for ``new`` more tokens.

        Returns:
            Logits (batch, vocab_size) of the next token, and the cache.
        """
        reach = len(self.blocks) * self.block + self.ngrams  # earlier tokens cannot influence the output
        tokens, valid = tokens[:, -reach:], None if valid is None else valid[:, -reach:]
        batch, time = tokens.shape
        capacity = min(self.block, time + new)
        hidden, keys_values = self._hidden(tokens, valid)
        keys, values = torch.stack(keys_values, 1)  # (layers, B, kv_heads, T, head_width) each
        positions = torch.arange(max(0, time - capacity), time, device=tokens.device)
        slots = positions % capacity
        ring_keys = keys.new_zeros(*keys.shape[:3], capacity, self.head_width)
        ring_values = torch.zeros_like(ring_keys)
        ring_keys[..., slots, :], ring_values[..., slots, :] = keys[..., positions, :], values[..., positions, :]
        ring_valid = None
        if valid is not None:
            ring_valid = torch.ones(batch, capacity, dtype=torch.bool, device=tokens.device)
            ring_valid[:, slots] = valid[:, positions]
        recent = self._left_pad(tokens, valid, self.ngrams - 1)[:, time:]
        return self.readout(hidden[:, -1]), KVCache(ring_keys, ring_values, ring_valid, recent, time)

    def step(self, tokens: Tensor, cache: KVCache) -> Tensor:
        """Append one token per sequence, ``tokens`` (batch,), and return the next logits (batch, vocab_size).

        Updates ``cache`` in place.
        """
        capacity = cache.keys.shape[-2]
        slot, filled = cache.position % capacity, min(cache.position + 1, capacity)
        window = torch.cat([cache.recent, tokens[:, None]], 1)  # (B, ngrams)
        x = self._embed(window)[:, -1:]  # (B, 1, C)
        angles = rotary_angles(torch.tensor([cache.position], device=tokens.device), self.head_width)
        mask = None
        if cache.valid is not None:
            cache.valid[:, slot] = True
            mask = cache.valid[:, None, None, :filled]
        x0 = x
        for block, keys, values in zip(self.blocks, cache.keys, cache.values, strict=True):
            q, k, v, x = block.project_qkv(x, x0, angles)  # type: ignore[operator]
            keys[:, :, slot], values[:, :, slot] = k[:, :, 0], v[:, :, 0]
            x = block.attend(x, q, keys[:, :, :filled], values[:, :, :filled], mask)  # type: ignore[operator]
        cache.recent, cache.position = window[:, 1:], cache.position + 1
        return self.readout(rms_norm(x)[:, -1])

    def _hidden(self, tokens: Tensor, valid: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Return the normalized hidden states (batch, time, width) and the keys and values of each layer."""
        time = tokens.shape[1]
        x = x0 = self._embed(self._left_pad(tokens, valid, self.ngrams - 1))[:, self.ngrams - 1 :]
        angles = rotary_angles(torch.arange(time, device=tokens.device), self.head_width)
        mask = self._mask(time, valid, tokens.device)
        keys_values = []
        for block in self.blocks:
            x, kv = block(x, x0, angles, mask)
            keys_values.append(kv)
        return rms_norm(x), keys_values

    def engine(self, logits: Tensor, cache: KVCache, **sampling: float) -> None:
        """Return ``None``: GPT has no native engine."""

    def _mask(self, time: int, valid: Tensor | None, device: torch.device) -> Tensor | None:
        """Sliding-window causal mask (1 or batch, 1, time, time) without padding; ``None``: plain causal attention."""
        if valid is None and time <= self.block:
            return None
        row = torch.arange(time, device=device)
        distance = row[:, None] - row[None]
        mask = ((distance >= 0) & (distance < self.block))[None, None]
        if valid is None:
            return mask
        return (mask & valid[:, None, None]) | (distance == 0)  # padding attends to itself: no empty softmax

    def _left_pad(self, tokens: Tensor, valid: Tensor | None, count: int) -> Tensor:
        """Prepend ``count`` padding tokens, and replace what is not ``valid`` by padding tokens, too."""
        padding = self.vocab_size
        if valid is not None:
            tokens = tokens.masked_fill(~valid, padding)
        return F.pad(tokens, (count, 0), value=padding)

    def _embed(self, tokens: Tensor) -> Tensor:
        """Embed tokens and the n-grams that end at them: (batch, time) -> (batch, time, width).

        The n-grams of the first ``ngrams - 1`` positions are incomplete; callers drop these positions.
        """
        x = self.embedding(tokens.clamp(max=self.vocab_size - 1))
        key, base = tokens, self.vocab_size + 1
        for distance, table in enumerate(self.ngram_embeddings, 1):
            earlier = F.pad(tokens, (distance, 0), value=self.vocab_size)[:, : tokens.shape[1]]
            key = key + earlier * base**distance
            x = x + table(_hash_ngrams(key, self.ngram_rows, base ** (distance + 1)))
        return rms_norm(x)


class TransformerBlock(nn.Module):
    """Pre-norm attention and feed-forward; in two halves, so that ``GPT.step`` can update the KV cache in between."""

    def __init__(self, width: int, heads: int, kv_heads: int, window: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, width // heads
        self.mix = nn.Parameter(torch.tensor([1.0, 0.1]))  # weights of the residual stream and of the embedding x0
        self.qkv = nn.Linear(width, (heads + 2 * kv_heads) * self.head_width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.dropout = dropout
        for layer, gain in ((self.qkv, 1.0), (self.up, 0.4)):
            nn.init.uniform_(layer.weight, -gain * (3 / width) ** 0.5, gain * (3 / width) ** 0.5)
        for layer in (self.attention_out, self.down):  # zero-init residual
            nn.init.zeros_(layer.weight)

    def forward(self, x: Tensor, x0: Tensor, angles: RotaryAngles, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the output (batch, time, width), and keys and values (2, batch, kv_heads, time, head_width)."""
        q, k, v, x = self.project_qkv(x, x0, angles)
        return self.attend(x, q, k, v, mask, causal=mask is None), torch.stack([k, v])

    def project_qkv(self, x: Tensor, x0: Tensor, angles: RotaryAngles) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return queries, keys and values (batch, heads, time, head_width), and ``x`` with ``x0`` mixed in."""
        x = self.mix[0] * x + self.mix[1] * x0
        qkv = self.qkv(rms_norm(x)).unflatten(-1, (-1, self.head_width)).transpose(1, 2)  # (B, H + 2 KV, T, D)
        q, k, v = qkv.split([self.heads, self.kv_heads, self.kv_heads], 1)
        q, k = rms_norm(apply_rotary(q, angles)) * 1.2, rms_norm(apply_rotary(k, angles)) * 1.2  # QK norm
        return q, k, v, x

    def attend(self, x: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool = False) -> Tensor:
        """Add attention and feed-forward to the residual stream ``x``: the block's output (batch, time, width)."""
        attention = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=self.kv_heads != self.heads
        )
        x = x + self.attention_out(attention.transpose(1, 2).flatten(2))
        hidden = F.dropout(F.relu(self.up(rms_norm(x))).square(), self.dropout, self.training)  # squared ReLU
        return x + self.down(hidden)


def _hash_ngrams(key: Tensor, rows: int, distinct: int) -> Tensor:
    """Map n-gram keys to table rows: one row each if ``distinct <= rows``, else multiplicative hashing (TAOCP 6.4)."""
    return key if distinct <= rows else (((key * _GOLDEN_RATIO) >> 33) & 0x7FFF_FFFF) % rows


_GOLDEN_RATIO = 0x9E37_79B9_7F4A_7C15 - 2**64  # 2^64 over the golden ratio, as int64; the product wraps around
