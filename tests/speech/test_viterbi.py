"""The compiled loops of the aligner, on hand-made numbers."""

import numpy as np
import pytest

from genai.speech.viterbi import LOG_ZERO, add_statistics, best_path, frame_log_probs

SURE = np.array([[0.0, -9, -9], [0, -9, -9], [-9, 0, -9], [-9, -9, 0], [-9, -9, 0]])
"""Log-likelihoods (frames, columns) of two frames of state 0, one of state 1, two of state 2."""
ORDER = np.arange(3)


def path(log_probs: np.ndarray, optional: list[int], cost: float = 0.0) -> tuple[list[int], float]:
    is_optional = np.isin(ORDER, optional)
    places, score = best_path(log_probs, ORDER, is_optional, np.where(is_optional, cost, 0.0))
    return places.tolist(), score


def test_the_best_path() -> None:
    assert path(SURE, []) == ([0, 0, 1, 2, 2], 0)
    assert path(SURE[:, [0, 2, 1]], [])[1] == -18


def test_optional_states_are_left_out() -> None:
    assert path(SURE[[0, 0, 3]], [1]) == ([0, 0, 2], 0)
    assert path(SURE[[2, 3, 3]], [0]) == ([1, 2, 2], 0)
    assert path(SURE[[0, 0, 2]], [2]) == ([0, 0, 1], 0)
    assert path(SURE[[3, 3, 4]], [0, 1]) == ([2, 2, 2], 0)


def test_an_optional_state_has_to_gain_its_penalty() -> None:
    assert path(SURE, [1], 8.0) == ([0, 0, 1, 2, 2], -8)
    assert path(SURE, [1], 10.0)[1] == -9 and 1 not in path(SURE, [1], 10.0)[0]


def test_too_few_frames() -> None:
    assert path(SURE[:2], [])[1] == LOG_ZERO


def test_likelihoods_and_statistics() -> None:
    features, states = np.array([[1.0, 2], [3, 4]]), np.array([1, 0])
    means, precisions, offsets = np.array([[0.0, 0], [1, 1]]), np.array([[1.0, 1], [0.5, 2]]), np.array([0.0, 10])
    result = frame_log_probs(features, states, means, precisions, offsets)
    np.testing.assert_allclose(result, [[10 - 2, -5], [10 - 2 - 18, -25]])
    counts, sums, squares = np.zeros(2), np.zeros((2, 2)), np.zeros((2, 2))
    add_statistics(features, np.array([1, 1]), counts, sums, squares)
    assert counts.tolist() == [0, 2] and sums[1].tolist() == [4, 6] and squares[1].tolist() == [10, 20]
    assert squares[1] / 2 - (sums[1] / 2) ** 2 == pytest.approx([1, 1])
