"""WaveNet's loop from one sample to the next, compiled by numba: draw a class, feed it, next.

Arrays are contiguous float32 unless said otherwise. Widths are padded with zeros to whole blocks and the batch to whole
tiles (``product``), and a dimension of rows, one after another in memory, is written batch * width.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from genai.networks.wavenet import gated_stack as gated
from genai.networks.wavenet.matmul import accumulate, from_bits, power_of_two

Array = np.ndarray[Any, Any]

FAST: dict[str, Any] = {"fastmath": True, "error_model": "numpy"}  # a check for division by zero keeps a loop scalar
SCALE = np.float32(gated.SCALE)
ZERO, HALF, ONE, TWO = (np.float32(value) for value in (0, 0.5, 1, 2))
LOG2_E, LN_2, LN_2_REST = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
C2, C3, C4, C5, C6 = (np.float32(1 / math.factorial(power)) for power in range(2, 7))
LOWEST, STEEPEST = np.float32(-87), np.float32(40)  # further out, a product of two exponentials could overflow
GROUP = 16  # classes whose sum is taken before one of them is looked for


class Weights(NamedTuple):
    """What the loop reads at each sample.

    Attributes:
        packed: all matrices in the order of their use, as ``product.accumulate`` wants them: of each layer the older
            tap, the newer tap, to the residual, to the skips; then the two of the head.
        levels: (classes, residual).
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


class State(NamedTuple):
    """What it remembers from one sample to the next.

    Attributes:
        rings: (sum of dilations, batch * residual), one layer after another; time t at row t % dilation of its layer.
        logits: of the next class, (batch * classes,).
    """

    rings: Array
    logits: Array


