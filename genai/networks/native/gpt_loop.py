"""GPT's generation loop, compiled by numba: sample a token of each row, feed it back, repeat.

Arrays are contiguous float32 unless stated otherwise. Widths are padded with zeros to whole groups and panels, and the
batch to whole tiles (see ``products``). A row of the batch is a text in a slot of the state. All rows go through the
same operations in the same order, so a text has the same bits alone and in any batch.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from numba import njit

from genai.networks.native.formats import GROUP
from genai.networks.native.gpt_arrays import Array, GPTShape, GPTState, GPTWeights, TokenParams, Workspace
from genai.networks.native.products import multiply
from genai.networks.native.vectors import ONE, ZERO, activate, attend, group_sums, normalize, rotate, tanh
from genai.networks.wavenet.loop import NJIT_OPTIONS, SamplingParams, compile_function, sample_class

NO_NORM, BEFORE_ROTARY, AFTER_ROTARY = range(3)
GOLDEN_RATIO = np.int64(0x9E37_79B9_7F4A_7C15 - 2**64)


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
def sample_token(state: GPTState, slot: int, uniform: float, params: TokenParams, buffers: Array) -> int:
    """Return the next token of the text in a slot."""
    logits, count = state.logits[slot], params.num_tokens[slot]
    has_history, has_bias = state.history.shape[1] > 0, state.bias.shape[1] > 0
    if has_history or has_bias:
        adjusted = buffers[2]
        penalty, presence = np.float32(params.repetition_penalty[slot]), np.float32(params.presence_penalty[slot])
        for c in range(count):
            value = logits[c]
            if has_history and state.history[slot, c]:
                value = value / penalty if value > ZERO else value * penalty
                if state.history[slot, c] > 1:
                    value -= presence
            adjusted[c] = value + state.bias[slot, c] if has_bias else value
        logits = adjusted
    temperature, top_k, top_p, min_p = (
        params.temperature[slot],
        params.top_k[slot],
        params.top_p[slot],
        params.min_p[slot],
    )
    return sample_class(logits, count, uniform, SamplingParams(temperature, top_k, top_p, min_p, 1.0), buffers)


@njit(**NJIT_OPTIONS)
def new_workspace(batch: int, shape: GPTShape, weights: GPTWeights, state: GPTState) -> Workspace:
    """Allocate the memory for ``batch`` rows."""
    inputs = -(-shape.width // GROUP) * GROUP
    attention = np.zeros((batch, -(-shape.heads * shape.head_width // GROUP) * GROUP), np.float32)
    active = np.zeros((batch, -(-shape.hidden // GROUP) * GROUP), np.float32)
    plain_norm = np.zeros((2, shape.width), np.float32)
    plain_norm[0] = ONE
    return Workspace(
        np.zeros((batch, inputs), np.float32),
        np.zeros((batch, inputs), np.float32),
        np.zeros((batch, inputs), np.float32),
        np.zeros((batch, weights.qkv_bias.shape[1]), np.float32),
        attention,
        np.zeros((batch, weights.out_bias.shape[1]), np.float32),
        np.zeros((batch, weights.up_bias.shape[1]), np.float32),
        active,
        np.zeros(batch * max(inputs, attention.shape[1], active.shape[1]) // GROUP, np.float32),
        np.empty(state.keys.shape[3], np.float32),
        np.empty((2, shape.head_width), np.float32),
        plain_norm,
        np.zeros((batch, state.logits.shape[1]), np.float32),
        np.zeros((3, state.logits.shape[1] + 16), np.float32),
    )


@njit(**NJIT_OPTIONS)
def begin_token(
    t: int,
    shape: GPTShape,
    weights: GPTWeights,
    state: GPTState,
    params: TokenParams,
    slots: Array,
    uniforms: Array,
    tokens: Array,
    memory: Workspace,
) -> None:
    """Sample the token of each row, if there are ``uniforms``, and embed it."""
    for row in range(len(tokens)):
        slot = slots[row]
        ends = params.ends[slot]
        if uniforms.size and state.ended[slot]:
            tokens[row, t] = max(ends[0], 0)
        elif uniforms.size:
            tokens[row, t] = sample_token(state, slot, uniforms[row, t], params, memory.buffers)
            for end in ends:
                state.ended[slot] |= tokens[row, t] == end
        if state.history.shape[1]:
            state.history[slot, tokens[row, t]] |= 2
        x = memory.x[row]
        embed(tokens[row, t], state.recent[slot], state.positions[slot], weights, shape, x)
        if shape.has_embedding_norm:
            normalize(x, shape.width, memory.plain_norm, False, shape.embedding_eps, x)
        for i in range(shape.width):
            memory.start[row, i] = x[i]


@njit(**NJIT_OPTIONS)
def begin_layer(layer: int, shape: GPTShape, weights: GPTWeights, memory: Workspace) -> None:
    """Mix the embedding in, and normalize for the attention."""
    for row in range(len(memory.x)):
        x, start = memory.x[row], memory.start[row]
        if shape.has_mix:
            first, second = weights.mix[layer, 0], weights.mix[layer, 1]
            for i in range(shape.width):
                x[i] = first * x[i] + second * start[i]
        normalize(x, shape.width, weights.norms[layer, :2], shape.is_layer_norm, shape.eps, memory.normed[row])
    group_sums(memory.normed, memory.sums)


@njit(**NJIT_OPTIONS)
def attend_rows(
    layer: int,
    t: int,
    shape: GPTShape,
    weights: GPTWeights,
    state: GPTState,
    slots: Array,
    cos: Array,
    sin: Array,
    memory: Workspace,
) -> None:
    """Store the keys and values of each row, and attend."""
    heads, kv_heads, width, capacity = shape.heads, shape.kv_heads, shape.head_width, state.keys.shape[3]
    for row in range(len(memory.qkv)):
        line = memory.qkv[row]
        for i in range(len(line)):
            line[i] += weights.qkv_bias[layer, i]
        slot, position = slots[row], state.positions[slots[row]]
        place, filled = position % capacity, min(position + 1, capacity)
        for head in range(heads + kv_heads):
            norm = weights.qk_norms[layer, 0 if head < heads else 1]
            part = line[head * width : (head + 1) * width]
            prepare_head(part, norm, cos[row, t], sin[row, t], shape, memory.head_norm)
        for head in range(kv_heads):
            key, value = (heads + head) * width, (heads + kv_heads + head) * width
            for i in range(width):
                state.keys[layer, slot, head, place, i] = line[key + i]
                state.values[layer, slot, head, place, i] = line[value + i]
        for head in range(heads):
            kv_head = head // (heads // kv_heads)
            keys, values = state.keys[layer, slot, kv_head], state.values[layer, slot, kv_head]
            part = slice(head * width, (head + 1) * width)
            attend(line[part], keys, values, filled, memory.scores, memory.attention[row, part])
    group_sums(memory.attention, memory.sums)


@njit(**NJIT_OPTIONS)
def add_attention(layer: int, shape: GPTShape, weights: GPTWeights, memory: Workspace) -> None:
    """Add the attention to the residual stream, and normalize for the feed-forward layer."""
    for row in range(len(memory.x)):
        x, norm, normed = memory.x[row], weights.norms[layer, 2:], memory.normed[row]
        if shape.is_parallel:
            normalize(x, shape.width, norm, shape.is_layer_norm, shape.eps, normed)
        for i in range(shape.width):
            x[i] += memory.output[row, i] + weights.out_bias[layer, i]
        if not shape.is_parallel:
            normalize(x, shape.width, norm, shape.is_layer_norm, shape.eps, normed)
    group_sums(memory.normed, memory.sums)


@njit(**NJIT_OPTIONS)
def activate_rows(layer: int, shape: GPTShape, weights: GPTWeights, memory: Workspace) -> None:
    """Write the activations of the feed-forward layer."""
    for row in range(len(memory.up)):
        line = memory.up[row]
        for i in range(len(line)):
            line[i] += weights.up_bias[layer, i]
        activate(line, shape.hidden, shape.activation, memory.active[row])
    group_sums(memory.active, memory.sums)


@njit(**NJIT_OPTIONS)
def add_feed_forward(layer: int, shape: GPTShape, weights: GPTWeights, memory: Workspace) -> None:
    """Add the feed-forward layer to the residual stream; after the last layer, normalize for the readout."""
    for row in range(len(memory.x)):
        x = memory.x[row]
        for i in range(shape.width):
            x[i] += memory.output[row, i] + weights.down_bias[layer, i]
        if layer == shape.layers - 1:
            normalize(x, shape.width, weights.last_norm, shape.is_layer_norm, shape.eps, memory.normed[row])
    group_sums(memory.normed, memory.sums)


@njit(**NJIT_OPTIONS)
def end_token(
    t: int, shape: GPTShape, state: GPTState, slots: Array, tokens: Array, all_logits: Array, memory: Workspace
) -> None:
    """Bound and store the logits, and move each row on."""
    for row in range(len(tokens)):
        slot, logits = slots[row], memory.logits[row]
        if shape.softcap > 0:
            cap = np.float32(shape.softcap)
            for i in range(len(logits)):
                logits[i] = cap * tanh(logits[i] / cap)
        state.logits[slot] = logits
        if all_logits.size:
            all_logits[t, row] = logits
        last = state.recent.shape[1] - 1
        for i in range(last):
            state.recent[slot, i] = state.recent[slot, i + 1]
        if last >= 0:
            state.recent[slot, last] = tokens[row, t]
        state.positions[slot] += 1


GPTLoop = Callable[..., None]


@cache
def compile_gpt_loop(kind: int, head_kind: int, rows: int, panels: int) -> GPTLoop:
    """Return the loop for the formats of the blocks' and of the readout's weights, and a tile.

    The last arguments of the loop are:
        slots: (rows,) int64, of the rows' texts.
        cos, sin: (rows, n, rotary_half), of the positions of the next tokens.
        uniforms: (rows, n) float64 random numbers; empty: no sampling.
        tokens: (rows, n) int64, to be written; without ``uniforms`` the tokens that are fed.
        all_logits: (n, rows, padded vocabulary), to be written: the logits after each token; empty: not stored.
    """

    def run(
        shape: GPTShape,
        weights: GPTWeights,
        state: GPTState,
        params: TokenParams,
        slots: Array,
        cos: Array,
        sin: Array,
        uniforms: Array,
        tokens: Array,
        all_logits: Array,
    ) -> None:
        memory, packed, starts = new_workspace(len(tokens), shape, weights, state), weights.packed, weights.starts
        batch, sums = len(tokens), memory.sums
        normed, attention, active = memory.normed.ravel(), memory.attention.ravel(), memory.active.ravel()
        qkv, output, up, logits = memory.qkv.ravel(), memory.output.ravel(), memory.up.ravel(), memory.logits.ravel()
        for t in range(tokens.shape[1]):
            begin_token(t, shape, weights, state, params, slots, uniforms, tokens, memory)
            for layer in range(shape.layers):
                begin_layer(layer, shape, weights, memory)
                multiply(kind, rows, panels, batch, packed, starts[4 * layer], normed, sums, qkv)
                attend_rows(layer, t, shape, weights, state, slots, cos, sin, memory)
                multiply(kind, rows, panels, batch, packed, starts[4 * layer + 1], attention, sums, output)
                add_attention(layer, shape, weights, memory)
                multiply(kind, rows, panels, batch, packed, starts[4 * layer + 2], normed, sums, up)
                activate_rows(layer, shape, weights, memory)
                multiply(kind, rows, panels, batch, packed, starts[4 * layer + 3], active, sums, output)
                add_feed_forward(layer, shape, weights, memory)
            multiply(head_kind, rows, panels, batch, packed, starts[4 * shape.layers], normed, sums, logits)
            end_token(t, shape, state, slots, tokens, all_logits, memory)

    return compile_function(run)
