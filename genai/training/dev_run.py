"""Cost estimate of a run from its first steps: ``fast_dev_run=5``."""

import math
from collections.abc import Iterable, Mapping
from statistics import median

from genai.training.config import TrainSettings
from genai.training.interval import Interval
from genai.training.time_left import MIN_STEP_FRACTION


def estimate(
    settings: TrainSettings, total_steps: int | None, durations: Mapping[str, Iterable[float]], memory_mb: float
) -> list[str]:
    """Return lines about memory and the time of the whole run.

    Args:
        total_steps: of the run as it was asked for; ``None``: it is to last ``settings.minutes``.
        memory_mb: peak memory; NaN: unknown.
        durations: seconds of each ``step``, ``validation``, ``preview`` and ``checkpoint`` so far.
    """
    seconds = {name: median(values) for name, values in durations.items() if list(values)}
    steps = list(durations.get("step", ()))
    step = median(steps[1:] or steps or [0.0])  # the first warms up
    per_step, step_fraction = step + seconds.get("validation", 0.0) / settings.val_every, 1.0
    for name in ("preview", "checkpoint"):
        interval = Interval.parse(getattr(settings, f"{name}_every"), f"{name}_every")
        if interval.steps:
            per_step += seconds.get(name, 0.0) / interval.steps
        elif interval.seconds:
            step_fraction -= seconds.get(name, 0.0) / interval.seconds
    per_step /= max(MIN_STEP_FRACTION, step_fraction)
    if total_steps:
        whole = f"{total_steps:,} steps take about {_duration(total_steps * per_step)}"
    else:
        minutes = settings.minutes or 0.0
        whole = f"{minutes:g} minutes are about {int(minutes * 60 / max(per_step, 1e-9)):,} steps"
    costs = {"step": step} | {name: value for name, value in seconds.items() if name != "step"}
    memory = [] if math.isnan(memory_mb) else [f"memory    {memory_mb:,.0f} MB at most"]
    return [
        *memory,
        "seconds   " + ", ".join(f"{name} {value:.3g}" for name, value in costs.items()),
        f"estimate  {whole}",
    ]


def _duration(seconds: float) -> str:
    """``"8.4 minutes"``."""
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