class Frames(NamedTuple):
    """Biases of the gates of some frames.

    Attributes:
        biases: (frames, layers, batch * gate); the last frame lasts for ever.
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
    there are no uniform numbers; and writes the logits after each to (n, batch * classes), if there is place for them.
    """

    def run(
        weights: Weights, state: State, frames: Frames, how: Draw, uniforms: Array, classes: Array, every: Array
    ) -> None:
        n, batch = classes.shape
        layers, residual = len(weights.dilations), weights.levels.shape[1]
        gate, skip, wide = frames.biases.shape[2] // batch, len(weights.skips) // batch, len(weights.out) // batch
        x, hidden = np.empty(batch * residual, np.float32), np.empty(batch * gate, np.float32)
        gated, skips = np.empty(batch * gate // 2, np.float32), np.empty(batch * skip, np.float32)
        halves, gates, head = hidden.reshape(batch, 2, -1), gated.reshape(batch, -1), np.empty_like(skips)
        logits, scratch = state.logits.reshape(batch, -1), np.zeros((3, wide + GROUP), np.float32)
        scale = np.float32(1 / math.sqrt(layers))
        for t in range(n):
            if len(uniforms):
                draw_rows(logits, len(weights.levels), uniforms[t], classes[t], how, scratch)
            frame = frames.biases[min((frames.offset + t) // frames.hop, frames.biases.shape[0] - 1)]
            look_up(weights.levels, classes[t], x)
            copy(weights.skips, skips)
            start, ring = 0, 0
            for layer in range(layers):
                dilation = weights.dilations[layer]
                past = state.rings[ring + (frames.position + t) % dilation]
                accumulate(rows, vectors, inputs, batch, weights.packed, start, past, frame[layer], hidden)
                start += residual * gate
                accumulate(rows, vectors, inputs, batch, weights.packed, start, x, hidden, hidden)
                start += residual * gate
                copy(x, past)
                activate(halves, gates)
                accumulate(rows, vectors, inputs, batch, weights.packed, start, gated, x, x)
                start += residual * gate // 2
                accumulate(rows, vectors, inputs, batch, weights.packed, start, gated, skips, skips)
                start += skip * gate // 2
                settle(x, weights.residual[layer])
                ring += dilation
            rectify(skips, scale)
            accumulate(rows, vectors, inputs, batch, weights.packed, start, skips, weights.hidden, head)
            start += skip * skip
            rectify(head, ONE)
            accumulate(rows, vectors, inputs, batch, weights.packed, start, head, weights.out, state.logits)
            if len(every):
                copy(state.logits, every[t])

    return compiled(run)


@njit(**FAST)
def exponential(x: Any) -> Any:
    """e to the power of a float32 in [-87, 87], to 2e-7 of it, in operations that vectorise."""
    whole = np.floor(x * LOG2_E + HALF)
    f = (x - whole * LN_2) - whole * LN_2_REST
    series = ONE + f * (ONE + f * (C2 + f * (C3 + f * (C4 + f * (C5 + f * C6)))))
    return series * power_of_two(whole)


@njit(**FAST)
def activate(hidden: Array, gated: Array) -> None:
    """tanh(filter) * sigmoid(gate), (batch, 2, width) -> (batch, width)."""
    for row in range(len(gated)):
        filters, gates, target = hidden[row, 0], hidden[row, 1], gated[row]
        for i in range(len(target)):
            filtered = exponential(max(-STEEPEST, min(STEEPEST, -TWO * filters[i])))
            gate = exponential(max(-STEEPEST, min(STEEPEST, -gates[i])))
            target[i] = (ONE - filtered) / ((ONE + filtered) * (ONE + gate))


@njit(**FAST)
def look_up(levels: Array, classes: Array, x: Array) -> None:
    """The rows of ``classes`` (batch,) in ``levels``, one after another."""
    width = levels.shape[1]
    for row in range(len(classes)):
        copy(levels[classes[row]], x[row * width : (row + 1) * width])


@njit(**FAST)
def copy(x: Array, y: Array) -> None:
    """y = x"""
    for i in range(len(y)):
        y[i] = x[i]


@njit(**FAST)
def settle(x: Array, bias: Array) -> None:
    """The residual sum, scaled: x = (x + bias) * sqrt(1/2)"""
    for i in range(len(x)):
        x[i] = (x[i] + bias[i]) * SCALE


@njit(**FAST)
def rectify(x: Array, scale: Any) -> None:
    """x = relu(x * scale)"""
    for i in range(len(x)):
        x[i] = max(x[i] * scale, ZERO)


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
    """The class at ``uniform`` of the cumulative distribution: its group is looked for, then itself."""
    highest = logits[0]
    for c in range(count):
        highest = logits[c] if logits[c] > highest else highest
    if how.temperature < 1e-6:
        for c in range(count):
            if logits[c] == highest:
                return c
    weights, sums, sharpness = scratch[0], scratch[1], np.float32(1 / max(how.temperature, 1e-6))
    for c in range(count):
        weights[c] = exponential(max(LOWEST, (logits[c] - highest) * sharpness))
    if how.top_k or how.top_p < 1 or how.min_p > 0:
        least = threshold(weights, count, how)
        for c in range(count):
            weights[c] = weights[c] if weights[c] >= least else ZERO
    total: Any = 0.0
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
    """The least weight that min-p, top-k and top-p leave; the greatest one, 1, always stays."""
    least = np.float32(how.min_p)
    if 0 < how.top_k < count:
        least = max(least, highest_with(weights, count, how.top_k, 0.0))
    if how.top_p < 1:
        least = max(least, highest_with(weights, count, 0, how.top_p * weights[:count].sum()))
    return min(least, ONE)


@njit(**FAST)
def highest_with(weights: Array, count: int, number: int, mass: float) -> Any:
    """The highest bar that so many weights reach, and so much of their sum.

    The bits of positive floats are ordered as they are: a bisection of 30 steps finds it exactly, without sorting.
    """
    low, high = 0, 0x3F800000  # the bits of 0 and of 1
    while low < high:
        middle = (low + high + 1) // 2
        bar, reaching = from_bits(middle), 0
        sum_reaching: Any = 0.0
        for c in range(count):
            reaching += weights[c] >= bar
            sum_reaching += weights[c] if weights[c] >= bar else ZERO
        if reaching >= number and sum_reaching >= mass:
            low = middle
        else:
            high = middle - 1
    return from_bits(low)
