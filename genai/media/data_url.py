"""Files inside a page: no folder beside it, no network."""

import base64
from pathlib import Path

from genai.core.errors import UserError, join_names

TYPES = {
    ".png": "image/png",
    ".webp": "image/webp",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}
"""What samples are written as, by suffix."""


def data_url(content: bytes, suffix: str) -> str:
    """An address that is the content. ``suffix`` is one of ``TYPES``."""
    return f"data:{TYPES[suffix]};base64,{base64.b64encode(content).decode()}"


def of_file(path: Path) -> str:
    """``data_url`` of a file, byte for byte. Raises ``UserError`` naming it: another suffix, it cannot be read."""
    suffix = path.suffix.lower()
    if suffix not in TYPES:
        raise UserError(f"{path} cannot be put on a page. There are: {join_names(TYPES)}.")
    try:
        return data_url(path.read_bytes(), suffix)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from error
