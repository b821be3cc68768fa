"""Files of requests: written to a folder of their own under names of the server, read through the doors of media."""

import tempfile
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from genai.core.errors import UserError, short_text

MAX_FILES, MAX_FIELDS = 4, 100
PART_BYTES = 2**20


class Uploads:
    """Files in a temporary folder, until ``close``.

    Attributes:
        paths: of the files, by the option that they are for: ``init``, ``mask``.
    """

    def __init__(self) -> None:
        self.paths: dict[str, Path] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def folder(self) -> Path | None:
        """Where the files are; ``None``: there are none."""
        return Path(self._folder.name) if self._folder else None

    def path(self, name: str) -> Path:
        """Return the path of a new file for an option, which must be an identifier."""
        if not name.isidentifier():
            raise UserError(f"{short_text(name)} is not the name of an option.")
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="genai-upload-")
        self.paths[name] = Path(self._folder.name) / name
        return self.paths[name]

    async def save(self, name: str, file: UploadFile) -> Path:
        """Store a file of a form under the name of an option."""
        path = self.path(name)
        with path.open("xb") as target:
            while part := await file.read(PART_BYTES):
                await run_in_threadpool(target.write, part)
        return path

    def close(self) -> None:
        """Delete the files."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


async def read_form(request: Request) -> tuple[dict[str, str], dict[str, UploadFile]]:
    """Return the texts and the files of a form, by name. Raises ``UserError``."""
    form: FormData = await request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS)
    texts: dict[str, str] = {}
    files: dict[str, UploadFile] = {}
    for name, value in form.multi_items():
        name = name.removesuffix("[]")
        values: dict[str, Any] = texts if isinstance(value, str) else files
        if name in texts or name in files:
            raise UserError(f"{short_text(name)}= is given twice; one is possible here.")
        values[name] = value
    return texts, files
