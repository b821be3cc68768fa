"""OpenAI's ``/v1/videos``: clips as jobs that are asked for again until they are done."""

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from genai.core.errors import UserError, short_text
from genai.media.clip import Clip
from genai.media.data_url import MIME_TYPES
from genai.server.api_schema import form_request
from genai.server.events import check_result
from genai.server.jobs import SamplingJob
from genai.server.json_body import JSONAnswer, read_object
from genai.server.openai_errors import APIError
from genai.server.openai_images import check_size
from genai.server.request_fields import parse_form
from genai.server.service import Service
from genai.server.uploads import Uploads, read_form

PREFIX = "video_"
STATUS = {"queued": "queued", "running": "in_progress", "done": "completed", "failed": "failed", "canceled": "failed"}
"""OpenAI's words for states of jobs."""


@dataclass(frozen=True, kw_only=True)
class VideoRequest:
    """A request for a clip.

    Attributes:
        model: id of the model.
        prompt: what it shows.
        seconds: its length. Default: that of the model.
        seed: of the clip. Default: a random one, which its description tells.
        size: ``auto``, or the size of the model's clips.
    """

    model: str
    prompt: str = ""
    seconds: Annotated[float, Ge(0.01)] | None = None
    seed: Annotated[int, Ge(0)] | None = None
    size: str = "auto"


def videos_router(service: Service) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(tags=["videos"])

    @router.post("/v1/videos", summary="Begin a clip; input_reference is its first frame, or a clip to continue.",
                 openapi_extra=form_request(VideoRequest, "input_reference"))  # fmt: skip
    async def create_video(request: Request) -> Response:
        texts, files = await _read_request(request)
        body, options = parse_form(VideoRequest, texts)
        await check_size(service, body, Clip)
        if body.seconds is not None:
            options["frames"] = str(await _num_frames(service, body, options.get("fps")))
        if files.keys() - {"input_reference"}:
            raise UserError("input_reference=: give no other file.")
        uploads = Uploads()
        if "input_reference" in files:
            await uploads.save("init", files["input_reference"])
        job = await service.start_job(body.model, body.prompt, 1, body.seed, uploads=uploads, media=Clip, texts=options)
        return JSONAnswer(_describe(job))

    @router.get("/v1/videos", summary="List the clips of this server.")
    async def list_videos() -> Response:
        entries = [_describe(job) for job in service.jobs if issubclass(job.modality.media, Clip)]
        first, last = (entries[0]["id"], entries[-1]["id"]) if entries else (None, None)
        page = {"object": "list", "data": entries, "first_id": first, "last_id": last, "has_more": False}
        return JSONAnswer(page)

    @router.get("/v1/videos/{video_id}", summary="Say how far a clip is.")
    async def retrieve_video(video_id: str) -> Response:
        return JSONAnswer(_describe(_find(service, video_id)))

    @router.get("/v1/videos/{video_id}/content", summary="Get the file of a clip.")
    async def download_video(video_id: str, variant: str = "video") -> Response:
        job = _find(service, video_id)
        if variant != "video":
            raise UserError(f"variant={short_text(variant)}: there is video alone.")
        if not job.is_over:
            raise APIError(409, "this clip is not finished.", "not_finished")
        clip = check_result(job).items[0].result
        content = await run_in_threadpool(job.encode, 0)
        return Response(content, media_type=MIME_TYPES.get(clip.suffix, "application/octet-stream"))

    @router.delete("/v1/videos/{video_id}", summary="Cancel a clip, or forget it.")
    async def delete_video(video_id: str) -> Response:
        job = _find(service, video_id)
        service.worker.cancel(job)
        service.jobs.remove(job)
        return JSONAnswer({"id": video_id, "object": "video.deleted", "deleted": True})

    return router


async def _read_request(request: Request) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the texts and files of a form; a JSON body has texts and numbers alone."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        return await read_form(request)
    values = {name: value for name, value in (await read_object(request)).items() if value is not None}
    if not all(isinstance(value, str | int | float) for value in values.values()):
        raise UserError("a clip's request has texts and numbers; files come in a form.")
    return {name: str(value) for name, value in values.items()}, {}


async def _num_frames(service: Service, body: VideoRequest, fps: str | None) -> int:
    """Return the number of frames of ``seconds``. Raises ``UserError``."""

    def count(model: Any) -> int:
        try:
            rate = float(fps or model.modality.fps)
        except ValueError:
            raise UserError(f"fps={short_text(fps)}: it should be a number.") from None
        return max(1, round(min((body.seconds or 0) * rate, 1e9)))

    number: int = await service.with_model(body.model, count, media=Clip)
    return number


def _find(service: Service, video_id: str) -> SamplingJob:
    job = service.jobs.find(video_id.removeprefix(PREFIX))
    if not issubclass(job.modality.media, Clip):
        raise APIError(404, "this job makes no clip.")
    return job


def _describe(job: SamplingJob) -> dict[str, Any]:
    item = job.items[0]
    _, height, width = job.modality.shape  # type: ignore[attr-defined]
    error = job.error.body["error"] if job.error else None
    if job.state == "canceled":
        error = {"code": "job_canceled", "message": "the job was canceled."}
    return {
        "id": PREFIX + job.id,
        "object": "video",
        "model": job.model_id,
        "status": STATUS[job.state],
        "progress": int(100 * job.progress),
        "created_at": int(job.created),
        "completed_at": int(job.finished) if job.state == "done" else None,
        "expires_at": None,
        "prompt": item.prompt,
        "seconds": f"{item.result.seconds:g}" if item.result is not None else "",
        "size": f"{width}x{height}",
        "error": error and {"code": error["code"] or "failed", "message": error["message"]},
        "seed": item.seed,
    }
