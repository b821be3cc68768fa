"""Time to the end of a run, from its recent steps and from the pauses between them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from genai.training.interval import Interval

MEMORY_SECONDS = 30.0
"""Age at which a step counts a third of a new one (1 / e) in the recent speed."""
MIN_STEP_FRACTION = 0.1
"""Fraction of the time that goes into steps, at least."""


@dataclass
class RecentSpeed:
    """Seconds per step, averaged over recent steps. The first one, which is slow, counts until there is another."""

    seconds: float = 0.0
    steps: float = 0.0
    count: int = 0

    def add(self, seconds: float) -> None:
        """Add the duration of a step."""
        self.count += 1
        decay = math.exp(-seconds / MEMORY_SECONDS) if self.count > 2 else 0.0
        self.seconds, self.steps = self.seconds * decay + seconds, self.steps * decay + 1

    @property
    def seconds_per_step(self) -> float:
        """NaN before the first step."""
        return self.seconds / self.steps if self.steps else math.nan


@dataclass(frozen=True)
class Pause:
    """A validation, preview or checkpoint, in which no steps are made.

    Attributes:
        interval: when it is due; after the last step there is one in any case.
        seconds: that it takes.
    """

    interval: Interval
    seconds: float

    def count_until(self, total: int, step: int) -> int:
        """Number after ``step`` until ``total`` that follow from the step, not from the time."""
        return math.ceil(total / self.interval.steps) - step // self.interval.steps if self.interval.steps else 1

    @property
    def time_fraction(self) -> float:
        """Fraction of the time that it takes if it is due after seconds, not steps."""
        return self.seconds / self.interval.seconds if self.interval.seconds else 0.0


def seconds_of_steps(step: int, total: int, seconds_per_step: float, pauses: Iterable[Pause]) -> float:
    """Estimate the seconds from ``step`` to the step ``total``; NaN if the speed is unknown."""
    if step >= total:
        return 0.0
    seconds, step_fraction = (total - step) * seconds_per_step, 1.0
    for pause in pauses:
        seconds += pause.count_until(total, step) * pause.seconds
        step_fraction -= pause.time_fraction
    return seconds / max(MIN_STEP_FRACTION, step_fraction)


def seconds_left(
    step: int,
    total: int | None,
    elapsed: float,
    limit: float | None,
    seconds_per_step: float,
    pauses: Iterable[Pause],
) -> float:
    """Estimate the seconds to the end of a run; NaN if the speed is unknown.

    Args:
        step: steps that are done.
        total: number of steps, if it is known.
        elapsed: seconds of training so far.
        limit: seconds of a run of minutes; ``None``: it has a number of steps.
        seconds_per_step: of recent steps.
        pauses: that are to come.
    """
    if total is not None and step >= total:
        return 0.0
    if limit is not None and (elapsed < limit or total is None):
        return max(0.0, limit - elapsed)
    return math.nan if total is None else seconds_of_steps(step, total, seconds_per_step, pauses)
