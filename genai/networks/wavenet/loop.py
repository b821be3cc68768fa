"""WaveNet's generation loop, compiled by numba: sample a class, feed it back, repeat.

Arrays are contiguous float32 unless stated otherwise. Channels are padded with zeros to whole blocks and the batch to
whole tiles (see ``matmul``). A dimension that holds all rows of the batch, one after another, is written as
``batch * width``.
"""

import logging
import math
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from genai.networks.wavenet import gated_stack
from genai.networks.wavenet.matmul import accumulate, from_bits, power_of_two

Array = np.ndarray[Any, Any]

NJIT_OPTIONS: dict[str, Any] = {"fastmath": True, "error_model": "numpy"}  # checks for division by zero prevent SIMD
RESIDUAL_SCALE = np.float32(gated_stack.RESIDUAL_SCALE)
ZERO, HALF, ONE, TWO = (np.float32(value) for value in (0, 0.5, 1, 2))
LOG2_E, LN_2, LN_2_REST = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
C2, C3, C4, C5, C6 = (np.float32(1 / math.factorial(power)) for power in range(2, 7))
MIN_LOGIT = np.float32(-1e29)  # lower ones are forbidden, see methods/logit_bias.py
MIN_EXPONENT, MAX_GATE_INPUT = np.float32(-87), np.float32(40)  # beyond, a product of two exponentials could overflow
COMPILE_SECONDS = 2.0  # after which people are told
GROUP_SIZE = 16  # classes per partial sum in ``sample_class``


class LoopWeights(NamedTuple):
    """Weights of the network in the layout of the loop.

    Attributes:
        packed: all matrices in the order of their use, in the layout of ``matmul.accumulate``: for each layer the older
            tap, the newer tap, the residual and the skip output; then the two matrices of the head.
        levels: (classes, residual), the embedding of the input.
        residual: biases (layers, batch * residual).
        skips, hidden, out: biases (batch * width,); those of the skips are summed over the layers.
        dilations: (layers,) int64.
    """

    packed: Array
    levels: Array
    residual: Array
    skips: Array
    hidden: Array
    out: Array
    dilations: Array


class LoopState(NamedTuple):
    """State of the loop between samples.

    Attributes:
        rings: (sum of dilations, batch * residual), the ring buffers of all layers one after another; time t is at row
            t % dilation of its layer.
        logits: (batch * classes,), of the next class.
    """

    rings: Array
    logits: Array


class GateBiases(NamedTuple):
    """Biases of the gates for a range of frames.

    Attributes:
        biases: (frames, layers, batch * gate); the last frame is used for all later samples, too.
        hop_length: samples per frame.
        offset: of the first sample from the start of the first frame.
        position: of the first sample from the start of the sound.
    """

    biases: Array
    hop_length: int
    offset: int
    position: int


