"""OpenAI's ``/v1/images``: generations, edits with a mask, variations."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge
from fastapi import APIRouter
from PIL import Image as Pillow
from PIL import ImageOps
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from genai.core.errors import UserError, short_text
from genai.media.picture import Picture, open_picture
from genai.server.api_schema import form_request, json_request
from genai.server.events import wait_until_over
from genai.server.jobs import SamplingJob
from genai.server.json_body import JSONAnswer, read_object
from genai.server.request_fields import parse_form, parse_request
from genai.server.service import Service
from genai.server.uploads import Uploads, read_form


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """A request for pictures.

    Attributes:
        model: id of the model.
        prompt: what they show.
        n: number of pictures.
        seed: of the first one. Default: a random one, which the answer tells.
        size: ``auto``, or the size of the model's pictures.
        response_format: ``b64_json``, or ``url``: an address of this server, from which it can be fetched for a while.
        output_format: of the files.
        stream: false; the events of ``/api/jobs`` have partial results.
    """

    model: str
    prompt: str = ""
    n: Annotated[int, Ge(1)] = 1
    seed: Annotated[int, Ge(0)] | None = None
    size: str = "auto"
    response_format: Literal["b64_json", "url"] = "b64_json"
    output_format: Literal["png", "jpeg", "webp"] = "png"
    stream: bool = False

    def __post_init__(self) -> None:
        if self.stream:
            raise UserError("stream=true: use /api/jobs, whose events have partial results.")


def images_router(service: Service) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(tags=["images"])

    @router.post("/v1/images/generations", summary="Make pictures.", openapi_extra=json_request(ImageRequest))
    async def create_image(request: Request) -> Response:
        body, options = parse_request(ImageRequest, await read_object(request))
        await check_size(service, body, Picture)
        job = await service.start_job(body.model, body.prompt, body.n, body.seed, options, media=Picture)
        return await _answer(service, request, job, body)

    @router.post("/v1/images/edits", summary="Paint a part of a picture, or all of it, anew; what is transparent in "
                 "the mask is painted.", openapi_extra=form_request(ImageRequest, "image", "mask"))  # fmt: skip
    async def edit_image(request: Request) -> Response:
        texts, files = await read_form(request)
        return await _from_picture(service, request, texts, files, mask=files.pop("mask", None), has_alpha_mask=True)

    @router.post("/v1/images/variations", summary="Vary a picture.", openapi_extra=form_request(ImageRequest, "image"))
    async def create_image_variation(request: Request) -> Response:
        texts, files = await read_form(request)
        return await _from_picture(service, request, texts, files)

    return router


async def check_size(service: Service, body: Any, media: type) -> None:
    """Raise ``UserError`` if a request asks for another size than that of the model's pictures."""
    if body.size == "auto":
        return

    def check(model: Any) -> None:
        _, height, width = model.modality.shape
        if body.size != f"{width}x{height}":
            raise UserError(f"size={short_text(body.size)}: this model makes {width}x{height}.")

    await service.with_model(body.model, check, media)


async def _from_picture(
    service: Service,
    request: Request,
    texts: dict[str, str],
    files: dict[str, UploadFile],
    mask: UploadFile | None = None,
    has_alpha_mask: bool = False,
) -> Response:
    """Answer a request whose form has a picture, ``image``, to start from."""
    body, options = parse_form(ImageRequest, texts)
    await check_size(service, body, Picture)
    if files.keys() != {"image"}:
        raise UserError(
            "image=: give one file of this name." if "image" not in files else "image=: give no other file."
        )
    uploads = Uploads()
    try:
        await uploads.save("init", files["image"])
        if mask is not None:
            await uploads.save("alpha_mask", mask)
        if has_alpha_mask:
            await run_in_threadpool(_convert_mask, uploads)
    except UserError as error:
        message = _with_field_names(str(error), uploads)
        uploads.close()
        raise UserError(message) from error
    except BaseException:
        uploads.close()
        raise
    job = await service.start_job(
        body.model, body.prompt, body.n, body.seed, uploads=uploads, media=Picture, texts=options
    )
    return await _answer(service, request, job, body)


def _convert_mask(uploads: Uploads) -> None:
    """Convert OpenAI's mask, in which the area to paint is transparent, to ours, in which it is white.

    Without a mask, the transparent area of the picture itself is painted, if there is one.

    Raises:
        UserError: the mask has another size than the picture, or nothing of it is transparent.
    """
    init, mask = uploads.paths["init"], uploads.paths.pop("alpha_mask", None)
    size = _image_size(init)
    alpha = read_alpha(mask or init)
    if mask is not None and _image_size(mask) != size:
        sizes = [f"{width} x {height}" for width, height in (_image_size(mask), size)]
        raise UserError(f"mask= has {sizes[0]} pixels, and image= {sizes[1]}: they should have the same size.")
    has_area = alpha is not None and alpha.getextrema()[0] == 0
    if mask is not None and not has_area:
        raise UserError("mask= has no transparent area: what should be painted anew is transparent, the rest is not.")
    if alpha is not None and has_area:
        alpha.point(lambda value: 255 if value == 0 else 0).save(uploads.path("mask"), "png")


def read_alpha(path: Path) -> Pillow.Image | None:
    """Return how opaque each pixel is, from 0 to 255; ``None``: all are. Raises ``UserError``."""
    with open_picture(path) as image:
        if not image.has_transparency_data:
            return None
        return ImageOps.exif_transpose(image.convert("RGBA")).getchannel("A")


def _image_size(path: Path) -> tuple[int, int]:
    with open_picture(path) as image:
        orientation = image.getexif().get(0x0112, 1)
        return image.size if orientation < 5 else (image.height, image.width)


def _with_field_names(message: str, uploads: Uploads) -> str:
    """Return a message with the names of files in a request in place of their paths here."""
    for name, field in (("alpha_mask", "mask="), ("init", "image=")):
        message = message.replace(f"{uploads.folder}/{name}", field)
    return message


async def _answer(service: Service, request: Request, job: SamplingJob, body: ImageRequest) -> Response:
    await wait_until_over(request, job, service.worker)
    suffix = f".{body.output_format}"
    entries: list[dict[str, str]] = []
    for number in range(len(job.items)):
        if body.response_format == "url":
            entries.append({"url": f"{request.base_url}api/jobs/{job.id}/results/{number}"})
        else:
            content = await run_in_threadpool(job.encode, number, suffix)
            entries.append({"b64_json": base64.b64encode(content).decode()})
    answer = {"created": int(job.created), "data": entries, "output_format": body.output_format}
    return JSONAnswer(answer | {"seed": job.items[0].seed}, headers={"X-Job-Id": job.id})
