"""``/api``: any request that ``genai.sample`` takes, as a job with events, results and recipes."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from annotated_types import Ge
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from genai.core.errors import UserError, join_names, short_text
from genai.inference.known_prompts import describe_model, takes_prompt
from genai.media.base import is_sequential
from genai.media.data_url import MIME_TYPES
from genai.modalities.optional import required_option
from genai.server.api_schema import json_request
from genai.server.events import COMMENT, ClientDisconnect, EventStream, event, job_changes, media_json
from genai.server.job_recipes import public_recipe
from genai.server.jobs import SamplingJob
from genai.server.json_body import JSONAnswer, parse_object, read_object
from genai.server.media_files import TEXT_TYPE
from genai.server.models import ModelStore
from genai.server.openai_errors import APIError
from genai.server.option_schema import describe_options
from genai.server.request_fields import parse_request
from genai.server.service import Service
from genai.server.settings import RequestLimits
from genai.server.uploads import Uploads, read_form

PREVIEW_SECONDS = 0.25
"""Least time between two partial results of a sample that each replace the one before."""
JSON_TYPE = "application/json"


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """A request for samples.

    Attributes:
        model: id of the model.
        prompt: a text, or a list of several.
        n: number of samples of each prompt.
        seed: of the first sample; each further one has the next. Default: a random one, which the job tells.
        options: of the model, see ``/api/options``. Those that name a file come as files of a form, by their names, as
            does ``init``; this object is then the field ``request``.
        save: write its samples into the server's folder ``samples=``, as the command line does.
    """

    model: str
    prompt: str | Sequence[str] = ""
    n: Annotated[int, Ge(1)] = 1
    seed: Annotated[int, Ge(0)] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    save: bool = False


def jobs_router(service: Service) -> APIRouter:
    """Return the endpoints of jobs."""
    router = APIRouter(prefix="/api/jobs", tags=["jobs"])

    @router.post("", summary="Begin a job.", status_code=202, openapi_extra=json_request(JobRequest))
    async def create_job(request: Request) -> Response:
        values, uploads = await _read_request(request)
        body, others = parse_request(JobRequest, values)
        if others:
            raise UserError(
                f"there is no field '{short_text(next(iter(others)))}': options of the model go into options."
            )
        job = await service.start_job(
            body.model, body.prompt, body.n, body.seed, body.options, uploads, is_saved=body.save
        )
        return JSONAnswer(job.describe(), 202, {"Location": f"/api/jobs/{job.id}"})

    @router.get("", summary="List the jobs.")
    async def list_jobs() -> Response:
        return JSONAnswer({"object": "list", "data": [job.describe() for job in service.jobs]})

    @router.get("/{job_id}", summary="Say how far a job is.")
    async def retrieve_job(job_id: str) -> Response:
        return JSONAnswer(service.jobs.find(job_id).describe())

    @router.delete("/{job_id}", summary="Cancel a job within a step; what it has finished stays. One that is over is "
                   "forgotten.")  # fmt: skip
    async def cancel_job(job_id: str) -> Response:
        job = service.jobs.find(job_id)
        if job.is_over:
            service.jobs.remove(job)
        else:
            service.worker.cancel(job)
        return JSONAnswer(job.describe())

    @router.get("/{job_id}/events", summary="Follow a job: its state and partial results, as server-sent events.")
    async def stream_events(request: Request, job_id: str) -> Response:
        return EventStream(_events(request, service.jobs.find(job_id)))

    @router.get("/{job_id}/results/{number}", summary="Get the file of a sample.")
    async def get_result(job_id: str, number: int, side_file: str = "") -> Response:
        job = service.jobs.find(job_id)
        result = _find_result(job, number)
        if side_file:
            return _side_file(result, number, side_file)
        content = await run_in_threadpool(job.encode, number)
        kind = TEXT_TYPE if isinstance(result, str) else MIME_TYPES.get(result.suffix, "application/octet-stream")
        headers = {"Content-Disposition": f'inline; filename="{number:03d}{result.suffix}"'}
        return Response(content, media_type=kind, headers=headers)

    @router.get("/{job_id}/results/{number}/recipe", summary="Get the recipe of a sample, for genai.sample from=FILE.")
    async def get_recipe(job_id: str, number: int) -> Response:
        job = service.jobs.find(job_id)
        recipe = job.labeler.describe(_find_result(job, number), job.recipe_of(number))
        return JSONAnswer(asdict(public_recipe(recipe, job.upload_names)))

    return router


def options_router(service: Service) -> APIRouter:
    """Return the endpoints that describe models and their options."""
    router = APIRouter(prefix="/api", tags=["models"])

    @router.get("/models", summary="List the models, and which of them are in memory.")
    async def list_models() -> Response:
        return JSONAnswer({"object": "list", "data": await run_in_threadpool(_list_models, service.models)})

    @router.get("/options", summary="Describe the options of a model: name, type, range, default and meaning.")
    async def list_options(model: str) -> Response:
        return JSONAnswer(await service.with_model(model, lambda loaded: _describe_model(loaded, service.limits)))

    return router


def _list_models(models: ModelStore) -> list[dict[str, Any]]:
    loaded = models.loaded
    return [
        {
            "id": name,
            "name": entry.name,
            "created": entry.created,
            "modality": entry.modality,
            "has_chat": models.has_chat(name, entry),
            "is_loaded": name in loaded,
        }
        for name, entry in models.entries().items()
    ]


def _describe_model(model: Any, limits: RequestLimits) -> dict[str, Any]:
    options = describe_options(model)
    for option in options:
        if option["name"] in limits.options:
            option["maximum"] = min(limits.options[option["name"]], option.get("maximum", float("inf")))
    prompts = model.record.get("prompts")
    return {
        "media": model.modality.media.__name__,
        "description": describe_model(model),
        "prompts": prompts[:8] if isinstance(prompts, list) else [],
        "takes_prompt": takes_prompt(model),
        "supports_init": model.method.supports_init,
        "required_option": required_option(model.modality),
        "has_chat": getattr(model.modality, "chat_template", None) is not None,
        "options": options,
    }


async def _read_request(request: Request) -> tuple[dict[str, Any], Uploads | None]:
    """Return the JSON of a request and its files. Raises ``UserError``."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await read_object(request), None
    texts, files = await read_form(request)
    if texts.keys() != {"request"}:
        raise UserError("a form has the field request, the JSON of the job, and files.")
    values, uploads = parse_object(texts["request"].encode()), Uploads()
    try:
        for name, file in files.items():
            await uploads.save(name, file)
    except BaseException:
        uploads.close()
        raise
    return values, uploads


