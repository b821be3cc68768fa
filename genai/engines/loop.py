"""WaveNet's loop from one sample to the next, compiled by numba: draw a class, feed it, next.

Arrays are C-contiguous float32 unless said otherwise; every width is padded with zeros to ``product.block``, and the
batch to whole tiles of rows.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from genai.engines.product import accumulate, from_bits, power_of_two

Array = np.ndarray[Any, Any]

FAST: dict[str, Any] = {"fastmath": True, "error_model": "numpy"}  # a check for division by zero keeps a loop scalar
SCALE = np.float32(math.sqrt(0.5))
ZERO, HALF, ONE, TWO = (np.float32(value) for value in (0, 0.5, 1, 2))
LOG2_E, LN_2, LN_2_REST = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
C2, C3, C4, C5, C6 = (np.float32(1 / math.factorial(power)) for power in range(2, 7))
LOWEST, HIGHEST, STEEPEST = np.float32(-87), np.float32(88), np.float32(40)
GROUP = 16  # classes whose sum is taken before one of them is looked for


class Weights(NamedTuple):
    """What the loop reads at each sample.

    Attributes:
        packed: all matrices in the order of their use, as ``product.accumulate`` wants them: of each layer the older
            tap, the newer tap, to the residual, to the skips; then the two of the head.
        levels: (classes, residual).
        residual: biases (layers, residual).
        skips, hidden, out: biases (batch, width); those of the skips are summed over the layers.
        dilations: (layers,) int64.
    """

    packed: Array
    levels: Array
    residual: Array
    skips: Array
    hidden: Array
    out: Array
    dilations: Array


class State(NamedTuple):
    """What it remembers from one sample to the next.

    Attributes:
        rings: (sum of dilations, batch, residual), one layer after another; time t at row t % dilation of its layer.
        logits: of the next class, (batch, classes).
    """

    rings: Array
    logits: Array


class Frames(NamedTuple):
    """Biases of the gates of some frames.

    Attributes:
        biases: (frames, layers, batch, gate); the last frame lasts for ever.
        hop: samples a frame.
        offset: of the first sample behind the beginning of the first frame.
        position: of the first sample.
    """

    biases: Array
    hop: int
    offset: int
    position: int


class Draw(NamedTuple):
    """How a class is drawn; as in ``methods.autoregressive``, with the guidance of pairs of rows."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    guidance: float


Run = Callable[[Weights, State, Frames, Draw, Array, Array, Array], None]


def compiled(function: Any) -> Any:
    """Compiled at its first call, and kept on disk where there is a place for it."""
    try:
        return njit(function, cache=True, nogil=True, **FAST)
    except RuntimeError:  # neither beside this file nor in the user's own cache
        return njit(function, nogil=True, **FAST)


