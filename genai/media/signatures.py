"""Types of files by their first bytes."""

SIGNATURES = (
    (0, b"\x89PNG\r\n\x1a\n", ".png"),
    (0, b"\xff\xd8\xff", ".jpg"),
    (0, b"GIF8", ".gif"),
    (8, b"WEBP", ".webp"),
    (8, b"WAVE", ".wav"),
    (0, b"fLaC", ".flac"),
    (0, b"OggS", ".ogg"),
    (0, b"ID3", ".mp3"),
    (4, b"ftyp", ".mp4"),
    (0, b"\x1aE\xdf\xa3", ".webm"),
)
"""Place and bytes by which a file is known, and its suffix."""


def guess_suffix(start: bytes) -> str:
    """Return the suffix for a file that begins with these bytes; ``.txt`` for a text, "" if it is not known."""
    if start[:3] == b"ID3":  # a tag, which also stands before FLAC
        size = sum((byte & 0x7F) << shift for byte, shift in zip(start[6:10], (21, 14, 7, 0), strict=False))
        start = start[10 + size :] if start[10 + size : 14 + size] == b"fLaC" else start
    for place, mark, suffix in SIGNATURES:
        if start[place : place + len(mark)] == mark:
            return suffix
    return ".txt" if _is_text(start) else ""


def _is_text(start: bytes) -> bool:
    """Return whether the first bytes of a file are UTF-8; the last character may be cut."""
    if b"\0" in start:
        return False
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True
