"""OpenAI's ``/v1/completions`` and ``/v1/chat/completions``."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Le
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from genai.core.errors import UserError, short_text
from genai.inference.conversation import Conversation
from genai.media.text import Document
from genai.server.api_schema import json_request
from genai.server.events import (
    COMMENT,
    DONE,
    ClientDisconnect,
    EventStream,
    event,
    job_changes,
    wait_until_over,
    wait_until_started,
)
from genai.server.jobs import SamplingJob
from genai.server.json_body import JSONAnswer, read_object
from genai.server.openai_answers import ChatAnswer, CompletionAnswer, TextAnswer, completion, count_tokens
from genai.server.request_fields import parse_request
from genai.server.service import Service

JSON_OBJECT = {"type": "object"}


@dataclass(frozen=True, kw_only=True)
class TextRequest:
    """What both requests have.

    Attributes:
        model: id of the model.
        n: number of answers to each prompt.
        seed: of the first answer; the next one has the next seed. Default: a random one, which the answer tells.
        max_tokens, max_completion_tokens: largest number of new tokens.
        stream: whether the answer comes in parts, as server-sent events.
        stream_options: ``{"include_usage": true}`` adds a last part with the numbers of tokens.
        logit_bias: is added to the logits of tokens, by their id.
        frequency_penalty: 0; others are refused. ``presence_penalty`` and ``repetition_penalty`` are options.
        response_format: ``{"type": "json_schema", "json_schema": {"schema": ...}}``: the answer fits the schema.
        best_of: not more than ``n``.
    """

    model: str
    n: Annotated[int, Ge(1)] = 1
    seed: Annotated[int, Ge(0)] | None = None
    max_tokens: Annotated[int, Ge(1)] | None = None
    max_completion_tokens: Annotated[int, Ge(1)] | None = None
    stream: bool = False
    stream_options: Mapping[str, Any] | None = None
    logit_bias: Mapping[str, float] | None = None
    frequency_penalty: float = 0.0
    response_format: Mapping[str, Any] | None = None
    best_of: int | None = None

    def __post_init__(self) -> None:
        if self.frequency_penalty:
            raise UserError(
                "frequency_penalty=: models here have presence_penalty and repetition_penalty. Leave it out."
            )
        if self.best_of is not None and self.best_of > self.n:
            raise UserError(f"best_of={self.best_of}: all answers are returned: give n={self.best_of}.")

    def options(self) -> dict[str, Any]:
        """Return the options of the model that it names in OpenAI's words. Raises ``UserError``."""
        options: dict[str, Any] = {}
        if (length := self.max_completion_tokens or self.max_tokens) is not None:
            options["length"] = length
        if self.logit_bias:
            if not all(name.isdecimal() and len(name) < 10 for name in self.logit_bias):
                raise UserError("logit_bias=: its names are ids of tokens, whole numbers.")
            options["logit_bias"] = {int(name): float(bias) for name, bias in self.logit_bias.items()}
        if self.response_format:
            options |= _format_options(self.response_format)
        return options


@dataclass(frozen=True, kw_only=True)
class CompletionRequest(TextRequest):
    """A request to continue texts.

    Attributes:
        prompt: the beginning, or a list of several.
        echo: whether answers begin with the prompt.
        logprobs: number of the most probable tokens that are told at each position.
    """

    prompt: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]] = ""
    echo: bool = False
    logprobs: Annotated[int, Ge(0), Le(20)] | None = None


@dataclass(frozen=True, kw_only=True)
class ChatRequest(TextRequest):
    """A request for the next message of a chat.

    Attributes:
        messages: each with ``role`` and ``content``.
        logprobs: whether log-probabilities are told.
        top_logprobs: of how many of the most probable tokens at each position.
    """

    messages: Sequence[Mapping[str, Any]]
    logprobs: bool = False
    top_logprobs: Annotated[int, Ge(0), Le(20)] | None = None


