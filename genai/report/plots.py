"""The losses of a run, out of ``metrics.csv``, as lines on an SVG that has its colours from the page around it."""

import csv
import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

from genai.core.errors import UserError

NAMES = {
    "loss": "training",
    "generator_loss": "generator",
    "discriminator_loss": "discriminator",
    "val_loss": "validation",
}
"""Columns of ``metrics.csv`` that are drawn, and the names of their lines."""
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 270, 52, 12, 10, 40
"""Of the drawing, and of what is around its axes; it grows with the page, and so do its letters."""
MOST = 160
"""Points of a line: of longer ones the means of so many parts."""
Line = Sequence[tuple[float, float]]
"""(x, y) pairs, x growing."""


def losses(file: Path) -> dict[str, Line]:
    """(step, loss) by name; none where nothing was logged. Raises ``UserError`` naming the file: it is not readable."""
    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines())) if file.exists() else []
        lines = {name: [(float(row["step"]), float(row[key])) for row in rows if row.get(key)]
                 for key, name in NAMES.items()}  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"cannot read {file} ({str(error)[:100]}).") from error
    finite = {name: [point for point in line if all(map(math.isfinite, point))] for name, line in lines.items()}
    return {name: _thinned(line) for name, line in finite.items() if line}


def drawn(lines: Mapping[str, Line], x: str, y: str) -> str:
    """An inline SVG of ``lines`` over axes named ``x`` and ``y``; empty where there are none.

    A line has its name as its class. ``y`` is logarithmic where all values are above 0 and the largest is more than
    four times the smallest.
    """
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    values = [value for _, value in points]
    log = min(values) > 0 and max(values) > 4 * min(values)
    scaled = math.log if log else float
    bottom, top = scaled(min(values)), scaled(max(values))
    margin = 0.04 * (top - bottom) or 1.0
    right = max(step for step, _ in points)

    def across(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / (right or 1)

    def down(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (top + margin - scaled(value)) / (top - bottom + 2 * margin)

    ticks = _powers(min(values), max(values)) if log else _multiples(min(values), max(values), 5)
    parts = [
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{escape(y)} over {escape(x)}'>",
        *(_horizontal(down(tick), f"{tick:,.6g}") for tick in ticks),
        *(_label(across(tick), HEIGHT - BOTTOM + 17, f"{tick:,.6g}") for tick in _multiples(0, right, 5)),
        _label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, x),
        f"<text transform='translate(12 {(TOP + HEIGHT - BOTTOM) / 2:.1f}) rotate(-90)'>"
        f"{escape(y + ', logarithmic' * log)}</text>",
        *(_line(name, [(across(step), down(value)) for step, value in line]) for name, line in lines.items()),
        "</svg>",
    ]
    return "\n".join(parts)


def _line(name: str, places: Line) -> str:
    """With its points where they are few: a single one would not be seen."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = places if len(places) <= 24 else ()
    return f"<g class='{name}'><polyline points='{path}'/>{''.join(map(_dot, dots))}</g>"


def _dot(place: tuple[float, float]) -> str:
    return f"<circle cx='{place[0]:.1f}' cy='{place[1]:.1f}' r='2.5'/>"


def _label(x: float, y: float, text: str) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}'>{escape(text)}</text>"


def _horizontal(y: float, text: str) -> str:
    line = f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>"
    return f"{line}<text class='value' x='{LEFT - 7}' y='{y + 4:.1f}'>{escape(text)}</text>"


def _thinned(line: Line) -> Line:
    if len(line) <= MOST:
        return line
    edges = [len(line) * part // MOST for part in range(MOST + 1)]
    parts = [line[start:end] for start, end in pairwise(edges)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]


def _multiples(low: float, high: float, about: int) -> list[float]:
    """The multiples of 1, 2 or 5 times a power of ten from ``low`` to ``high``: at most ``about`` and one."""
    if high <= low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / about))
    step = next(step for factor in (1, 2, 5, 10) if (step := factor * power) * about >= (high - low) * (1 - 1e-9))
    return [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _powers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten from ``low`` to ``high``; the powers alone where there are many."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(exponents) <= 4 else (1,)
    found = [factor * 10.0**exponent for exponent in exponents for factor in factors]
    return [value for value in found if low <= value <= high]
