"""Intervals hold the true value about as often as they say, also that of the worst of many equal groups."""

import numpy as np
import pytest

from genai.metrics import intervals
from genai.metrics.intervals import (
    Estimate,
    bootstrap_ratio,
    mean_estimate,
    proportion_estimate,
    share_estimate,
    wilson_interval,
    worst_to_best,
)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "NUM_DRAWS", 4000)


def estimate(hits: int, total: int, seed: int = 0, scale: float = 1.0) -> Estimate:
    return proportion_estimate([True] * hits + [False] * (total - hits), np.random.default_rng(seed), scale)


def test_the_interval_of_a_proportion_is_that_of_wilson() -> None:
    half = estimate(10, 20)
    assert (half.value, half.low, half.high) == pytest.approx((0.5, 0.299298, 0.700702), abs=1e-6)
    none = estimate(0, 20)
    assert (none.value, none.low, none.high) == pytest.approx((0, 0, 0.161125), abs=1e-6)
    everything = estimate(20, 20, scale=3.0)
    assert (everything.value, everything.high) == (3, 3) and everything.low == pytest.approx(3 * (1 - 0.161125))


def test_the_interval_of_a_mean_is_that_of_student(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "NUM_DRAWS", 100_000)
    found = mean_estimate([1.0, 2.0, 3.0, 4.0, 5.0], np.random.default_rng(0))
    half = 2.776445 * (2.5 / 5) ** 0.5  # t of 4 degrees of freedom
    assert (found.value, found.low, found.high) == pytest.approx((3, 3 - half, 3 + half), abs=0.05)


@pytest.mark.parametrize("probability", [0.5, 0.9])
def test_the_true_proportion_is_mostly_inside(probability: float) -> None:
    rng = np.random.default_rng(0)
    found = [estimate(int(rng.binomial(40, probability)), 40, i) for i in range(400)]
    assert 0.92 < np.mean([each.low <= probability <= each.high for each in found]) < 0.99


def test_the_true_mean_is_mostly_inside() -> None:
    rng = np.random.default_rng(0)
    found = [mean_estimate(rng.gamma(4, 1, 30).tolist(), rng) for _ in range(400)]
    assert 0.91 < np.mean([each.low <= 4 <= each.high for each in found]) < 0.98


def test_the_worst_of_equal_groups_is_rarely_called_different() -> None:
    rng, wrong = np.random.default_rng(0), 0
    for number in range(150):
        groups = {str(i): estimate(int(hits), 40, 10 * number + i) for i, hits in enumerate(rng.binomial(40, 0.8, 8))}
        ratio = worst_to_best(groups)
        assert ratio
        wrong += ratio.is_different
    assert wrong <= 15  # the same with intervals of two groups chosen beforehand is wrong in two thirds of the cases


def test_a_group_that_is_worse_is_found() -> None:
    ratio = worst_to_best({"a": estimate(78, 80), "b": estimate(20, 80, 1), "c": estimate(70, 80, 2)})
    assert ratio and (ratio.worst, ratio.best) == ("b", "a")
    assert ratio.value == pytest.approx(20 / 78) and ratio.low < 20 / 78 < ratio.high < 1 and ratio.is_different


def test_an_unlucky_small_group_is_not_called_unfair() -> None:
    ratio = worst_to_best({"large": estimate(760, 800), "small": estimate(10, 12, 1)})
    assert ratio and ratio.worst == "small" and not ratio.is_different


def test_the_worst_loss_is_the_highest() -> None:
    rng = np.random.default_rng(0)
    losses = {"a": mean_estimate(rng.normal(1, 0.1, 50).tolist(), rng), "b": mean_estimate([2.0, 2.1] * 20, rng)}
    ratio = worst_to_best(losses, lower_is_better=True)
    assert ratio and (ratio.worst, ratio.best) == ("b", "a") and ratio.low > 1


@pytest.mark.parametrize(
    "groups",
    [
        {"a": estimate(3, 9)},
        {"a": estimate(0, 9), "b": estimate(0, 9, 1)},
        {name: mean_estimate(values, np.random.default_rng(0)) for name, values in (("a", [-1, -2]), ("b", [1, 2]))},
    ],
    ids=["one group", "nothing right", "below 0"],
)  # fmt: skip
def test_no_ratio_without_two_scores_above_0(groups: dict[str, Estimate]) -> None:
    assert worst_to_best(groups) is None


def test_the_ratio_to_an_uncertain_loss_is_wide_but_finite() -> None:
    losses = {
        "a": mean_estimate([0.1, 0.9] * 6, np.random.default_rng(0)),
        "b": mean_estimate([0.0, 0.0, 3.0] * 4, np.random.default_rng(1)),
    }
    ratio = worst_to_best(losses, lower_is_better=True)
    assert (
        ratio
        and ratio.low < 1 < 2 == ratio.value < ratio.high <= 10 / intervals.MIN_BEST_PART
        and not ratio.is_different
    )


def test_nothing_right_in_one_group_is_0_to_something() -> None:
    ratio = worst_to_best({"a": estimate(0, 40), "b": estimate(30, 40, 1)})
    assert ratio and ratio.value == ratio.low == 0 < ratio.high < 0.2


def test_wilson_interval_has_the_values_of_the_literature() -> None:
    assert wilson_interval(0.0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson_interval(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson_interval(1.0, 10) == pytest.approx((0.7225, 1), abs=1e-4)
    estimate = share_estimate(0.3, 12, np.random.default_rng(0), 2.0)
    assert (estimate.low / 2, estimate.high / 2) == wilson_interval(0.3, 12)


def test_bootstrap_interval_of_a_ratio() -> None:
    rng = np.random.default_rng(0)
    totals = rng.integers(4, 12, 400)
    errors = rng.binomial(totals, 0.1)
    low, high, error = bootstrap_ratio(errors.tolist(), totals.tolist(), 0)
    value = errors.sum() / totals.sum()
    assert low < value < high and (high - low) / 4 == pytest.approx(error, rel=0.1)
    assert error == pytest.approx((0.1 * 0.9 / totals.sum()) ** 0.5, rel=0.15)


def test_no_errors_are_not_certain() -> None:
    low, high, error = bootstrap_ratio([0, 0], [10, 10], 0)
    assert low == error == 0 and 0.1 < high < 0.3
