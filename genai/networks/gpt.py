"""GPT: a decoder-only transformer over tokens, with a KV cache for generation.

By default it follows the small-model speed runs (modded-nanoGPT): RMSNorm without weights, rotary embeddings, QK norm,
squared ReLU, zero-init output projections, an untied readout, the token embedding mixed back in at each block, and
hashed n-gram embeddings. At small sizes the n-grams save most of the training time. With other options it is a Llama, a
Qwen, a GPT-2 or a GPT-NeoX.
"""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import Readout
from genai.networks.rotary import rotary_frequencies, rotary_magnitude
from genai.networks.transformer_block import Activation, BlockShape, Norm, QKNorm, RotaryAngles, TransformerBlock

if TYPE_CHECKING:
    from genai.networks.native.gpt_engine import GPTEngine

Count = Annotated[int, Ge(1), Le(65_536)]


@dataclass
class KVCache:
    """Keys and values of past tokens, for all layers: a ring buffer of at most ``block`` positions.

    Attributes:
        keys, values: (layers, batch, kv_heads, capacity, head_width); position p is stored at slot p % capacity.
        valid: (batch, capacity), True at slots that hold a token, False at padding; ``None``: no padding.
        recent: (batch, ngrams - 1), the most recent tokens.
        position: of the next token.
        padding: (batch, 1), the number of padding positions of each row, which learned positions do not count.
    """

    keys: Tensor
    values: Tensor
    valid: Tensor | None
    recent: Tensor
    position: int
    padding: Tensor | None = None


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
        head_width: channels of a head; ``None``: ``width / heads``.
        hidden: channels of the feed-forward layers; ``None``: ``4 * width``.
        activation: of the feed-forward layers: squared ReLU (arXiv:2109.08668), GELU, its tanh approximation, or SwiGLU
            (arXiv:2002.05202).
        norm: RMSNorm (arXiv:1910.07467) or LayerNorm (arXiv:1607.06450).
        affine: whether norms have learned weights, and LayerNorm biases.
        eps: of the norms; ``None``: that of torch.
        bias: linear layers with a bias: none, those of queries, keys and values, of attention, or all but the readout.
        positions: rotary embeddings, or an embedding for each of ``block`` positions.
        rotary_base, rotary_fraction: longest wavelength, and fraction of the channels of a head that are rotated.
        rotary_scaling: see ``rotary_frequencies``.
        qk_norm: RMSNorm of queries and keys: before the rotation, with weights (Qwen3), or after it, without weights.
        qk_gain: factor of queries and keys that are normalized after the rotation.
        tied: whether the readout is the token embedding.
        embedding_norm: whether the embedding is normalized.
        embedding_mix: whether each block mixes the token embedding in again.
        parallel: whether attention and feed-forward layers of a block have the same input (GPT-J, GPT-NeoX).
        softcap: logits are bounded by ``softcap * tanh(logits / softcap)`` (Gemma 2, arXiv:2408.00118); ``None``: not.

    Raises:
        ValueError: ``width`` or ``heads`` is not divisible as required, or ``rotary_scaling`` is not supported.
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
        head_width: Count | None = None,
        hidden: Annotated[int, Ge(1), Le(1_000_000)] | None = None,
        activation: Activation = "relu2",
        norm: Literal["rms", "layer"] = "rms",
        affine: bool = False,
        eps: Annotated[float, Gt(0), Lt(1)] | None = None,
        bias: Literal["none", "qkv", "attention", "all"] = "none",
        positions: Literal["rotary", "learned"] = "rotary",
        rotary_base: Annotated[float, Gt(1)] = 10_000.0,
        rotary_fraction: Annotated[float, Gt(0), Le(1)] = 1.0,
        rotary_scaling: dict[str, Any] | None = None,
        qk_norm: QKNorm = "after_rotary",
        qk_gain: Annotated[float, Gt(0)] = 1.2,
        tied: bool = False,
        embedding_norm: bool = True,
        embedding_mix: bool = True,
        parallel: bool = False,
        softcap: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        super().__init__()
        kv_heads = kv_heads or heads
        if head_width is None and width % (2 * heads):
            raise ValueError(f"width={width} has to be a multiple of 2 x heads={2 * heads}.")
        if heads % kv_heads:
            raise ValueError(f"heads={heads} has to be a multiple of kv_heads={kv_heads}.")
        self.vocab_size, self.block, self.ngrams, self.ngram_rows = vocab_size, block, ngrams, ngram_rows
        self.head_width, self.kv_heads = head_width or width // heads, kv_heads
        self.rotary_width = 2 * (int(self.head_width * rotary_fraction) // 2) if positions == "rotary" else 0
        self.rotary_base, self.rotary_scaling = rotary_base, rotary_scaling
        rotary_frequencies(self.rotary_width, rotary_base, rotary_scaling)  # both check the scaling
        rotary_magnitude(rotary_scaling)
        self.softcap = softcap
        shape = BlockShape(
            width, heads, kv_heads, self.head_width, hidden or 4 * width, activation, norm, affine, eps, bias, qk_norm,
            qk_gain, embedding_mix, parallel, dropout,
        )  # fmt: skip
        self.shape, self.has_embedding_norm = shape, embedding_norm
        self.weight_format: tuple[str, str] = ("float32", "float32")  # of the blocks' and of the readout's matrices
        self.stored_weights: dict[str, Any] = {}
        self.has_native_loop = True  # until it turns out that there is none on this machine
        self.embedding = nn.Embedding(vocab_size, width)
        self.positions = nn.Embedding(block, width) if positions == "learned" else None
        self.ngram_embeddings = nn.ModuleList(nn.Embedding(ngram_rows, width) for _ in range(ngrams - 1))
        self.embedding_norm = Norm(width, eps=eps) if embedding_norm else nn.Identity()
        self.blocks = nn.ModuleList(TransformerBlock(shape) for _ in range(layers))
        self.norm = Norm(width, norm, affine, eps)
        self.readout = Readout(width, vocab_size, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.8)
        for table in self.ngram_embeddings:
            nn.init.zeros_(table.weight)  # type: ignore[arg-type]
        nn.init.normal_(self.readout.weight, std=0.001)
        if self.positions is not None:
            nn.init.normal_(self.positions.weight, std=0.02)
        if tied:
            self.readout.weight = self.embedding.weight
            nn.init.normal_(self.embedding.weight, std=0.02)

    @property
    def num_classes(self) -> int:
        return self.vocab_size

    def forward(
        self,
        tokens: Tensor,
        valid: Tensor | None = None,
        segments: Tensor | None = None,
        at: Tensor | None = None,
    ) -> Tensor:
        """Compute next-token logits (batch, time, vocab_size) for ``tokens`` (batch, time).

        Args:
            tokens: (batch, time) int64.
            valid: (batch, time) bool, False at padding, which no position attends to; ``None``: no padding.
            segments: (batch, time) int64, numbers of the texts that share a row, rising from left to right: a text
                has the logits that it has alone. ``None``: a row is one text.
            at: (batch, time) bool, the only places whose logits are computed: (places, vocab_size). ``None``: all.
        """
        hidden = self._hidden(tokens, valid, segments)[0]
        return self._logits(hidden if at is None else hidden[at])

    def hidden(self, tokens: Tensor) -> Tensor:
        """Return the normalized hidden states (batch, time, width), from which the logits are computed."""
        return self._hidden(tokens, None)[0]

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
        places = positions % capacity
        ring_keys = keys.new_zeros(*keys.shape[:3], capacity, self.head_width)
        ring_values = torch.zeros_like(ring_keys)
        ring_keys[..., places, :], ring_values[..., places, :] = keys[..., positions, :], values[..., positions, :]
        ring_valid = None
        if valid is not None:
            ring_valid = torch.ones(batch, capacity, dtype=torch.bool, device=tokens.device)
            ring_valid[:, places] = valid[:, positions]
        recent = self._left_pad(tokens, valid, self.ngrams - 1)[:, time:]
        padding = None if valid is None else (~valid).sum(1, keepdim=True)
        cache = KVCache(ring_keys, ring_values, ring_valid, recent, time, padding)
        return self._logits(hidden[:, -1]), cache

    def step(self, tokens: Tensor, cache: KVCache) -> Tensor:
        """Append one token per sequence, ``tokens`` (batch,), and return the next logits (batch, vocab_size).

        Updates ``cache`` in place.
        """
        capacity = cache.keys.shape[-2]
        place, filled = cache.position % capacity, min(cache.position + 1, capacity)
        window = torch.cat([cache.recent, tokens[:, None]], 1)  # (B, ngrams)
        position = torch.tensor([cache.position], device=tokens.device)
        x = self._embed(window, position if cache.padding is None else position - cache.padding)[:, -1:]  # (B, 1, C)
        angles = self._angles(position)
        mask = None
        if cache.valid is not None:
            cache.valid[:, place] = True
            mask = cache.valid[:, None, None, :filled]
        x0 = x
        for block, keys, values in zip(self.blocks, cache.keys, cache.values, strict=True):
            q, k, v, x = block.project_qkv(x, x0, angles)  # type: ignore[operator]
            keys[:, :, place], values[:, :, place] = k[:, :, 0], v[:, :, 0]
            x = block.attend(x, q, keys[:, :, :filled], values[:, :, :filled], mask)  # type: ignore[operator]
        cache.recent, cache.position = window[:, 1:], cache.position + 1
        return self._logits(self.norm(x)[:, -1])

    def _logits(self, hidden: Tensor) -> Tensor:
        """Map normalized hidden states (..., width) to logits (..., vocab_size)."""
        logits: Tensor = self.readout(hidden)
        return logits if self.softcap is None else self.softcap * (logits / self.softcap).tanh()

    def _angles(self, positions: Tensor) -> RotaryAngles:
        """Cosine and sine of the rotary angles, each (positions, rotary_width / 2)."""
        frequencies = rotary_frequencies(self.rotary_width, self.rotary_base, self.rotary_scaling, positions.device)
        angles = positions.float()[:, None] * frequencies
        magnitude = rotary_magnitude(self.rotary_scaling)
        cos, sin = angles.cos(), angles.sin()
        return (cos, sin) if magnitude == 1 else (cos * magnitude, sin * magnitude)

    def _hidden(
        self, tokens: Tensor, valid: Tensor | None, segments: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the normalized hidden states (batch, time, width) and the keys and values of each layer."""
        time = tokens.shape[1]
        row = torch.arange(time, device=tokens.device)
        positions = (
            row if valid is None else (valid.long().cumsum(1) - 1).clamp(min=0)
        )  # counted from the first real token
        angles = self._angles(row)
        if segments is not None:
            positions = _segment_positions(segments)
            cos, sin = (part.unflatten(0, (-1, 1, time)) for part in self._angles(positions.flatten()))
            angles = cos, sin  # (B, 1, T, rotary_width / 2)
            segments = F.pad(segments, (self.ngrams - 1, 0), value=-1)
        padded = self._left_pad(tokens, valid, self.ngrams - 1)
        x = x0 = self._embed(padded, F.pad(positions, (self.ngrams - 1, 0)), segments)[:, self.ngrams - 1 :]
        mask = self._mask(time, valid, tokens.device)
        if segments is not None:
            own = segments[:, self.ngrams - 1 :]
            is_same = own[:, None, :, None] == own[:, None, None, :]  # (B, 1, T, T)
            mask = is_same & (row[:, None] >= row if mask is None else mask)
        keys_values = []
        for block in self.blocks:
            x, kv = block(x, x0, angles, mask)
            keys_values.append(kv)
        return self.norm(x), keys_values

    @property
    def max_positions(self) -> int | None:
        """Longest sequence, prompt included, that can be generated; ``None``: any, with a sliding window."""
        return None if self.positions is None else self.block

    def engine(self, logits: Tensor, cache: KVCache, **sampling: float) -> None:
        """Return ``None``: ``token_engine`` makes the engine of a GPT."""

    def token_engine(self) -> "GPTEngine | None":
        """Return a new native engine, in which texts begin and end at any time.

        A text has the same bits alone and beside any others.

        Returns:
            The engine; ``None`` on other devices than the CPU, for a network that is sharded over processes, or if
            numba is missing or cannot be used.
        """
        is_sharded = any(type(module).__name__.startswith("FSDP") for module in self.modules())
        if self.embedding.weight.device.type != "cpu" or is_sharded or not self.has_native_loop:
            return None
        try:
            from genai.networks.native.gpt_engine import create_engine

            return create_engine(self)
        except Exception:  # numba is missing, or does not work on this machine
            logging.getLogger(__name__).debug("no native engine", exc_info=True)
            self.has_native_loop = False
            return None

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

    def _embed(self, tokens: Tensor, positions: Tensor, segments: Tensor | None = None) -> Tensor:
        """Embed tokens and the n-grams that end at them: (batch, time) -> (batch, time, width).

        The n-grams of the first ``ngrams - 1`` positions are incomplete; callers drop these positions.

        Args:
            tokens: (batch, time).
            positions: (time,) or (batch, time), for learned positions.
            segments: (batch, time), see ``forward``; n-grams do not reach into another text.
        """
        x = self.embedding(tokens.clamp(max=self.vocab_size - 1))
        if self.positions is not None:
            x = x + self.positions(positions.clamp(max=self.block - 1))
        key, base = tokens, self.vocab_size + 1
        for distance, table in enumerate(self.ngram_embeddings, 1):
            earlier = F.pad(tokens, (distance, 0), value=self.vocab_size)[:, : tokens.shape[1]]
            if segments is not None:
                is_same = F.pad(segments, (distance, 0), value=-1)[:, : tokens.shape[1]] == segments
                earlier = earlier.masked_fill(~is_same, self.vocab_size)
            key = key + earlier * base**distance
            x = x + table(_hash_ngrams(key, self.ngram_rows, base ** (distance + 1)))
        return self.embedding_norm(x)


def _segment_positions(segments: Tensor) -> Tensor:
    """Return the position (batch, time) of each token in its own text."""
    row = torch.arange(segments.shape[1], device=segments.device)
    is_first = F.pad(segments[:, 1:] != segments[:, :-1], (1, 0), value=True)
    return row - torch.where(is_first, row, 0).cummax(1).values


def _hash_ngrams(key: Tensor, rows: int, distinct: int) -> Tensor:
    """Map n-gram keys to table rows: one row each if ``distinct <= rows``, else multiplicative hashing (TAOCP 6.4)."""
    return key if distinct <= rows else (((key * _GOLDEN_RATIO) >> 33) & 0x7FFF_FFFF) % rows


_GOLDEN_RATIO = 0x9E37_79B9_7F4A_7C15 - 2**64  # 2^64 over the golden ratio, as int64; the product wraps around
