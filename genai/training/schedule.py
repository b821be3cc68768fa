"""Learning-rate schedule: warm-up, constant, linear cool-down to zero, over a number of steps or minutes.

A run of minutes does not know its last step. Its rate is constant until the remaining time is that of the cool-down;
then the last step is estimated from the speed, and again from time to time, because the speed may change. The rate
falls linearly from its current value to zero at the latest estimate. This state is part of the checkpoint, so that a
resumed run continues in the same way.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le

from genai.core.instantiate import parse_dataclass
from genai.core.plain_data import AllowInfNan

ESTIMATE_FRACTION = 0.05
"""Fraction of its time after which a run of minutes estimates its last step for the first time, and the minimum between
two estimates, unless half of the estimated steps are done sooner."""

STATE_KEYS = {
    "total": "total",
    "seconds": "seconds",
    "cooling_from": "cooldown_start",
    "level": "cooldown_factor",
    "next_look": "next_estimate",
}
"""Key in checkpoints -> attribute of ``LRSchedule``."""


@dataclass(frozen=True)
class Schedule:
    """The shape of the learning rate (cool-down: Hägele et al. 2024, arXiv:2405.18392).

    Args:
        warmup: steps from zero to the full rate.
        cooldown: fraction of the run in which the rate falls to zero.
        peak: fraction of the optimizer's rates that is not exceeded, to train a finished run longer at a low rate.
    """

    warmup: Annotated[int, Ge(0)] = 20
    cooldown: Annotated[float, Ge(0), Le(1)] = 0.5
    peak: Annotated[float, Gt(0), Le(1)] = 1.0


@dataclass
class LRSchedule:
    """A ``Schedule`` with the length of the run and, for a run of minutes, the latest estimate of it.

    Attributes:
        total: number of steps; ``None`` until a run of minutes has estimated it.
        seconds: length of a run of minutes.
        cooldown_start: step of the latest estimate, from which the rate falls.
        cooldown_factor: factor of the rate at that step, without warm-up.
        next_estimate: seconds of training after which the next estimate is due.
        speed_start: step and seconds from which the speed is measured.
    """

    schedule: Schedule
    total: Annotated[int, Ge(1)] | None = None
    seconds: Annotated[float, Gt(0)] | None = None
    cooldown_start: Annotated[int, Ge(0)] | None = None
    cooldown_factor: Annotated[float, Ge(0), Le(1)] = 1.0
    next_estimate: Annotated[float | None, AllowInfNan] = None
    speed_start: tuple[int, float] | None = None

    def factor(self, step: int) -> float:
        """Return the factor of the learning rate at ``step`` (the first is 0)."""
        warm = min(1.0, (step + 1) / (self.schedule.warmup + 1))
        return self.schedule.peak * warm * self._cooldown(step)

    def update_estimate(self, step: int, elapsed: float) -> None:
        """Estimate the last step if that is due, after ``step`` steps in ``elapsed`` seconds of training."""
        if self.seconds is None or step == 0:
            return
        if self.speed_start is None:  # skip the first step, which is slow, also after a resume
            self.speed_start = (step, elapsed)
        first_estimate = self.seconds * max(ESTIMATE_FRACTION, 1 - self.schedule.cooldown)
        due = first_estimate if self.next_estimate is None else self.next_estimate
        speed_is_known = step > self.speed_start[0] or elapsed >= self.seconds
        if speed_is_known and (elapsed >= due or self._half_done(step)):
            left = max(0.0, self.seconds - elapsed)
            self.cooldown_factor, self.cooldown_start = self._cooldown(step), step
            self.total = step + max(1, round(left * self._speed(step, elapsed)))
            self.speed_start = (step, elapsed)
            self.next_estimate = elapsed + max(left / 4, ESTIMATE_FRACTION * self.seconds) if left else math.inf

    def estimate(self, step: int, elapsed: float) -> int | None:
        """Estimate the last step for the progress bar; ``None`` if the speed is unknown."""
        if self.total is not None or self.seconds is None or self.speed_start is None or step <= self.speed_start[0]:
            return self.total
        return step + max(1, round((self.seconds - elapsed) * self._speed(step, elapsed)))

    def _cooldown(self, step: int) -> float:
        """Return the factor without warm-up."""
        if self.total is None:
            return 1.0
        start = self.total * (1 - self.schedule.cooldown) if self.cooldown_start is None else self.cooldown_start
        return self.cooldown_factor * min(1.0, max(0, self.total - step) / max(1e-9, self.total - start))

    def _half_done(self, step: int) -> bool:
        """Return whether half of the estimated steps are done.

        An estimate may be too low, for example if a preview was made just before it.
        """
        if self.total is None or self.cooldown_start is None:
            return False
        return (self.cooldown_start + self.total) / 2 <= step < self.total

    def _speed(self, step: int, elapsed: float) -> float:
        """Return the speed in steps per second."""
        assert self.speed_start is not None
        return (step - self.speed_start[0]) / max(1e-9, elapsed - self.speed_start[1])

    def state(self) -> dict[str, int | float | None]:
        """Return the state as plain types, for the checkpoint."""
        return {key: getattr(self, name) for key, name in STATE_KEYS.items()}

    @classmethod
    def from_state(cls, schedule: Schedule, state: Mapping[str, Any]) -> "LRSchedule":
        """Restore the schedule from a ``state``. Raises ``UserError`` if that is none."""
        return parse_dataclass(
            cls, {"schedule": schedule, **{STATE_KEYS.get(key, key): value for key, value in state.items()}}, "course"
        )
