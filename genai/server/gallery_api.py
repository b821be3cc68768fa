"""``/api/samples`` and ``/api/preferences``: samples that stay, and which of two people prefer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from genai.core.errors import UserError, short_text
from genai.core.files import check_file
from genai.server.api_schema import json_request
from genai.server.json_body import JSONAnswer, read_object
from genai.server.media_files import file_answer
from genai.server.openai_errors import APIError
from genai.server.preferences import FILE_NAME, MEDIA_FILE_NAME, Preferences, check_length, check_prompt
from genai.server.request_fields import parse_request
from genai.server.service import Service

MAX_LIMIT, MAX_SEARCH = 200, 500
"""Samples of a page of the list, and characters that are searched for."""


@dataclass(frozen=True, kw_only=True)
class StarRequest:
    """A star for a sample.

    Attributes:
        starred: whether it has one.
    """

    starred: bool


@dataclass(frozen=True, kw_only=True)
class PreferenceRequest:
    """Two answers to a prompt, of which a person prefers one.

    Attributes:
        prompt: of both: a text, or the messages of a chat, each with ``role`` and ``content``.
        chosen: the better text.
        rejected: the other text.
        chosen_sample: id of a sample in place of ``chosen``. Of a text, what follows its prompt is written, of others
            the name of the file, into a file of their own.
        rejected_sample: id of a sample in place of ``rejected``.
    """

    prompt: str | Sequence[Mapping[str, str]]
    chosen: str | None = None
    rejected: str | None = None
    chosen_sample: str | None = None
    rejected_sample: str | None = None


def parse_only(cls: type, body: dict[str, Any]) -> Any:
    """Return a JSON body as ``cls``. Raises ``UserError`` for other fields, too."""
    parsed: tuple[Any, dict[str, Any]] = parse_request(cls, body)
    if parsed[1]:
        raise UserError(f"there is no field '{short_text(next(iter(parsed[1])))}' here.")
    return parsed[0]


def samples_router(service: Service) -> APIRouter:
    """Return the endpoints of samples."""
    router, gallery = APIRouter(prefix="/api/samples", tags=["samples"]), service.gallery

    @router.get("", summary="List the samples in the folder samples=, the newest first.")
    async def list_samples(
        search: Annotated[str, Query(max_length=MAX_SEARCH)] = "",
        modality: str = "",
        model: str = "",
        starred: bool = False,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
        before: str = "",
    ) -> Response:
        return JSONAnswer(await run_in_threadpool(gallery.search, search, modality, model, starred, limit, before))

    @router.get("/{sample}", summary="Describe a sample, with its recipe.")
    async def retrieve_sample(sample: str) -> Response:
        def describe() -> dict[str, Any]:
            found = gallery.find(sample)
            return {**gallery.describe(found), "recipe": gallery.recipe(found)}

        return JSONAnswer(await run_in_threadpool(describe))

    @router.get("/{sample}/file", summary="Get the file of a sample.")
    async def sample_file(sample: str) -> Response:
        return await run_in_threadpool(lambda: file_answer(gallery.find(sample).file, gallery.root))

    @router.get("/{sample}/inputs/{name}", summary="Get a file that a sample was made from.")
    async def input_file(sample: str, name: str) -> Response:
        def answer() -> Response:
            inputs = gallery.find(sample).inputs
            if name not in inputs:
                raise APIError(404, "there is no such file of this sample.")
            return file_answer(inputs[name], gallery.root)

        return await run_in_threadpool(answer)

    @router.delete("/{sample}", summary="Delete a sample with its recipe.")
    async def delete_sample(sample: str) -> Response:
        await run_in_threadpool(lambda: gallery.delete(gallery.find(sample)))
        return JSONAnswer({"id": sample, "deleted": True})

    @router.put("/{sample}/star", summary="Give a sample a star, or take it.", openapi_extra=json_request(StarRequest))
    async def set_star(request: Request, sample: str) -> Response:
        body: StarRequest = parse_only(StarRequest, await read_object(request))
        await run_in_threadpool(lambda: gallery.set_star(gallery.find(sample).id, body.starred))
        return JSONAnswer({"id": sample, "starred": body.starred})

    return router


def preferences_router(service: Service) -> APIRouter:
    """Return the endpoints of preferences."""
    router, gallery = APIRouter(prefix="/api/preferences", tags=["samples"]), service.gallery
    preferences = Preferences(gallery.root)
    media_preferences = Preferences(gallery.root, MEDIA_FILE_NAME)

    def answer_text(name: str, text: str | None, identifier: str | None) -> str:
        if (text is None) == (identifier is None):
            raise UserError(f"{name}=: give either {name}, a text, or {name}_sample, the id of a sample.")
        return check_length(name, gallery.answer(identifier) if identifier else str(text), service.limits.prompt)

    @router.post(
        "", summary="Say which of two answers is better.", status_code=201,
        openapi_extra=json_request(PreferenceRequest),
    )  # fmt: skip
    async def add_preference(request: Request) -> Response:
        body: PreferenceRequest = parse_only(PreferenceRequest, await read_object(request))

        def add() -> dict[str, Any]:
            prompt = check_prompt(body.prompt, service.limits.prompt)
            chosen = answer_text("chosen", body.chosen, body.chosen_sample)
            rejected = answer_text("rejected", body.rejected, body.rejected_sample)
            ids = [each for each in (body.chosen_sample, body.rejected_sample) if each]
            is_text = all(gallery.find(each).kind == "text" for each in ids)
            file = preferences if is_text else media_preferences
            file.add(prompt, chosen, rejected)
            return {"count": file.count(), "file": file.file.name}

        return JSONAnswer(await run_in_threadpool(add), 201)

    @router.get("", summary="Count the preferences.")
    async def count_preferences() -> Response:
        return JSONAnswer({"count": await run_in_threadpool(preferences.count), "file": FILE_NAME})

    @router.get("/file", summary="Get the file of preferences, JSON lines.")
    async def preferences_file() -> Response:
        if not preferences.file.is_file():
            raise APIError(404, "there are no preferences yet.")
        path = await run_in_threadpool(check_file, preferences.file, float("inf"), gallery.root)
        return FileResponse(path, media_type="application/x-ndjson", filename=FILE_NAME)

    return router