def _side_file(result: Any, number: int, name: str) -> Response:
    """Return a file beside that of a sample, by what its name ends in."""
    files = getattr(result, "side_files", {})
    if name not in files:
        raise APIError(404, f"there is no side file '{short_text(name)}'. There are: {join_names(files)}.")
    headers = {"Content-Disposition": f'inline; filename="{number:03d}{name}"'}
    kind = JSON_TYPE if name.endswith(".json") else TEXT_TYPE
    return Response(files[name], media_type=kind, headers=headers)


def _find_result(job: SamplingJob, number: int) -> Any:
    result = job.items[number].result if 0 <= number < len(job.items) else None
    if result is None:
        raise APIError(404, "there is no such result, or it is not finished.")
    return result


async def _events(request: Request, job: SamplingJob) -> AsyncIterator[bytes]:
    """Yield the state of a job and partial results whenever they change. The job goes on if nobody follows it."""
    num_parts, last_states, last_time = [0] * len(job.items), [None] * len(job.items), 0.0
    with suppress(ClientDisconnect):
        async for has_changed in job_changes(request, job):
            if not has_changed:
                yield COMMENT
                continue
            is_preview_due = time.monotonic() - last_time >= PREVIEW_SECONDS or job.is_over
            for number, item in enumerate(job.items):
                if not item.parts:
                    continue
                if is_sequential(item.parts[0]):
                    parts = item.parts[num_parts[number] :]
                    num_parts[number] += len(parts)
                    for part in parts:
                        yield event({"number": number, "part": await asyncio.to_thread(media_json, part)}, "part")
                elif is_preview_due and item.parts[0] is not last_states[number]:
                    last_states[number], last_time = item.parts[0], time.monotonic()
                    state = await asyncio.to_thread(media_json, last_states[number])
                    yield event({"number": number, "state": state}, "part")
            yield event({"state": job.state, "progress": round(job.progress, 4)}, "progress")
        yield event(job.describe(), "end")
