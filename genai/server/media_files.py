"""Files that the server sends from a folder: media only, of that folder only."""

from pathlib import Path

from starlette.responses import FileResponse

from genai.core.errors import UserError
from genai.core.files import check_file, open_file
from genai.media.data_url import MIME_TYPES
from genai.server.openai_errors import APIError

TEXT_TYPE = "text/plain; charset=utf-8"
MEDIA_TYPES = {
    **MIME_TYPES,
    ".txt": TEXT_TYPE,
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".mp3": "audio/mpeg",
    ".mov": "video/quicktime",
}
"""Types of the files that are sent, by suffix: samples, and what they were made from."""
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


def file_kind(path: Path) -> str | None:
    """Return ``text``, ``image``, ``audio`` or ``video``, by the suffix; ``None``: the file is not sent."""
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    return media_type.partition("/")[0] if media_type else None


def guess_suffix(path: Path) -> str:
    """Return the suffix for the content of a file; ``.txt`` for a text, "" if it is not known. Raises ``UserError``."""
    with open_file(path) as file:
        start = file.read(4096)
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


def file_answer(path: Path, folder: Path) -> FileResponse:
    """Return the answer with a media file of ``folder``, of which a player can ask for parts. Raises ``APIError``."""
    if file_kind(path) is None:
        raise APIError(404, "there is no such file, or it is none of the media that are sent.")
    try:
        check_file(path, folder=folder)
    except UserError as error:
        raise APIError(404, "this file is missing, or it is not in its folder any more.") from error
    return FileResponse(
        path.resolve(),
        media_type=MEDIA_TYPES[path.suffix.lower()],
        filename=path.name,
        content_disposition_type="inline",
        headers={"Cache-Control": "no-cache"},
    )
