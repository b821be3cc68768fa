"""Helpers of the benchmarks: training without previews, step counts for a time budget, and a file of results.

Scripts in this folder import it by ``import common``: ``python benchmarks/audio_world.py``.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import genai
from genai.core.files import write_file
from genai.runs.run import environment_info

QUIET = ("val_every=1000000", "preview_every=1000000", "checkpoint_every=1000000")


def train(*words: str) -> Any:
    """Train a model without previews; it is validated only at the end."""
    with tempfile.TemporaryDirectory() as folder:
        return genai.fit(*words, *QUIET, f"runs={folder}")


def steps_for(seconds: float, words: list[str]) -> int:
    """Estimate the steps that take ``seconds`` of CPU time, final validation included, from two short runs."""
    long = train(*words, "steps=220").record
    short = train(*words, "steps=20", f"trainer.precision={long['precision']}").record  # short runs are in float32
    seconds_per_step = (long["cpu_seconds"] - short["cpu_seconds"]) / (long["steps"] - short["steps"])
    return max(1, round(short["steps"] + (seconds - short["cpu_seconds"]) / seconds_per_step))


def save(path: Path | None, results: dict[str, Any]) -> None:
    """Write ``results`` and a description of the machine to ``path``, if there is one."""
    if path:
        report = {"machine": environment_info()["hardware"], "results": results}
        write_file(path, json.dumps(report, indent=2) + "\n")
