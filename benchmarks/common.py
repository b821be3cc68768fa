"""What benchmarks share: a training whose time is that of training alone, and a file of results.

``import common`` works in a script that is run from beside it: ``python benchmarks/audio_world.py``.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import genai
from genai.runs.run import environment_info

QUIET = ("validate_every=1000000", "preview_every=1000000", "checkpoint_every=1000000")


def train(*words: str) -> Any:
    """A model trained without previews, and validated at the end alone."""
    with tempfile.TemporaryDirectory() as folder:
        return genai.fit(*words, *QUIET, f"runs={folder}")


def steps_for(seconds: float, words: list[str]) -> int:
    """How many steps take so many CPU seconds, the validation at the end included; estimated from two short runs."""
    few, more = (train(*words, f"steps={steps}").record for steps in (20, 220))
    each = (more["cpu_seconds"] - few["cpu_seconds"]) / (more["steps"] - few["steps"])
    return max(1, round(few["steps"] + (seconds - few["cpu_seconds"]) / each))


def save(path: Path | None, results: dict[str, Any]) -> None:
    """``results`` and the machine that they were measured on; nothing where there is no ``path``."""
    if path:
        path.write_text(json.dumps({"machine": environment_info()["hardware"], "results": results}, indent=2) + "\n")