def text_router(service: Service) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(tags=["text"])

    @router.post("/v1/completions", summary="Continue texts.", openapi_extra=json_request(CompletionRequest))
    async def create_completion(request: Request) -> Response:
        body, options = parse_request(CompletionRequest, await read_object(request))
        options = {**body.options(), **options}
        if body.logprobs is not None:
            options["logprobs"] = body.logprobs
        prompts = [body.prompt] if isinstance(body.prompt, str) else list(body.prompt)
        if not all(isinstance(prompt, str) for prompt in prompts):
            raise UserError("prompt=: give texts; lists of token ids are not read.")
        job = await service.start_job(body.model, prompts, body.n, body.seed, options, media=Document)  # type: ignore[arg-type]
        answer = CompletionAnswer(job, body.echo, body.logprobs is not None)
        return await _answer(service, request, job, answer, body)

    @router.post("/v1/chat/completions", summary="Answer a chat.", openapi_extra=json_request(ChatRequest))
    async def create_chat_completion(request: Request) -> Response:
        body, options = parse_request(ChatRequest, await read_object(request))
        options = {**body.options(), **options}
        if body.top_logprobs and not body.logprobs:
            raise UserError("top_logprobs=: give logprobs=true as well.")
        if body.logprobs:
            options["logprobs"] = body.top_logprobs or 0
        messages = [_plain_message(message) for message in body.messages]
        prompt = await service.with_model(
            body.model,
            lambda model: Conversation.from_messages(model, messages).prompt(options.get("length")),
            media=Document,
        )
        job = await service.start_job(body.model, prompt, body.n, body.seed, options, media=Document)
        return await _answer(service, request, job, ChatAnswer(job, body.logprobs), body)

    return router


async def _answer(
    service: Service, request: Request, job: SamplingJob, answer: TextAnswer, body: TextRequest
) -> Response:
    headers = {"X-Job-Id": job.id}
    if not body.stream:
        await wait_until_over(request, job, service.worker)
        return JSONAnswer(answer.whole(await run_in_threadpool(count_tokens, job)), headers=headers)
    await wait_until_started(request, job, service.worker)
    include_usage = bool((body.stream_options or {}).get("include_usage"))
    return EventStream(_stream(service, request, job, answer, include_usage), headers)


async def _stream(
    service: Service, request: Request, job: SamplingJob, answer: TextAnswer, include_usage: bool
) -> AsyncIterator[bytes]:
    """Yield the parts of an answer as they are generated; a client that hangs up cancels the job."""
    num_parts, lengths = [0] * len(job.items), [0] * len(job.items)
    is_started = [False] * len(job.items)

    def parts_of(index: int, text: str) -> bytes:
        beginning = None if is_started[index] else answer.beginning(index)
        is_started[index] = True
        lengths[index] += len(text)
        return b"".join(event(part) for part in (beginning, answer.part(index, text)) if part)

    try:
        async for has_changed in job_changes(request, job):
            parts = [] if has_changed else [COMMENT]
            for index, item in enumerate(job.items):
                new_parts = item.parts[num_parts[index] :]
                num_parts[index] += len(new_parts)
                if new_parts:
                    parts.append(parts_of(index, "".join(new_parts)))
            if parts:
                yield b"".join(parts)  # in one piece, since a client may have hung up
        if job.error:
            yield event(job.error.body)
            return
        for index, item in enumerate(job.items):
            tail = completion(item)[lengths[index] :]  # what was held back in case a stop string came
            yield (parts_of(index, tail) if tail or not is_started[index] else b"") + event(answer.end(index))
        if include_usage:
            yield event(answer.usage(await run_in_threadpool(count_tokens, job)))
        yield DONE
    except ClientDisconnect:
        pass
    finally:
        if not job.is_over:
            service.worker.cancel(job)


def _plain_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message with a text as its content. Raises ``UserError`` for pictures and sounds."""
    content = message.get("content")
    if isinstance(content, list):
        if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
            raise UserError("messages=: models here read texts alone, no pictures or sounds.")
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str) or not isinstance(message.get("role"), str):
        raise UserError("messages=: each message needs a role and a content, which are texts.")
    return {**message, "content": content}


def _format_options(response_format: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options for OpenAI's ``response_format``. Raises ``UserError``."""
    kind = response_format.get("type")
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"json_schema": JSON_OBJECT}
    schema = response_format.get("json_schema")
    schema = schema.get("schema") if isinstance(schema, Mapping) else None
    if kind != "json_schema" or not isinstance(schema, Mapping):
        kinds = '{"type": "json_schema", "json_schema": {"schema": {...}}}'
        raise UserError(f"response_format={short_text(str(kind))}: give text, json_object or {kinds}.")
    return {"json_schema": dict(schema)}
