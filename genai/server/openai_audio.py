"""OpenAI's ``/v1/audio/speech``: a sound of a prompt, sent while it is generated."""

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from genai.core.errors import UserError, short_repr
from genai.media.data_url import MIME_TYPES
from genai.media.sound import Sound
from genai.media.wav_stream import stream_header
from genai.server.api_schema import json_request
from genai.server.events import ClientDisconnect, job_changes, wait_until_over, wait_until_started
from genai.server.jobs import SamplingJob
from genai.server.json_body import read_object
from genai.server.request_fields import parse_request
from genai.server.service import Service, option_hints

DEFAULT_VOICES = ("", "default", "none")
"""Values of ``voice`` that ask for none; OpenAI's client always sends one."""


@dataclass(frozen=True, kw_only=True)
class SpeechRequest:
    """A request for a sound.

    Attributes:
        model: id of the model.
        input: the prompt.
        voice: name of a speaker of the model, or its object ``{"id": NAME}``. Default: the model's own.
        seed: of the sound. Default: a random one, which the header ``X-Seed`` tells.
        response_format: ``wav``, which is sent while it is generated, ``flac`` or ``ogg``.
        speed: factor of the tempo; other values than 1 are for models that read texts aloud.
        stream_format: ``audio``.
    """

    model: str
    input: str
    voice: str | Mapping[str, Any] = "default"
    seed: Annotated[int, Ge(0)] | None = None
    response_format: str = "wav"
    speed: Annotated[float, Ge(0.25), Le(4)] = 1.0
    stream_format: Literal["audio"] = "audio"

    def options(self, names: Collection[str]) -> dict[str, Any]:
        """Return what it asks for as options of a model that has those of ``names``. Raises ``UserError``."""
        voice = self.voice if isinstance(self.voice, str) else self.voice.get("id", "")
        values = {
            name: value
            for name, value, default in (("speaker", voice, DEFAULT_VOICES), ("speed", self.speed, (1,)))
            if value not in default
        }
        if "speaker" in values and "speaker" not in names:
            raise UserError(f"voice={short_repr(voice)}: this model has no speakers. Give voice='default'.")
        if "speed" in values and "speed" not in names:
            raise UserError(f"speed={self.speed:g}: it is always 1 for this model. Leave it out.")
        return values


def audio_router(service: Service) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(tags=["audio"])

    @router.post("/v1/audio/speech", summary="Make a sound.", openapi_extra=json_request(SpeechRequest))
    async def create_speech(request: Request) -> Response:
        body, options = parse_request(SpeechRequest, await read_object(request))
        suffix = f".{body.response_format}"
        if suffix not in SOUND_SUFFIXES:
            formats = ", ".join(each[1:] for each in SOUND_SUFFIXES)
            raise UserError(f"response_format={short_repr(body.response_format)}: there are {formats}.")
        names = await service.with_model(body.model, option_hints, media=Sound)
        options = {**body.options(names), **options}
        job = await service.start_job(body.model, body.input, 1, body.seed, options, media=Sound)
        headers = {"X-Job-Id": job.id, "X-Seed": str(job.items[0].seed)}
        if suffix == ".wav" and not job.options.get("watermark"):  # which a sound has when it is complete
            await wait_until_started(request, job, service.worker)
            return StreamingResponse(_stream_wav(service, request, job), headers=headers, media_type=MIME_TYPES[suffix])
        await wait_until_over(request, job, service.worker)
        content = await run_in_threadpool(job.encode, 0, suffix)
        return Response(content, headers=headers, media_type=MIME_TYPES[suffix])

    return router


SOUND_SUFFIXES = tuple(suffix for suffix, kind in MIME_TYPES.items() if kind.startswith("audio/"))


async def _stream_wav(service: Service, request: Request, job: SamplingJob) -> AsyncIterator[bytes]:
    """Yield a WAV whose header does not know its length; a client that hangs up cancels the job."""
    item, num_parts, has_header = job.items[0], 0, False
    try:
        async for _ in job_changes(request, job):
            if item.initial is not None and not has_header:
                has_header = True
                header = stream_header(item.initial.sample_rate, job.labeler.wav_info())
                yield header + item.initial.pcm.tobytes()
            parts = item.parts[num_parts:]
            num_parts += len(parts)
            for sound in parts:
                if content := sound.pcm.tobytes():
                    yield content
    except ClientDisconnect:
        pass
    finally:
        if not job.is_over:
            service.worker.cancel(job)
