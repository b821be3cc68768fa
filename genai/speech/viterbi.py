"""The inner loops of the aligner, compiled by numba: log-probabilities of frames, and the best path through a text.

All sums are made in a fixed order, so the same data give the same bits. Arrays are contiguous.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
LOG_ZERO = -1e300
"""Log-likelihood of a path that cannot be."""


def frame_log_probs(features: Floats, states: Indices, means: Floats, precisions: Floats, offsets: Floats) -> Floats:
    """Return log-probabilities of frames in states: (frames, states).

    Args:
        features: (frames, features).
        states: (states,), rows of the other arrays.
        means, precisions: (all states, features) of Gaussians; the precisions are half the inverse variances.
        offsets: (all states,), what is added.
    """
    result: Floats = _compiled(_frame_log_probs)(features, states, means, precisions, offsets)
    return result


def best_path(log_probs: Floats, columns: Indices, optional: NDArray[np.bool_], costs: Floats) -> tuple[Indices, float]:
    """Find the most likely places of frames in a chain of states, each of which takes one frame or more.

    Args:
        log_probs: (frames, columns), log-probabilities of frames in states.
        columns: (chain,), where in ``log_probs`` each state of the chain is.
        optional: (chain,), states that may be left out.
        costs: (chain,), taken from the log-likelihood when a path enters the state, not where it begins.

    Returns:
        (frames,), the place of each frame in the chain; the log-likelihood, ``LOG_ZERO`` if there are too few frames.
    """
    path, score = _compiled(_best_path)(log_probs, columns, optional, costs)
    return path, float(score)


def add_statistics(features: Floats, states: Indices, counts: Floats, sums: Floats, squares: Floats) -> None:
    """Add the frames of each state to its count (states,), sums and sums of squares (states, features), in place."""
    _compiled(_add_statistics)(features, states, counts, sums, squares)


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function compiled at its first call, and cached on disk if there is a writable place for it."""
    from numba import njit

    try:
        compiled: Callable[..., Any] = njit(function, cache=True, nogil=True)
    except RuntimeError:  # neither this folder nor the user's cache is writable
        compiled = njit(function, nogil=True)
    return compiled


def _frame_log_probs(features: Any, states: Any, means: Any, precisions: Any, offsets: Any) -> Any:
    result = np.empty((len(features), len(states)))
    for t in range(len(features)):
        for column in range(len(states)):
            state = states[column]
            total = offsets[state]
            for i in range(features.shape[1]):
                difference = features[t, i] - means[state, i]
                total -= difference * difference * precisions[state, i]
            result[t, column] = total
    return result


def _best_path(log_probs: Any, columns: Any, optional: Any, costs: Any) -> Any:
    frames, length = len(log_probs), len(columns)
    scores = np.full(length, LOG_ZERO)
    steps = np.zeros((frames, length), np.int8)  # places to go back from each place in each frame
    for place in range(length):
        scores[place] = log_probs[0, columns[place]]
        if not optional[place]:
            break
    for t in range(1, frames):
        for place in range(length - 1, -1, -1):  # backwards: the places before still have the scores of frame t - 1
            best, step = scores[place], 0
            previous, cost = place - 1, costs[place]
            while previous >= 0:
                if scores[previous] - cost > best:
                    best, step = scores[previous] - cost, place - previous
                if not optional[previous]:
                    break
                previous -= 1
            scores[place] = best + log_probs[t, columns[place]] if best > LOG_ZERO else LOG_ZERO
            steps[t, place] = step
    end = length - 1
    place = end
    while place > 0 and optional[place]:
        place -= 1
        if scores[place] > scores[end]:
            end = place
    path = np.empty(frames, np.int64)
    total, place = scores[end], end
    for t in range(frames - 1, -1, -1):
        path[t] = place
        place -= steps[t, place]
    return path, total


def _add_statistics(features: Any, states: Any, counts: Any, sums: Any, squares: Any) -> None:
    for t in range(len(features)):
        state = states[t]
        counts[state] += 1
        for i in range(features.shape[1]):
            sums[state, i] += features[t, i]
            squares[state, i] += features[t, i] * features[t, i]
