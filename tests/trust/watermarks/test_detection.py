"""P-values: never smaller than the truth."""

import math

import numpy as np
import pytest

from genai.trust.watermarks.detection import MAX_P, Detection, binomial_tail, sign_sum_p


@pytest.mark.parametrize("count", [1, 5, 30])
@pytest.mark.parametrize("probability", [0.25, 0.5])
def test_the_binomial_tail_is_exact(count: int, probability: float) -> None:
    for hits in range(count + 1):
        expected = sum(
            math.comb(count, k) * probability**k * (1 - probability) ** (count - k) for k in range(hits, count + 1)
        )
        assert binomial_tail(hits, count, probability) == pytest.approx(expected, rel=1e-9)
    assert binomial_tail(0, 0, probability) == 1 and binomial_tail(3000, 3000, 0.25) == 0


def test_a_sum_of_signs_is_rarely_above_its_bound() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.normal(size=50), np.r_[10.0, np.ones(20)], rng.standard_cauchy(50)):
        z = rng.choice([-1, 1], (20_000, len(values))) @ values / np.linalg.norm(values)
        p = np.array([sign_sum_p(each, 1) for each in z])
        for level in (0.3, 0.1, 0.01):
            assert (p <= level).mean() <= level
    assert sign_sum_p(-3, 1) == 1 and sign_sum_p(5, 10) == pytest.approx(10 * math.exp(-12.5))


def test_what_counts_as_found() -> None:
    assert Detection("text", MAX_P, "k").is_found and not Detection("text", 2 * MAX_P, "k").is_found
    assert Detection("text", 0.5, "k").entries == {"kind": "text", "p": 0.5, "key": "k"}
