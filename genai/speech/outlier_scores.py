"""Recordings whose sound and text do not belong together."""

from collections.abc import Sequence

import numpy as np

MAX_SIGMAS = 4.0
"""Robust standard deviations below the median at which a score is suspicious."""
MIN_RECORDINGS = 10
"""Fewest recordings for which a usual score is known."""
TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution, as a multiple of its median absolute deviation."""


def low_outliers(scores: Sequence[float]) -> tuple[list[int], str]:
    """Return the places of scores that are far below the others, the worst first, and the rule, for people."""
    if len(scores) < MIN_RECORDINGS:
        return [], f"the usual score is not known from fewer than {MIN_RECORDINGS} recordings"
    values = np.array(scores)
    median = float(np.median(values))
    sigma = TO_SIGMA * float(np.median(np.abs(values - median)))
    limit = median - MAX_SIGMAS * sigma
    places = [int(place) for place in np.argsort(values, kind="stable") if values[place] < limit]
    rule = f"a score below {limit:.2f} (median {median:.2f}, less {MAX_SIGMAS:g} robust standard deviations)"
    return places, rule