class SamplingParams(NamedTuple):
    """Sampling options, as in ``methods.autoregressive``; guidance pairs row i with row i + batch / 2."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    guidance: float


SampleLoop = Callable[[LoopWeights, LoopState, GateBiases, SamplingParams, Array, Array, Array], None]


def compile_function(function: Any) -> Callable[..., Any]:
    """Return ``function`` compiled at its first call, and cached on disk if there is a writable place for it."""
    try:
        compiled = njit(function, cache=True, nogil=True, **NJIT_OPTIONS)
    except RuntimeError:  # neither this folder nor the user's cache is writable
        compiled = njit(function, nogil=True, **NJIT_OPTIONS)

    def call(*args: Any) -> Any:
        if compiled.signatures:
            return compiled(*args)
        log = logging.getLogger(__name__).warning
        timer = threading.Timer(COMPILE_SECONDS, log, ("compiling the sampling loop: only the first time here",))
        timer.start()
        try:
            return compiled(*args)
        finally:
            timer.cancel()

    return call


@cache
def compile_sample_loop(rows: int, vectors: int, inputs: int) -> SampleLoop:
    """Return the loop for one tile shape (see ``matmul.tile_shape``), which is a constant to the compiler.

    The last three arguments of the loop are:
        uniforms: (n, batch) float64 random numbers; empty: no sampling.
        classes: (n, batch) int64, to be written; without ``uniforms`` the classes that are fed.
        all_logits: (n, batch * classes), to be written: the logits after each class; empty: they are not stored.
    """

    def run(
        weights: LoopWeights,
        state: LoopState,
        frames: GateBiases,
        sampling: SamplingParams,
        uniforms: Array,
        classes: Array,
        all_logits: Array,
    ) -> None:
        n, batch = classes.shape
        layers, residual = len(weights.dilations), weights.levels.shape[1]
        gate, skip = frames.biases.shape[2] // batch, len(weights.skips) // batch
        padded_classes = len(weights.out) // batch
        x, hidden = np.empty(batch * residual, np.float32), np.empty(batch * gate, np.float32)
        gated, skips = np.empty(batch * gate // 2, np.float32), np.empty(batch * skip, np.float32)
        hidden_rows, gated_rows, head = hidden.reshape(batch, 2, -1), gated.reshape(batch, -1), np.empty_like(skips)
        logits = state.logits.reshape(batch, -1)
        buffers = np.zeros((3, padded_classes + GROUP_SIZE), np.float32)
        scale = np.float32(1 / math.sqrt(layers))
        for t in range(n):
            if len(uniforms):
                sample_rows(logits, len(weights.levels), uniforms[t], classes[t], sampling, buffers)
            frame = frames.biases[min((frames.offset + t) // frames.hop_length, frames.biases.shape[0] - 1)]
            embed(weights.levels, classes[t], x)
            copy_into(weights.skips, skips)
            start, ring = 0, 0
            for layer in range(layers):
                dilation = weights.dilations[layer]
                past = state.rings[ring + (frames.position + t) % dilation]
                accumulate(rows, vectors, inputs, batch, weights.packed, start, past, frame[layer], hidden)
                start += residual * gate
                accumulate(rows, vectors, inputs, batch, weights.packed, start, x, hidden, hidden)
                start += residual * gate
                copy_into(x, past)
                gated_tanh(hidden_rows, gated_rows)
                accumulate(rows, vectors, inputs, batch, weights.packed, start, gated, x, x)
                start += residual * gate // 2
                accumulate(rows, vectors, inputs, batch, weights.packed, start, gated, skips, skips)
                start += skip * gate // 2
                add_bias_and_scale(x, weights.residual[layer])
                ring += dilation
            scaled_relu(skips, scale)
            accumulate(rows, vectors, inputs, batch, weights.packed, start, skips, weights.hidden, head)
            start += skip * skip
            scaled_relu(head, ONE)
            accumulate(rows, vectors, inputs, batch, weights.packed, start, head, weights.out, state.logits)
            if len(all_logits):
                copy_into(state.logits, all_logits[t])

    return compile_function(run)


@njit(**NJIT_OPTIONS)
def fast_exp(x: Any) -> Any:
    """Return e**x for a float32 in [-87, 87], with a relative error of 2e-7, in operations that vectorize."""
    whole = np.floor(x * LOG2_E + HALF)
    f = (x - whole * LN_2) - whole * LN_2_REST
    series = ONE + f * (ONE + f * (C2 + f * (C3 + f * (C4 + f * (C5 + f * C6)))))
    return series * power_of_two(whole)


@njit(**NJIT_OPTIONS)
def gated_tanh(hidden: Array, gated: Array) -> None:
    """Write tanh(filter) * sigmoid(gate): (batch, 2, width) -> (batch, width)."""
    for row in range(len(gated)):
        filters, gates, target = hidden[row, 0], hidden[row, 1], gated[row]
        for i in range(len(target)):
            filter_exp = fast_exp(max(-MAX_GATE_INPUT, min(MAX_GATE_INPUT, -TWO * filters[i])))
            gate_exp = fast_exp(max(-MAX_GATE_INPUT, min(MAX_GATE_INPUT, -gates[i])))
            target[i] = (ONE - filter_exp) / ((ONE + filter_exp) * (ONE + gate_exp))


@njit(**NJIT_OPTIONS)
def embed(levels: Array, classes: Array, x: Array) -> None:
    """Write the rows of ``levels`` for ``classes`` (batch,) into ``x``, one after another."""
    width = levels.shape[1]
    for row in range(len(classes)):
        copy_into(levels[classes[row]], x[row * width : (row + 1) * width])


@njit(**NJIT_OPTIONS)
def copy_into(x: Array, y: Array) -> None:
    """Compute y = x."""
    for i in range(len(y)):
        y[i] = x[i]


@njit(**NJIT_OPTIONS)
def add_bias_and_scale(x: Array, bias: Array) -> None:
    """Compute x = (x + bias) * sqrt(1/2), the residual sum."""
    for i in range(len(x)):
        x[i] = (x[i] + bias[i]) * RESIDUAL_SCALE


@njit(**NJIT_OPTIONS)
def scaled_relu(x: Array, scale: Any) -> None:
    """Compute x = relu(x * scale)."""
    for i in range(len(x)):
        x[i] = max(x[i] * scale, ZERO)


@njit(**NJIT_OPTIONS)
def sample_rows(
    logits: Array, count: int, uniforms: Array, classes: Array, sampling: SamplingParams, buffers: Array
) -> None:
    """Sample one of ``count`` classes per uniform number; with guidance, the same for both halves of the batch."""
    half = len(uniforms)
    for row in range(half):
        row_logits = logits[row]
        if sampling.guidance != 1:
            conditional, unconditional, row_logits = logits[row], logits[row + half], buffers[2]
            for c in range(count):
                row_logits[c] = unconditional[c] + np.float32(sampling.guidance) * (conditional[c] - unconditional[c])
        classes[row] = sample_class(row_logits, count, uniforms[row], sampling, buffers)
        if sampling.guidance != 1:
            classes[row + half] = classes[row]


@njit(**NJIT_OPTIONS)
def sample_class(logits: Array, count: int, uniform: float, sampling: SamplingParams, buffers: Array) -> int:
    """Return the class at ``uniform`` of the cumulative distribution, searched by groups of classes first."""
    max_logit = logits[0]
    for c in range(count):
        max_logit = logits[c] if logits[c] > max_logit else max_logit
    if sampling.temperature < 1e-6:
        for c in range(count):
            if logits[c] == max_logit:
                return c
    weights, sums, inverse_temperature = buffers[0], buffers[1], np.float32(1 / max(sampling.temperature, 1e-6))
    for c in range(count):
        weight = fast_exp(max(MIN_EXPONENT, (logits[c] - max_logit) * inverse_temperature))
        weights[c] = weight if logits[c] > MIN_LOGIT else ZERO
    if sampling.top_k or sampling.top_p < 1 or sampling.min_p > 0:
        cutoff = weight_cutoff(weights, count, sampling)
        for c in range(count):
            weights[c] = weights[c] if weights[c] >= cutoff else ZERO
    total: Any = 0.0
    groups = -(-count // GROUP_SIZE)
    for c in range(count, groups * GROUP_SIZE):
        weights[c] = ZERO
    for group in range(groups):
        group_sum = ZERO
        for c in range(GROUP_SIZE):
            group_sum += weights[group * GROUP_SIZE + c]
        sums[group] = group_sum
        total += group_sum
    target, cumulative, group = uniform * total, 0.0, 0
    while group < groups - 1 and cumulative + sums[group] <= target:
        cumulative += sums[group]
        group += 1
    last = 0
    for c in range(group * GROUP_SIZE, count):
        if weights[c] > ZERO:
            last = c
            cumulative += weights[c]
            if cumulative > target:
                break
    return last


@njit(**NJIT_OPTIONS)
def weight_cutoff(weights: Array, count: int, sampling: SamplingParams) -> Any:
    """Return the smallest weight that min-p, top-k and top-p keep; the largest weight, 1, is always kept."""
    cutoff = np.float32(sampling.min_p)
    if 0 < sampling.top_k < count:
        cutoff = max(cutoff, largest_cutoff(weights, count, sampling.top_k, 0.0))
    if sampling.top_p < 1:
        cutoff = max(cutoff, largest_cutoff(weights, count, 0, sampling.top_p * weights[:count].sum()))
    return min(cutoff, ONE)


@njit(**NJIT_OPTIONS)
def largest_cutoff(weights: Array, count: int, min_number: int, min_mass: float) -> Any:
    """Return the largest cutoff that keeps at least ``min_number`` weights with a sum of at least ``min_mass``.

    Positive floats are ordered like their bits, so a bisection of 30 steps is exact and needs no sorting.
    """
    low, high = 0, 0x3F800000  # the bits of 0 and of 1
    while low < high:
        middle = (low + high + 1) // 2
        cutoff, number = from_bits(middle), 0
        mass: Any = 0.0
        for c in range(count):
            number += weights[c] >= cutoff
            mass += weights[c] if weights[c] >= cutoff else ZERO
        if number >= min_number and mass >= min_mass:
            low = middle
        else:
            high = middle - 1
    return from_bits(low)