@cache
def loop(rows: int, vectors: int, inputs: int) -> Run:
    """The loop for one tile, which is a constant to the compiler.

    It is called with uniform numbers (n, batch) float64 and classes (n, batch) int64 to write, or those to follow where
    there are no uniform numbers; and writes the logits after each to (n, batch, classes), if there is place for them.
    """

    def run(
        weights: Weights, state: State, frames: Frames, how: Draw, uniforms: Array, classes: Array, every: Array
    ) -> None:
        n, batch = classes.shape
        residual, skip = weights.levels.shape[1], weights.skips.shape[1]
        layers, gate = weights.residual.shape[0], frames.biases.shape[3]
        x = np.empty((batch, residual), np.float32)
        hidden = np.empty((batch, gate), np.float32)
        gated = np.empty((batch, gate // 2), np.float32)
        halves = hidden.reshape(batch, 2, gate // 2)
        skips = np.empty((batch, skip), np.float32)
        head = np.empty((batch, skip), np.float32)
        scratch = np.zeros((3, weights.out.shape[1] + GROUP), np.float32)
        scale = np.float32(1 / math.sqrt(layers))
        for t in range(n):
            if len(uniforms):
                draw_rows(state.logits, len(weights.levels), uniforms[t], classes[t], how, scratch)
            frame = frames.biases[min((frames.offset + t) // frames.hop, frames.biases.shape[0] - 1)]
            look_up(weights.levels, classes[t], x)
            copy(weights.skips, skips)
            start, ring = 0, 0
            for layer in range(layers):
                dilation = weights.dilations[layer]
                past = state.rings[ring + (frames.position + t) % dilation]
                accumulate(rows, vectors, inputs, weights.packed, start, past, frame[layer], hidden)
                start += residual * gate
                accumulate(rows, vectors, inputs, weights.packed, start, x, hidden, hidden)
                start += residual * gate
                copy(x, past)
                activate(halves, gated)
                accumulate(rows, vectors, inputs, weights.packed, start, gated, x, x)
                start += residual * gate // 2
                accumulate(rows, vectors, inputs, weights.packed, start, gated, skips, skips)
                start += skip * gate // 2
                settle(x, weights.residual[layer])
                ring += dilation
            rectify(skips, scale)
            accumulate(rows, vectors, inputs, weights.packed, start, skips, weights.hidden, head)
            rectify(head, ONE)
            accumulate(rows, vectors, inputs, weights.packed, start + skip * skip, head, weights.out, state.logits)
            if len(every):
                copy(state.logits, every[t])

    return compiled(run)


@njit(**FAST)
def exponential(x: Any) -> Any:
    """e to the power of a float32, to 2e-7 of it, in operations that vectorise; in [-87, 88], others are the ends."""
    x = x if x > LOWEST else LOWEST
    x = x if x < HIGHEST else HIGHEST
    whole = np.floor(x * LOG2_E + HALF)
    f = (x - whole * LN_2) - whole * LN_2_REST
    series = ONE + f * (ONE + f * (C2 + f * (C3 + f * (C4 + f * (C5 + f * C6)))))
    return series * power_of_two(whole)


@njit(**FAST)
def activate(hidden: Array, gated: Array) -> None:
    """tanh(filter) * sigmoid(gate), (batch, 2, width) -> (batch, width)."""
    for row in range(len(gated)):
        filters, gates, target = hidden[row, 0], hidden[row, 1], gated[row]
        for c in range(len(target)):
            filtered, gate = -TWO * filters[c], -gates[c]
            filtered = filtered if filtered < STEEPEST else STEEPEST  # or the product below could overflow
            gate = gate if gate < STEEPEST else STEEPEST
            filtered, gate = exponential(filtered), exponential(gate)
            target[c] = (ONE - filtered) / ((ONE + filtered) * (ONE + gate))


@njit(**FAST)
def look_up(levels: Array, classes: Array, x: Array) -> None:
    """The rows of classes (batch,)."""
    for row in range(len(x)):
        source, target = levels[classes[row]], x[row]
        for c in range(len(target)):
            target[c] = source[c]


@njit(**FAST)
def copy(x: Array, y: Array) -> None:
    """y = x"""
    for row in range(len(x)):
        source, target = x[row], y[row]
        for c in range(len(target)):
            target[c] = source[c]


@njit(**FAST)
def settle(x: Array, bias: Array) -> None:
    """The residual sum, scaled."""
    for row in range(len(x)):
        line = x[row]
        for c in range(len(line)):
            line[c] = (line[c] + bias[c]) * SCALE


@njit(**FAST)
def rectify(x: Array, scale: Any) -> None:
    """x = relu(x * scale)"""
    for row in range(len(x)):
        line = x[row]
        for c in range(len(line)):
            value = line[c] * scale
            line[c] = value if value > ZERO else ZERO


@njit(**FAST)
def draw_rows(logits: Array, count: int, uniforms: Array, drawn: Array, how: Draw, scratch: Array) -> None:
    """One of ``count`` classes for each uniform number; under guidance for both halves of the batch."""
    half = len(uniforms)
    for row in range(half):
        heard = logits[row]
        if how.guidance != 1:
            prompted, free, heard = logits[row], logits[row + half], scratch[2]
            for c in range(count):
                heard[c] = free[c] + np.float32(how.guidance) * (prompted[c] - free[c])
        drawn[row] = draw(heard, count, uniforms[row], how, scratch)
        if how.guidance != 1:
            drawn[row + half] = drawn[row]


@njit(**FAST)
def draw(logits: Array, count: int, uniform: float, how: Draw, scratch: Array) -> int:
    """The class at ``uniform`` of the cumulative distribution; its place is looked for in groups, then in one of them."""
    highest = logits[0]
    for c in range(count):
        highest = logits[c] if logits[c] > highest else highest
    if how.temperature < 1e-6:
        for c in range(count):
            if logits[c] == highest:
                return c
    weights, sums, sharpness = scratch[0], scratch[1], np.float32(1 / max(how.temperature, 1e-6))
    for c in range(count):
        weights[c] = exponential((logits[c] - highest) * sharpness)
    if how.top_k or how.top_p < 1 or how.min_p > 0:
        least = threshold(weights, count, how)
        for c in range(count):
            weights[c] = weights[c] if weights[c] >= least else ZERO
    total = 0.0
    groups = -(-count // GROUP)
    for group in range(groups):
        among = ZERO
        for c in range(GROUP):
            among += weights[group * GROUP + c]
        sums[group] = among
        total += among
    target, reached, group = uniform * total, 0.0, 0
    while group < groups - 1 and reached + sums[group] <= target:
        reached += sums[group]
        group += 1
    last = 0
    for c in range(group * GROUP, count):
        if weights[c] > ZERO:
            last = c
            reached += weights[c]
            if reached > target:
                break
    return last


@njit(**FAST)
def threshold(weights: Array, count: int, how: Draw) -> Any:
    """The least weight that min-p, top-k and top-p leave; the greatest weight is 1, and always stays.

    The bits of positive floats are ordered as they are, so that a bisection of 30 steps finds one exactly, unsorted.
    """
    least = np.float32(how.min_p)
    total = 0.0
    for c in range(count):
        total += weights[c]
    for nucleus in range(2):
        if how.top_p >= 1 if nucleus else not 0 < how.top_k < count:
            continue
        low, high = 0, 0x3F800000  # the bits of 0 and 1
        while low < high:
            middle = (low + high + 1) // 2  # the greatest that so many reach, or that leaves so much above it
            value = from_bits(middle)
            enough, above = 0, 0.0
            for c in range(count):
                enough += weights[c] >= value
                above += weights[c] if weights[c] >= value else ZERO
            if above >= how.top_p * total if nucleus else enough >= how.top_k:
                low = middle
            else:
                high = middle - 1
        least = max(least, from_bits(low))
    return min(least, ONE)
