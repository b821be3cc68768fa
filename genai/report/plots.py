"""Loss curves from ``metrics.csv`` as an SVG that takes its colors from the surrounding page."""

import csv
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import count, pairwise
from pathlib import Path

from genai.core.errors import UserError
from genai.core.files import read_text

LOSS_LABELS = {"loss": "training", "val_loss": "validation"}
"""Labels of columns of ``metrics.csv``; the column ``NAME_loss`` of one of several networks is labeled by its name."""
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 270, 52, 12, 10, 40
"""Size and margins of the chart, in SVG units; it scales with the page."""
MAX_POINTS = 160
"""Maximum points of a line; longer lines are averaged over this many segments."""
MAX_VALUE = 1e30
"""Larger values, and those that are not finite, are left out: their differences would not be numbers."""
Line = Sequence[tuple[float, float]]
"""(x, y) pairs, with x increasing."""


def read_losses(file: Path) -> dict[str, Line]:
    """Read (step, loss) lines by label; empty if nothing was logged. Raises ``UserError`` for an unreadable file."""
    try:
        text = read_text(file, "metrics", file.parent) if os.path.lexists(file) else ""
        rows = list(csv.DictReader(text.splitlines()))
        labels = {
            key: LOSS_LABELS.get(key, str(key).removesuffix("_loss"))
            for key in (rows[0] if rows else ())
            if key in LOSS_LABELS or (str(key).endswith("_loss") and not str(key).startswith("val_"))
        }
        lines = {name: [(float(row["step"]), float(row[key])) for row in rows if row.get(key)]
                 for key, name in labels.items()}  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"cannot read {file} ({str(error)[:100]}).") from error
    finite = {name: [point for point in line if all(abs(x) < MAX_VALUE for x in point)] for name, line in lines.items()}
    return {name: _downsample(line) for name, line in finite.items() if line}


def line_chart(lines: Mapping[str, Line], x: str, y: str) -> str:
    """Draw ``lines`` as an inline SVG with axes labeled ``x`` and ``y``; empty if there are no lines.

    Lines have the CSS classes of ``line_classes``. ``y`` is logarithmic if all values are positive and the largest is
    more than four times the smallest.
    """
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    values = [value for _, value in points]
    log_scale = min(values) > 0 and max(values) > 4 * min(values)
    scale = math.log if log_scale else float
    bottom, top = scale(min(values)), scale(max(values))
    margin = 0.04 * (top - bottom) or 1.0
    last_step = max(step for step, _ in points)

    def x_position(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / (last_step or 1)

    def y_position(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (top + margin - scale(value)) / (top - bottom + 2 * margin)

    y_values = _log_steps(min(values), max(values)) if log_scale else _linear_steps(min(values), max(values), 5)
    classes = line_classes(lines)
    parts = [
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{escape(y)} over {escape(x)}'>",
        *(_grid_line(y_position(value), f"{value:,.6g}") for value in y_values),
        *(_label(x_position(step), HEIGHT - BOTTOM + 17, f"{step:,.6g}") for step in _linear_steps(0, last_step, 5)),
        _label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, x),
        f"<text transform='translate(12 {(TOP + HEIGHT - BOTTOM) / 2:.1f}) rotate(-90)'>"
        f"{escape(y + ', logarithmic' * log_scale)}</text>",
        *(
            _line(classes[name], [(x_position(step), y_position(value)) for step, value in line])
            for name, line in lines.items()
        ),
        "</svg>",
    ]
    return "\n".join(parts)


def line_classes(names: Iterable[str]) -> dict[str, str]:
    """Return the CSS class of each line: ``training``, ``validation``, or ``network-1``, ``network-2``, ..."""
    numbers = count(1)
    return {name: name if name in LOSS_LABELS.values() else f"network-{next(numbers)}" for name in names}


def _line(name: str, points: Line) -> str:
    """A polyline, with a dot at each point if there are few (a single point would be invisible)."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = points if len(points) <= 24 else ()
    return f"<g class='{name}'><polyline points='{path}'/>{''.join(map(_dot, dots))}</g>"


def _dot(point: tuple[float, float]) -> str:
    return f"<circle cx='{point[0]:.1f}' cy='{point[1]:.1f}' r='2.5'/>"


def _label(x: float, y: float, text: str) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}'>{escape(text)}</text>"


def _grid_line(y: float, text: str) -> str:
    line = f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>"
    return f"{line}<text class='value' x='{LEFT - 7}' y='{y + 4:.1f}'>{escape(text)}</text>"


def _downsample(line: Line) -> Line:
    if len(line) <= MAX_POINTS:
        return line
    edges = [len(line) * index // MAX_POINTS for index in range(MAX_POINTS + 1)]
    segments = [line[start:end] for start, end in pairwise(edges)]
    return [
        (sum(x for x, _ in segment) / len(segment), sum(y for _, y in segment) / len(segment)) for segment in segments
    ]


def _linear_steps(low: float, high: float, max_steps: int) -> list[float]:
    """Return the multiples of 1, 2 or 5 times a power of ten from ``low`` to ``high``, at most ``max_steps`` + 1."""
    if high <= low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / max_steps))
    step = next(step for factor in (1, 2, 5, 10) if (step := factor * power) * max_steps >= (high - low) * (1 - 1e-9))
    return [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _log_steps(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times the powers of ten from ``low`` to ``high``; only the powers for a wide range."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(exponents) <= 4 else (1,)
    steps = [factor * 10.0**exponent for exponent in exponents for factor in factors]
    return [step for step in steps if low <= step <= high]
