"""What a search for a watermark has found, and p-values that hold for any media."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_P = 1e-5
"""Largest p-value at which a watermark counts as found."""


@dataclass(frozen=True)
class Detection:
    """Result of a search.

    Attributes:
        kind: ``text``, ``sound``, ``picture`` or ``clip``.
        p: probability that media without this watermark fit the key at least as well.
        key: name of the key.
    """

    kind: str
    p: float
    key: str

    @property
    def is_found(self) -> bool:
        """Whether the media have the watermark."""
        return self.p <= MAX_P

    @property
    def entries(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def sign_sum_p(z: float, num_tests: int) -> float:
    """Return the p-value of the largest of ``num_tests`` correlations with random signs.

    For numbers x and independent random signs s, ``P(sum(s * x) / norm(x) >= z) <= exp(-z**2 / 2)`` (Hoeffding 1963,
    theorem 2), whatever x is. Many tests multiply it (Bonferroni).
    """
    return min(1.0, num_tests * math.exp(-(max(z, 0.0) ** 2) / 2))


def binomial_tail(hits: int, count: int, probability: float) -> float:
    """Return the probability of at least ``hits`` successes in ``count`` independent trials."""
    if hits <= 0:
        return 1.0
    log_terms: NDArray[np.float64] = np.array(
        [
            math.lgamma(count + 1)
            - math.lgamma(k + 1)
            - math.lgamma(count - k + 1)
            + k * math.log(probability)
            + (count - k) * math.log1p(-probability)
            for k in range(hits, count + 1)
        ]
    )
    largest = float(log_terms.max(initial=-math.inf))
    return 0.0 if largest == -math.inf else min(1.0, math.exp(largest) * float(np.exp(log_terms - largest).sum()))
