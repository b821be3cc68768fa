"""What differs between two runs: their settings, and what they took and reached."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genai.core.errors import short_text
from genai.core.plain_data import parse_json
from genai.runs.record import config_differences, read_mapping
from genai.runs.run import Run

Row = tuple[str, str, str]
"""Name, and the values of both runs."""


def config_rows(first: Run, second: Run) -> Iterator[Row]:
    """Yield the settings that differ. Raises ``UserError`` if a config cannot be read."""
    for path, old, new in config_differences(first.read_config(), second.read_config()):
        yield path.lstrip("."), value_text(old), value_text(new)


def result_rows(first: Run, second: Run) -> Iterator[Row]:
    """Yield the results that differ. Raises ``UserError`` if a file of a run cannot be read."""
    for path, old, new in config_differences(run_results(first), run_results(second)):
        yield path.lstrip("."), value_text(old), value_text(new)


def run_results(run: Run) -> dict[str, Any]:
    """Return what a run took and reached: its steps, minutes, and the values of its ``metrics.json``."""
    record = run.record
    metrics = read_mapping(run.folder / "metrics.json", "metrics", parse_json).get("metrics")
    results = metrics if isinstance(metrics, dict) else {}
    values = {name: result.get("value") for name, result in results.items() if isinstance(result, dict)}
    return {
        "data": record.data.description,
        "parameters": record.parameters,
        "steps done": record.steps,
        "minutes taken": round(record.seconds / 60, 1),
        "best val_loss": record.best.val_loss if record.best else None,
        **values,
    }


def value_text(value: Any) -> str:
    """Return a value for a table."""
    return f"{value:.5g}" if isinstance(value, float) else "-" if value is None else short_text(value)


def short_description(description: str) -> str:
    """Return the description of data with the last part only of a path at its beginning."""
    path, separator, rest = description.partition(": ")
    return f"{Path(path).name}{separator}{rest}"
