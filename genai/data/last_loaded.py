"""The media of the last file, kept while its parts are read."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any


class LastLoaded:
    """Loads media, and keeps those loaded last.

    Args:
        load: reads a file. It is called by one thread at a time, and again only for other content.
    """

    def __init__(self, load: Callable[[Path], Any]) -> None:
        self._load, self._lock = load, Lock()
        self._content_hash, self._media = "", None

    def get(self, file: Path, content_hash: str, is_last: bool = False) -> Any:
        """Return the media of ``file``, whose content has this hash; ``is_last``: keep them no longer."""
        with self._lock:
            if self._content_hash != content_hash:
                self._content_hash, self._media = "", None  # before the next are decoded: both may not fit into memory
                self._media = self._load(file)
                self._content_hash = content_hash
            media = self._media
            if is_last:
                self._content_hash, self._media = "", None
            return media
