"""Files that the server sends from a folder: media only, of that folder only."""

from pathlib import Path

from starlette.responses import FileResponse

from genai.core.errors import UserError
from genai.core.files import check_file
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


def file_kind(path: Path) -> str | None:
    """Return ``text``, ``image``, ``audio`` or ``video``, by the suffix; ``None``: the file is not sent."""
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    return media_type.partition("/")[0] if media_type else None


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
