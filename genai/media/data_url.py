"""Data URLs: files embedded in a page, so that it needs no folder and no network."""

import base64
from pathlib import Path

from genai.core.errors import UserError, join_names
from genai.core.files import read_bytes

MIME_TYPES = {
    ".png": "image/png",
    ".webp": "image/webp",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}
"""MIME types of the files that samples are written to, by suffix."""


def data_url(content: bytes, suffix: str) -> str:
    """Return a data URL of ``content``. ``suffix`` is one of ``MIME_TYPES``."""
    return f"data:{MIME_TYPES[suffix]};base64,{base64.b64encode(content).decode()}"


def file_data_url(path: Path) -> str:
    """Return the data URL of a file. Raises ``UserError`` naming the file for another suffix or an unreadable file."""
    suffix = path.suffix.lower()
    if suffix not in MIME_TYPES:
        raise UserError(f"{path} cannot be shown on a page. There are: {join_names(MIME_TYPES)}.")
    return data_url(read_bytes(path, "sample"), suffix)
