"""``/v1/genai/verify``: what an uploaded file says of where it comes from, as ``python -m genai verify json=true``."""

from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from genai.core.errors import UserError, join_names
from genai.inference.known_tokenizers import known_tokenizers
from genai.server.json_body import JSONAnswer
from genai.server.service import Service
from genai.server.uploads import Uploads, read_form
from genai.trust.certificates import has_c2pa
from genai.trust.label import MANIFEST_SUFFIX
from genai.trust.verify import verify_file

NUM_THREADS = 2
"""Files that are looked at in the same moment."""
FILE, CREDENTIALS = "file", "credentials"
"""Fields of the form: the file, and the ``.c2pa`` beside it, if it has one."""
NO_SIGNATURES = "signatures are not looked at: pip install 'genai[label]'"
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FILE],
                    "properties": {name: {"type": "string", "format": "binary"} for name in (FILE, CREDENTIALS)},
                }
            }
        },
    }
}


def verify_router(service: Service) -> APIRouter:
    """Return the endpoint that reads labels."""
    router, capacity = APIRouter(prefix="/v1/genai", tags=["labels"]), CapacityLimiter(NUM_THREADS)

    @router.post(
        "/verify", summary="Say where a file comes from: who signed it, and which model made it.", openapi_extra=FORM
    )
    async def verify(request: Request) -> Response:
        uploads = await _read_uploads(request)
        try:
            return JSONAnswer(await to_thread.run_sync(_verify, service, uploads.paths[FILE], limiter=capacity))
        finally:
            uploads.close()

    return router


async def _read_uploads(request: Request) -> Uploads:
    """Return the files of a form, under names of the server. Raises ``UserError``."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise UserError(f"send a form (multipart/form-data) with the field {FILE}.")
    texts, files = await read_form(request)
    if others := {*texts, *files} - {FILE, CREDENTIALS}:
        raise UserError(f"a form has the fields {FILE} and {CREDENTIALS}, not {join_names(others)[:100]}.")
    if FILE not in files or texts:
        raise UserError(f"{FILE}=: give a file.")
    uploads = Uploads()
    try:
        path = await uploads.save(FILE, files[FILE])
        if CREDENTIALS in files:
            (await uploads.save(CREDENTIALS, files[CREDENTIALS])).rename(path.with_suffix(MANIFEST_SUFFIX))
    except BaseException:
        uploads.close()
        raise
    return uploads


def _verify(service: Service, path: Path) -> dict[str, Any]:
    """Return what a file says, without paths of the server; models are named as in ``/v1/models``."""
    models = {digest: origin.model_id for digest, origin in service.models.origins().items()}
    runs = Path(service.settings.runs).expanduser()
    entries = verify_file(path, models, lambda: known_tokenizers(runs)).entries
    del entries["file"]
    entries["text"] = entries["text"].replace(f"{path.parent}/", "")
    return entries if has_c2pa() else {**entries, "note": NO_SIGNATURES}
