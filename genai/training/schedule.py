"""How long a run is, and how its learning rate goes: warm-up, constant, linear cool-down to zero.

A run of so many steps knows its end. A run of so many minutes does not: it stays at the constant rate until what is
left of its time is the cool-down's share, then estimates its end by its speed, and again now and then, as a machine may
become faster or slower. The rate falls straight from where it is to the newest end. All of that goes into the
checkpoint, so that a resumed run follows it.
"""

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

LOOK = 0.05
"""The share of its time after which a run of minutes estimates its end for the first time, and that is at least between
two estimates, unless half of the estimated steps are done sooner."""


@dataclass(frozen=True)
class Schedule:
    """The shape of the learning rate (cool-down: Hägele et al. 2024, arXiv:2405.18392).

    Args:
        warmup: steps from zero to the full rate.
        cooldown: the share of the run in which the rate falls to zero.
    """

    warmup: Annotated[int, Ge(0)] = 20
    cooldown: Annotated[float, Ge(0), Le(1)] = 0.5


@dataclass
class LRSchedule:
    """A schedule on its way.

    Attributes:
        total: the last step; ``None`` while a run of minutes has not estimated it.
        seconds: the length of a run of minutes.
        cooling_from: the step at which the end was last estimated.
        level: what the rate was multiplied with at that step, the warm-up apart.
        next_look: seconds after which it is estimated again at the latest.
        since: the step and the second from which its speed is measured.
    """

    schedule: Schedule
    total: int | None = None
    seconds: Annotated[float, Gt(0)] | None = None
    cooling_from: int | None = None
    level: float = 1.0
    next_look: float | None = None
    since: tuple[int, float] | None = None

    def factor(self, step: int) -> float:
        """What the learning rate is multiplied with at ``step`` (the first is 0)."""
        warm = min(1.0, (step + 1) / (self.schedule.warmup + 1))
        return warm * self._cooled(step)

    def look_at_clock(self, step: int, elapsed: float) -> None:
        """After ``step`` steps in ``elapsed`` seconds of training: estimate the end if that is due."""
        if self.seconds is None or step == 0:
            return
        if self.since is None:  # the first step, and the first after a resume, is slow
            self.since = (step, elapsed)
        due = self.seconds * max(LOOK, 1 - self.schedule.cooldown) if self.next_look is None else self.next_look
        known = step > self.since[0] or elapsed >= self.seconds
        if known and (elapsed >= due or self._ahead(step)):
            left = max(0.0, self.seconds - elapsed)
            self.level, self.cooling_from = self._cooled(step), step
            self.total = step + max(1, round(left * self._speed(step, elapsed)))
            self.since = (step, elapsed)
            self.next_look = elapsed + max(left / 4, LOOK * self.seconds) if left else math.inf  # that end is the end

    def estimate(self, step: int, elapsed: float) -> int | None:
        """The last step, as far as it can be told now."""
        if self.total is not None or self.seconds is None or self.since is None or step <= self.since[0]:
            return self.total
        return step + max(1, round((self.seconds - elapsed) * self._speed(step, elapsed)))

    def _cooled(self, step: int) -> float:
        """The factor without warm-up."""
        if self.total is None:
            return 1.0
        start = self.total * (1 - self.schedule.cooldown) if self.cooling_from is None else self.cooling_from
        return self.level * min(1.0, max(0, self.total - step) / max(1e-9, self.total - start))

    def _ahead(self, step: int) -> bool:
        """Whether half of the steps of the last estimate are done: if it was made while a preview was, they are few."""
        if self.total is None or self.cooling_from is None:
            return False
        return (self.cooling_from + self.total) / 2 <= step < self.total

    def _speed(self, step: int, elapsed: float) -> float:
        """Steps a second."""
        assert self.since is not None
        return (step - self.since[0]) / max(1e-9, elapsed - self.since[1])

    def state(self) -> dict[str, int | float | None]:
        """Plain types, for the checkpoint."""
        return {name: getattr(self, name) for name in ("total", "seconds", "cooling_from", "level", "next_look")}
