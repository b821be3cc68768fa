"""Speed of a run by kind of batch, and the time to its end: from recent steps and the pauses between them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genai.core.batch import Batch
from genai.training.interval import Interval

MEMORY_SECONDS = 30.0
"""Age at which a step counts a third of a new one (1 / e) in the recent speed."""
MIN_STEP_FRACTION = 0.1
"""Fraction of the time that goes into steps, at least."""


@dataclass
class KindSpeed:
    """Speed of the steps on one kind of batch, averaged over recent ones and over those since the last report.

    The first step, which is slow, counts until there is another.
    """

    steps: int = 0
    recent_seconds: float = 0.0
    recent_steps: float = 0.0
    recent_examples: float = 0.0
    seconds: float = 0.0
    examples: int = 0

    def add(self, examples: int, seconds: float) -> None:
        """Add a step with so many ``examples`` that took ``seconds``."""
        self.steps += 1
        decay = math.exp(-seconds / MEMORY_SECONDS) if self.steps > 2 else 0.0
        self.recent_seconds = self.recent_seconds * decay + seconds
        self.recent_steps = self.recent_steps * decay + 1
        self.recent_examples = self.recent_examples * decay + examples
        self.seconds, self.examples = self.seconds + seconds, self.examples + examples

    def report(self) -> float | None:
        """Return the examples per second since the last report; ``None`` if there was no step."""
        rate = self.examples / max(1e-9, self.seconds) if self.examples else None
        self.seconds, self.examples = 0.0, 0
        return rate


class Speed:
    """Speed of a run. Each kind of batch has its own, because a step on another kind can take ten times as long.

    Validations, previews and checkpoints do not count.
    """

    def __init__(self) -> None:
        self.kinds = dict[str, KindSpeed]()

    def add(self, batches: Sequence[Batch], seconds: float, processes: int = 1) -> None:
        """Add a step.

        Args:
            batches: of this process; several of equal cost with virtual ranks.
            seconds: duration of the step.
            processes: number of processes with as many examples.
        """
        for kind in dict.fromkeys(batch.kind for batch in batches):
            lengths = [len(batch) for batch in batches if batch.kind == kind]
            share = len(lengths) / len(batches)
            self.kinds.setdefault(kind, KindSpeed()).add(sum(lengths) * processes, seconds * share)

    def report(self) -> dict[str, float]:
        """Return ``samples_per_s``, or the like of other kinds, over the steps since the last report."""
        rates = {f"{name}_per_s": kind.report() for name, kind in self.kinds.items()}
        return {name: rate for name, rate in rates.items() if rate is not None}

    @property
    def examples_per_second(self) -> float:
        """Recent speed of whole samples or, before there were any, of what there was; NaN before the first step."""
        kind = self.kinds.get(Batch.kind) or next(iter(self.kinds.values()), None)
        return kind.recent_examples / max(1e-9, kind.recent_seconds) if kind else math.nan

    @property
    def seconds_per_step(self) -> float:
        """Recent seconds of a step of each kind, weighted by how many there were so far; NaN before the first step."""
        steps = sum(kind.steps for kind in self.kinds.values())
        sums = (kind.steps * kind.recent_seconds / kind.recent_steps for kind in self.kinds.values())
        return sum(sums) / steps if steps else math.nan


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
