"""Files that are made once and found again by the hash of what they were made from.

They are written beside their place and renamed into it, so that two runs, or the ranks of one, can share a folder.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def cache_dir() -> Path:
    """``GENAI_CACHE``, else ``~/.cache/genai``."""
    home = os.environ.get("GENAI_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "genai"
    return Path(home).expanduser()


def cache_key(*parts: Any) -> str:
    """A short hash of plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def cached_file(path: Path, write: Callable[[Path], None]) -> Path:
    """``path``, after ``write(temporary)`` made it where it was not there yet."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
        try:
            write(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def cached_json(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The plain value ``make()``, kept as JSON."""
    written = cached_file(path, lambda temporary: write_json(temporary, make()))
    return dict(json.loads(written.read_text(encoding="utf-8")))


def track_progress(items: Iterable[T], label: str, total: int) -> Iterator[T]:
    """``items``, of which there are ``total``, under a progress bar where somebody is watching."""
    from rich.console import Console
    from rich.progress import track

    console = Console(file=sys.stderr)
    if not console.is_terminal or total < 2:
        return iter(items)
    return iter(track(items, label, total=total, console=console, transient=True))


def write_json(path: Path, value: Any) -> None:
    """Write a plain value to the file that ``file`` asks for."""
    path.write_text(json.dumps(value), encoding="utf-8")
