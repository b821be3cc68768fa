"""The page of the server: ``/`` and its scripts and styles below ``/studio``, files of this package."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from genai.server.openai_errors import APIError

FOLDER = Path(__file__).with_name("studio")
START_FILE = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Types of the files that are served, by suffix."""


@dataclass(frozen=True)
class PageFile:
    """A file of the page: content, the same compressed, type, and the tag by which a browser knows its copy."""

    content: bytes
    compressed: bytes
    media_type: str
    tag: str

    def answer(self, request: Request) -> Response:
        """Return the file, or 304 if the browser has it."""
        headers = {"ETag": self.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if self.tag in [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                self.compressed, media_type=self.media_type, headers={**headers, "Content-Encoding": "gzip"}
            )
        return Response(self.content, media_type=self.media_type, headers=headers)


def has_page(folder: Path = FOLDER) -> bool:
    """Return whether there is a page."""
    return (folder / START_FILE).is_file()


def read_page_files(folder: Path) -> dict[str, PageFile]:
    """Return the files of the page by name, those directly in ``folder``; empty if there is no page."""
    if not has_page(folder):
        return {}
    files = {}
    for path in folder.iterdir():
        if path.suffix in TYPES and path.is_file():
            content = path.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            files[path.name] = PageFile(content, gzip.compress(content, mtime=0), TYPES[path.suffix], tag)
    return files


def studio_router(folder: Path = FOLDER) -> APIRouter:
    """Return the addresses of the page, whose files are read now; no addresses if there is no page."""
    router, files = APIRouter(include_in_schema=False), read_page_files(folder)
    if not files:
        return router

    @router.get("/")
    async def start_page(request: Request) -> Response:
        return files[START_FILE].answer(request)

    @router.get("/studio/{name}")
    async def page_file(request: Request, name: str) -> Response:
        if name not in files:
            raise APIError(404, "there is no such file of the page.")
        return files[name].answer(request)

    return router
