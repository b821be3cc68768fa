"""What a run would cost, from a few of its steps: ``fast_dev_run=5``."""

from collections.abc import Mapping, Sequence
from statistics import median

from genai.training.config import TrainSettings
from genai.training.interval import Interval

MIN_SHARE = 0.1
"""Least share of the time that is taken to go into steps."""


def estimate(
    settings: TrainSettings, total_steps: int | None, durations: Mapping[str, Sequence[float]], memory_mb: float
) -> list[str]:
    """Return lines about memory and the time of the whole run.

    Args:
        total_steps: of the run as it was asked for; ``None``: it is to last ``settings.minutes``.
        durations: seconds of each ``step``, ``validation``, ``preview`` and ``checkpoint`` so far.
    """
    seconds = {name: median(values) for name, values in durations.items() if values}
    step = median(durations["step"][1:] or durations["step"]) if durations.get("step") else 0.0  # the first warms up
    share = 1.0 - sum(
        seconds.get(name, 0.0) / every.seconds
        for name, every in (
            ("preview", Interval.parse(settings.preview_every, "preview_every")),
            ("checkpoint", Interval.parse(settings.checkpoint_every, "checkpoint_every")),
        )
        if every.seconds
    )
    per_step = (step + seconds.get("validation", 0.0) / settings.val_every) / max(MIN_SHARE, share)
    if total_steps:
        whole = f"{total_steps:,} steps take about {_duration(total_steps * per_step)}"
    else:
        minutes = settings.minutes or 0.0
        whole = f"{minutes:g} minutes are about {int(minutes * 60 / max(per_step, 1e-9)):,} steps"
    costs = {"step": step} | {name: value for name, value in seconds.items() if name != "step"}
    return [
        f"memory    {memory_mb:,.0f} MB at most",
        "seconds   " + ", ".join(f"{name} {value:.3g}" for name, value in costs.items()),
        f"estimate  {whole}",
    ]


def _duration(seconds: float) -> str:
    """``"8.4 minutes"``."""
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
