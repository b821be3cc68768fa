"""Cached files, named by a hash of the inputs they were computed from.

Each is written under a temporary name and then renamed, so that several runs or ranks can share a folder.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from genai.core.files import replace_file, temporary_path

T = TypeVar("T")


def cache_dir() -> Path:
    """Return the cache folder: ``GENAI_CACHE``, else ``~/.cache/genai``."""
    folder = os.environ.get("GENAI_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "genai"
    return Path(folder).expanduser()


def cache_key(*parts: Any) -> str:
    """Hash plain values to a short key."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def cached_file(path: Path, write: Callable[[Path], None]) -> Path:
    """Return ``path``; if it does not exist, call ``write(temporary)`` first and rename the result to it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_path(path)
        try:
            write(temporary)
            replace_file(temporary, path)
        except PermissionError:  # on Windows: another process has just written the same and has it open
            if not path.exists():
                raise
        finally:
            temporary.unlink(missing_ok=True)
    return path


def cached_json(path: Path, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the plain value ``compute()``, cached as JSON in ``path``."""
    file = cached_file(path, lambda temporary: write_json(temporary, compute()))
    return dict(json.loads(file.read_text(encoding="utf-8")))


def track_progress(items: Iterable[T], label: str, total: int) -> Iterator[T]:
    """Iterate over ``items``, ``total`` of them; show a progress bar if standard error is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(file=sys.stderr)
    if not console.is_terminal or total < 2:
        return iter(items)
    return iter(track(items, label, total=total, console=console, transient=True))


def write_json(path: Path, value: Any) -> None:
    """Write a plain value to a JSON file."""
    path.write_text(json.dumps(value), encoding="utf-8")
