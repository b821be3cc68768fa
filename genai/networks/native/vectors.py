"""Operations on the vectors of one position of a GPT, compiled by numba: norms, rotation, attention, activations."""

import math
from typing import Any

import numpy as np
from numba import njit

from genai.networks.native.formats import GROUP
from genai.networks.wavenet.loop import NJIT_OPTIONS, fast_exp

Array = np.ndarray[Any, Any]
RELU2, GELU, GELU_TANH, SWIGLU = range(4)
ZERO, HALF, ONE, TWO = (np.float32(value) for value in (0, 0.5, 1, 2))
MIN_EXPONENT, MAX_EXPONENT = np.float32(-87), np.float32(87)
SQRT_HALF, SQRT_2_PI, GELU_FACTOR = (np.float32(x) for x in (math.sqrt(0.5), math.sqrt(2 / math.pi), 0.044715))


@njit(**NJIT_OPTIONS)
def normalize(x: Array, width: int, parameters: Array, is_layer_norm: bool, eps: float, y: Array) -> None:
    """Write RMSNorm or LayerNorm of ``x[:width]``, with weights and biases (2, width), to ``y``."""
    mean = ZERO
    if is_layer_norm:
        for i in range(width):
            mean += x[i]
        mean = mean / np.float32(width)
    total = ZERO
    for i in range(width):
        total += (x[i] - mean) * (x[i] - mean)
    scale = ONE / np.float32(math.sqrt(total / np.float32(width) + np.float32(eps)))
    weights, biases = parameters[0], parameters[1]
    for i in range(width):
        y[i] = (x[i] - mean) * scale * weights[i] + biases[i]


@njit(**NJIT_OPTIONS)
def group_sums(x: Array, sums: Array) -> None:
    """Write the sums of the groups of ``x`` (rows, inputs)."""
    flat = x.ravel()
    for group in range(x.size // GROUP):
        total = ZERO
        for i in range(GROUP):
            total += flat[group * GROUP + i]
        sums[group] = total


@njit(**NJIT_OPTIONS)
def rotate(x: Array, cos: Array, sin: Array) -> None:
    """Rotate the first channels of a head in place, as ``layers.apply_rotary`` does."""
    half = len(cos)
    for i in range(half):
        first, second = x[i], x[half + i]
        x[i] = first * cos[i] + second * sin[i]
        x[half + i] = second * cos[i] - first * sin[i]


@njit(**NJIT_OPTIONS)
def attend(query: Array, keys: Array, values: Array, filled: int, scores: Array, output: Array) -> None:
    """Write the attention of one head over the first ``filled`` of ``keys`` and ``values`` (capacity, head_width)."""
    width = len(query)
    scale, largest = np.float32(1 / math.sqrt(width)), np.float32(-3e38)
    for t in range(filled):
        total, key = ZERO, keys[t]
        for i in range(width):
            total += query[i] * key[i]
        scores[t] = total * scale
        largest = max(largest, scores[t])
    total = ZERO
    for t in range(filled):
        scores[t] = fast_exp(max(MIN_EXPONENT, scores[t] - largest))
        total += scores[t]
    for i in range(width):
        output[i] = ZERO
    for t in range(filled):
        weight, value = scores[t] / total, values[t]
        for i in range(width):
            output[i] += weight * value[i]


@njit(**NJIT_OPTIONS)
def tanh(x: Any) -> Any:
    """Return the hyperbolic tangent of a float32."""
    squared = fast_exp(max(MIN_EXPONENT, min(MAX_EXPONENT, -TWO * abs(x))))
    value = (ONE - squared) / (ONE + squared)
    return value if x >= ZERO else -value


@njit(**NJIT_OPTIONS)
def activate(x: Array, hidden: int, kind: int, y: Array) -> None:
    """Write the activation of ``x`` (hidden, or twice as many for ``SWIGLU``) to ``y``."""
    if kind == SWIGLU:
        for i in range(hidden):
            gate = x[i]
            sigmoid = ONE / (ONE + fast_exp(max(MIN_EXPONENT, min(MAX_EXPONENT, -gate))))
            y[i] = gate * sigmoid * x[hidden + i]
    elif kind == RELU2:
        for i in range(hidden):
            positive = max(x[i], ZERO)
            y[i] = positive * positive
    elif kind == GELU_TANH:
        for i in range(hidden):
            y[i] = HALF * x[i] * (ONE + tanh(SQRT_2_PI * (x[i] + GELU_FACTOR * x[i] * x[i] * x[i])))
    else:
        for i in range(hidden):
            y[i] = HALF * x[i] * (ONE + np.float32(math.erf(x[i] * SQRT_HALF)))
