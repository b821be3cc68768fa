"""GPT's generation loop, compiled by numba: sample a token of each row, feed it back, repeat.

Arrays are contiguous float32 unless stated otherwise. Widths are padded with zeros to whole groups and panels, and the
batch to whole tiles (see ``products``). All rows go through the same operations in the same order, so a row has the
same bits alone and in a batch.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from genai.networks.native.products import GROUP, multiply
from genai.networks.native.vectors import ONE, ZERO, activate, attend, group_sums, normalize, rotate, tanh
from genai.networks.wavenet.loop import NJIT_OPTIONS, SamplingParams, compile_function, sample_class

Array = np.ndarray[Any, Any]
NO_NORM, BEFORE_ROTARY, AFTER_ROTARY = range(3)
GOLDEN_RATIO = np.int64(0x9E37_79B9_7F4A_7C15 - 2**64)


class GPTShape(NamedTuple):
    """Sizes and options of the network, see ``GPT``; ``eps`` of 0 means none of these norms."""

    layers: int
    width: int
    hidden: int
    heads: int
    kv_heads: int
    head_width: int
    rotary_half: int
    is_layer_norm: bool
    eps: float
    has_embedding_norm: bool
    embedding_eps: float
    qk_norm: int
    qk_eps: float
    qk_gain: float
    activation: int
    has_mix: bool
    is_parallel: bool
    softcap: float
    vocab_size: int
    ngram_rows: int


class GPTWeights(NamedTuple):
    """Weights in the layout of the loop.

    Attributes:
        packed: uint8, all matrices.
        starts: (layers * 4 + 1,) int64: of queries, keys and values; attention output; up; down; last the readout.
        embedding, positions, tables: (vocab_size, width), (block or 0, width), (ngrams - 1, ngram_rows, width).
        norms: (layers, 4, width): weights and biases of the attention's norm, then of the feed-forward layer's.
        last_norm: (2, width).
        qk_norms: (layers, 2, head_width).
        qkv_bias, out_bias, up_bias, down_bias: (layers, outputs).
        mix: (layers, 2).
    """

    packed: Array
    starts: Array
    embedding: Array
    positions: Array
    tables: Array
    norms: Array
    last_norm: Array
    qk_norms: Array
    qkv_bias: Array
    out_bias: Array
    up_bias: Array
    down_bias: Array
    mix: Array


class GPTState(NamedTuple):
    """State of the rows between tokens.

    Attributes:
        keys, values: (layers, rows, kv_heads, capacity, head_width), ring buffers.
        positions: (rows,) int64, of the next token, counted from the first one of the row.
        recent: (rows, ngrams - 1) int64, the latest tokens, oldest first.
        logits: (rows, padded vocabulary), of the next token.
        history: (rows, vocab_size or 0) uint8, 1 for tokens of the prompt, 2 or 3 for those that were generated; only
            penalties need it.
        ended: (rows,) bool.
    """

    keys: Array
    values: Array
    positions: Array
    recent: Array
    logits: Array
    history: Array
    ended: Array


class TokenParams(NamedTuple):
    """Options of sampling besides ``SamplingParams``.

    Attributes:
        num_tokens: tokens with larger ids are never sampled.
        repetition_penalty, presence_penalty: of tokens that occurred, and of those that were generated.
        bias: (vocab_size or 0,), added to the logits.
        ends: int64, tokens that end a row; later tokens of the row are the first of them.
    """

    num_tokens: int
    repetition_penalty: float
    presence_penalty: float
    bias: Array
    ends: Array


@njit(**NJIT_OPTIONS)
def prepare_head(x: Array, weights: Array, cos: Array, sin: Array, shape: GPTShape, parameters: Array) -> None:
    """Normalize and rotate a head of queries or keys in place; ``parameters`` (2, head_width) is scratch memory."""
    if shape.qk_norm == BEFORE_ROTARY:
        for i in range(len(x)):
            parameters[0, i], parameters[1, i] = weights[i], ZERO
        normalize(x, len(x), parameters, False, shape.qk_eps, x)
    if len(cos):
        rotate(x, cos, sin)
    if shape.qk_norm == AFTER_ROTARY:
        for i in range(len(x)):
            parameters[0, i], parameters[1, i] = np.float32(shape.qk_gain), ZERO
        normalize(x, len(x), parameters, False, shape.qk_eps, x)


@njit(**NJIT_OPTIONS)
def embed(token: int, recent: Array, position: int, weights: GPTWeights, shape: GPTShape, x: Array) -> None:
    """Write the embedding of a token, of its place and of the n-grams that it ends."""
    width = shape.width
    row = weights.embedding[token]
    for i in range(width):
        x[i] = row[i]
    if len(weights.positions):
        row = weights.positions[min(position, len(weights.positions) - 1)]
        for i in range(width):
            x[i] += row[i]
    base = np.int64(shape.vocab_size + 1)
    key, power = np.int64(token), base
    for table in range(len(weights.tables)):
        key += recent[len(recent) - 1 - table] * power
        power *= base
        index = key if power <= shape.ngram_rows else (((key * GOLDEN_RATIO) >> 33) & 0x7FFF_FFFF) % shape.ngram_rows
        row = weights.tables[table, index]
        for i in range(width):
            x[i] += row[i]


@njit(**NJIT_OPTIONS)
def sample_token(
    state: GPTState, row: int, uniform: float, sampling: SamplingParams, params: TokenParams, buffers: Array
) -> int:
    """Return the next token of a row."""
    logits, count = state.logits[row], params.num_tokens
    has_penalty = len(state.history) > 0 and state.history.shape[1] > 0
    if has_penalty or len(params.bias):
        adjusted = buffers[2]
        for c in range(count):
            value = logits[c]
            if has_penalty and state.history[row, c]:
                penalty = np.float32(params.repetition_penalty)
                value = value / penalty if value > ZERO else value * penalty
                if state.history[row, c] > 1:
                    value -= np.float32(params.presence_penalty)
            adjusted[c] = value + (params.bias[c] if len(params.bias) else ZERO)
        logits = adjusted
    return sample_class(logits, count, uniform, sampling, buffers)


GPTLoop = Callable[..., None]


@cache
def compile_gpt_loop(kind: int, head_kind: int, rows: int, panels: int) -> GPTLoop:
    """Return the loop for the formats of the blocks' and of the readout's weights, and a tile.

    The last arguments of the loop are:
        cos, sin: (rows, n, rotary_half), of the positions of the next tokens.
        uniforms: (rows, n) float64 random numbers; empty: no sampling.
        tokens: (rows, n) int64, to be written; without ``uniforms`` the tokens that are fed.
        all_logits: (n, rows, padded vocabulary), to be written: the logits after each token; empty: not stored.
    """

    def product(batch: int, packed: Array, start: int, x: Array, sums: Array, y: Array) -> None:
        multiply(kind, rows, panels, batch, packed, start, x, sums, y)

    def head_product(batch: int, packed: Array, start: int, x: Array, sums: Array, y: Array) -> None:
        multiply(head_kind, rows, panels, batch, packed, start, x, sums, y)

    multiply_block, multiply_head = njit(**NJIT_OPTIONS)(product), njit(**NJIT_OPTIONS)(head_product)

    def run(
        shape: GPTShape,
        weights: GPTWeights,
        state: GPTState,
        sampling: SamplingParams,
        params: TokenParams,
        cos: Array,
        sin: Array,
        uniforms: Array,
        tokens: Array,
        all_logits: Array,
    ) -> None:
        batch, n = tokens.shape
        layers, width, head_width = shape.layers, shape.width, shape.head_width
        heads, kv_heads, hidden = shape.heads, shape.kv_heads, shape.hidden
        inputs = -(-width // GROUP) * GROUP
        x, start, h = np.zeros((3, batch, inputs), np.float32)
        qkv = np.zeros((batch, weights.qkv_bias.shape[1]), np.float32)
        attention = np.zeros((batch, -(-heads * head_width // GROUP) * GROUP), np.float32)
        output = np.zeros((batch, weights.out_bias.shape[1]), np.float32)
        up = np.zeros((batch, weights.up_bias.shape[1]), np.float32)
        active = np.zeros((batch, -(-hidden // GROUP) * GROUP), np.float32)
        sums = np.zeros(batch * max(inputs, attention.shape[1], active.shape[1]) // GROUP, np.float32)
        input_sums = sums[: batch * inputs // GROUP]
        attention_sums, active_sums = sums[: attention.size // GROUP], sums[: active.size // GROUP]
        scores, parameters = np.empty(state.keys.shape[3], np.float32), np.empty((2, head_width), np.float32)
        plain = np.zeros((2, width), np.float32)
        plain[0] = ONE
        buffers = np.zeros((3, state.logits.shape[1] + 16), np.float32)
        capacity, groups = state.keys.shape[3], heads // kv_heads
        for t in range(n):
            for row in range(batch):
                if uniforms.size:
                    if state.ended[row]:
                        tokens[row, t] = params.ends[0] if len(params.ends) else 0
                    else:
                        tokens[row, t] = sample_token(state, row, uniforms[row, t], sampling, params, buffers)
                        for end in params.ends:
                            state.ended[row] |= tokens[row, t] == end
                token = tokens[row, t]
                if state.history.shape[1]:
                    state.history[row, token] |= 2
                embed(token, state.recent[row], state.positions[row], weights, shape, x[row])
                if shape.has_embedding_norm:
                    normalize(x[row], width, plain, False, shape.embedding_eps, x[row])
                for i in range(width):
                    start[row, i] = x[row, i]
            for layer in range(layers):
                for row in range(batch):
                    if shape.has_mix:
                        first, second = weights.mix[layer, 0], weights.mix[layer, 1]
                        for i in range(width):
                            x[row, i] = first * x[row, i] + second * start[row, i]
                    normalize(x[row], width, weights.norms[layer, :2], shape.is_layer_norm, shape.eps, h[row])
                group_sums(h, input_sums)
                multiply_block(batch, weights.packed, weights.starts[4 * layer], h.ravel(), input_sums, qkv.ravel())
                for row in range(batch):
                    line = qkv[row]
                    for i in range(len(line)):
                        line[i] += weights.qkv_bias[layer, i]
                    slot = state.positions[row] % capacity
                    for head in range(heads + kv_heads):
                        prepare_head(
                            line[head * head_width : (head + 1) * head_width],
                            weights.qk_norms[layer, 0 if head < heads else 1],
                            cos[row, t],
                            sin[row, t],
                            shape,
                            parameters,
                        )
                    for head in range(kv_heads):
                        key, value = (heads + head) * head_width, (heads + kv_heads + head) * head_width
                        for i in range(head_width):
                            state.keys[layer, row, head, slot, i] = line[key + i]
                            state.values[layer, row, head, slot, i] = line[value + i]
                    filled = min(state.positions[row] + 1, capacity)
                    for head in range(heads):
                        attend(
                            line[head * head_width : (head + 1) * head_width],
                            state.keys[layer, row, head // groups],
                            state.values[layer, row, head // groups],
                            filled,
                            scores,
                            attention[row, head * head_width : (head + 1) * head_width],
                        )
                group_sums(attention, attention_sums)
                multiply_block(
                    batch,
                    weights.packed,
                    weights.starts[4 * layer + 1],
                    attention.ravel(),
                    attention_sums,
                    output.ravel(),
                )
                for row in range(batch):
                    if shape.is_parallel:
                        normalize(x[row], width, weights.norms[layer, 2:], shape.is_layer_norm, shape.eps, h[row])
                    for i in range(width):
                        x[row, i] += output[row, i] + weights.out_bias[layer, i]
                    if not shape.is_parallel:
                        normalize(x[row], width, weights.norms[layer, 2:], shape.is_layer_norm, shape.eps, h[row])
                group_sums(h, input_sums)
                multiply_block(batch, weights.packed, weights.starts[4 * layer + 2], h.ravel(), input_sums, up.ravel())
                for row in range(batch):
                    line = up[row]
                    for i in range(len(line)):
                        line[i] += weights.up_bias[layer, i]
                    activate(line, hidden, shape.activation, active[row])
                group_sums(active, active_sums)
                multiply_block(
                    batch, weights.packed, weights.starts[4 * layer + 3], active.ravel(), active_sums, output.ravel()
                )
                for row in range(batch):
                    for i in range(width):
                        x[row, i] += output[row, i] + weights.down_bias[layer, i]
            for row in range(batch):
                normalize(x[row], width, weights.last_norm, shape.is_layer_norm, shape.eps, h[row])
            group_sums(h, input_sums)
            multiply_head(
                batch, weights.packed, weights.starts[4 * layers], h.ravel(), input_sums, state.logits.ravel()
            )
            for row in range(batch):
                if shape.softcap > 0:
                    cap = np.float32(shape.softcap)
                    for i in range(state.logits.shape[1]):
                        state.logits[row, i] = cap * tanh(state.logits[row, i] / cap)
                if all_logits.size:
                    all_logits[t, row] = state.logits[row]
                for i in range(state.recent.shape[1] - 1):
                    state.recent[row, i] = state.recent[row, i + 1]
                if state.recent.shape[1]:
                    state.recent[row, state.recent.shape[1] - 1] = tokens[row, t]
                state.positions[row] += 1

    return compile_function(run)
