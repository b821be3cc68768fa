"""What GPT's loop reads and writes: sizes, weights, state and memory, as tuples that numba compiles."""

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


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
    """State of the texts between tokens, each in a slot.

    Attributes:
        keys, values: (layers, slots, kv_heads, capacity, head_width), ring buffers.
        positions: (slots,) int64, of the next token, counted from the first one of the text.
        recent: (slots, ngrams - 1) int64, the latest tokens, oldest first.
        logits: (slots, padded vocabulary), of the next token.
        history: (slots, vocab_size or 0) uint8, 1 for tokens of the prompt, 2 or 3 for those that were generated; only
            penalties need it.
        ended: (slots,) bool.
        bias: (slots, vocab_size or 0), is added to the logits; only requests with a bias need it.
    """

    keys: Array
    values: Array
    positions: Array
    recent: Array
    logits: Array
    history: Array
    ended: Array
    bias: Array


class TokenParams(NamedTuple):
    """Options of sampling, (slots,) each, as in ``TokenSampling``.

    Attributes:
        num_tokens: int64, tokens with larger ids are never sampled.
        ends: (slots, n) int64, tokens that end a text, padded with -1; later tokens of the text are the first of them.
    """

    num_tokens: Array
    temperature: Array
    top_k: Array
    top_p: Array
    min_p: Array
    repetition_penalty: Array
    presence_penalty: Array
    ends: Array


class Workspace(NamedTuple):
    """Memory for one token of all rows, (batch, padded width) each.

    Attributes:
        x, start: the residual stream, and the embedding.
        normed: inputs of the matrices.
        qkv, attention, output, up, active: what they give, and what they are given.
        sums: of groups of inputs.
        scores: (capacity,), of one head.
        head_norm: (2, head_width).
        plain_norm: (2, width), weights of one and biases of zero.
        logits: of the next token.
        buffers: (3, padded vocabulary), for sampling.
    """

    x: Array
    start: Array
    normed: Array
    qkv: Array
    attention: Array
    output: Array
    up: Array
    active: Array
    sums: Array
    scores: Array
    head_norm: Array
    plain_norm: Array
    logits: Array
    buffers: Array
