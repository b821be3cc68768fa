import math
from itertools import combinations

import numpy as np
import pytest

from genai.metrics import exact_tests
from genai.metrics.exact_tests import ItemGroup, rank_sum_p, weight_test

TRIALS = 400


@pytest.fixture
def few_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_tests, "PERMUTATIONS", 199)


def group(weights: list[float], num_marked: int, num_items: int, rng: np.random.Generator) -> ItemGroup:
    """A group whose labels are dealt out at random; only items with a weight are listed."""
    labels = rng.permutation(num_items) < num_marked
    return ItemGroup(np.array(weights), labels[: len(weights)], num_marked, num_items)


def rejections(p_values: list[float], level: float) -> float:
    return sum(p <= level for p in p_values) / len(p_values)


def test_weights_are_rejected_no_oftener_than_the_level_says(few_permutations: None) -> None:
    """One item weighs as much as all others, which a test that counts samples would take for many."""
    rng = np.random.default_rng(0)
    hubs = [30.0, *[1.0] * 30]
    p_values = [weight_test([group(hubs, 60, 80, rng), group([1.0] * 5, 6, 12, rng)], seed).p for seed in range(TRIALS)]
    for level in (0.01, 0.05, 0.2):
        error = math.sqrt(level * (1 - level) / TRIALS)
        assert rejections(p_values, level) <= level + 3 * error
    assert rejections(p_values, 0.5) > 0.35  # it is not only careful


def test_ranks_are_rejected_as_often_as_the_level_says(few_permutations: None) -> None:
    rng = np.random.default_rng(1)
    p_values = [rank_sum_p(*rng.normal(size=(2, 12)), seed) for seed in range(TRIALS)]
    for level in (0.05, 0.2, 0.5):
        assert rejections(p_values, level) == pytest.approx(level, abs=3 * math.sqrt(level * (1 - level) / TRIALS))


def test_a_p_value_is_the_share_of_labels_that_do_as_well() -> None:
    weights = np.array([5.0, 3.0, 2.0, 2.0, 1.0, 0.5])
    marked = np.array([True, True, False, True, False, False])
    sums = [sum(weights[list(chosen)]) for chosen in combinations(range(8), 3) if max(chosen) < 6] + [
        sum(weights[number] for number in chosen if number < 6)
        for chosen in combinations(range(8), 3)
        if max(chosen) >= 6
    ]
    exact = sum(each >= 10 for each in sums) / len(sums)
    found = weight_test([ItemGroup(weights, marked, 3, 8)])
    assert found.p == pytest.approx(exact, abs=0.01)
    assert found.expected == pytest.approx(sum(sums) / len(sums), abs=0.1)
    assert found.smallest_p == pytest.approx(1 / math.comb(8, 3) * 2, abs=0.005)  # 5 + 3 + 2, in two ways


def test_lower_values_are_found_and_higher_ones_are_not() -> None:
    rng = np.random.default_rng(2)
    low, high = rng.normal(-1, 1, 30), rng.normal(1, 1, 30)
    assert rank_sum_p(low, high) == pytest.approx(1e-4)
    assert rank_sum_p(high, low) > 0.99
    assert rank_sum_p([1.0] * 5, [1.0] * 5) == 1
