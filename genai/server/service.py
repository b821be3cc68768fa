"""What all endpoints share: settings, models, jobs and the worker; a request becomes a job here."""

import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from anyio import CapacityLimiter, to_thread

from genai.core.errors import UserError, short_repr
from genai.core.instantiate import validate_value
from genai.core.terminal import one_line
from genai.inference.labels import create_labeler
from genai.inference.model import expand_prompts
from genai.runs.voices import check_voices
from genai.server.gallery import Gallery
from genai.server.jobs import JobStore, SamplingJob
from genai.server.json_body import parse_object
from genai.server.models import ModelStore
from genai.server.openai_errors import APIError, as_api_error
from genai.server.option_schema import can_name_file, is_file
from genai.server.run_index import RunIndex
from genai.server.sample_saver import SampleSaver
from genai.server.settings import RequestLimits, ServeSettings
from genai.server.training import Training
from genai.server.uploads import Uploads
from genai.server.worker import Worker
from genai.trust.revocations import RevokedConsent

if TYPE_CHECKING:
    from genai.inference.model import Model

MAX_LIST = 256
"""Longest list that is an option, such as ``stop``."""
NUM_THREADS = 4
"""Threads, and with chat templates processes, that prepare requests; as many more load models."""


class Service:
    """The server's parts.

    Attributes:
        is_draining: whether it only finishes the jobs that it has.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self.settings, self.limits = settings, settings.limits
        self.labeler = create_labeler(settings)
        named = settings.named_models
        self.models = ModelStore(settings.runs, named, settings.memory_bytes, settings.device, tuple(settings.plugins))
        self.gallery = Gallery(Path(settings.samples).expanduser().absolute(), self.models)
        self.runs = RunIndex(Path(settings.runs).expanduser().absolute(), self.models)
        self.training = Training(settings, self.runs)
        self.jobs = JobStore()
        self.worker = Worker(settings.active, settings.queue, SampleSaver(self.gallery))
        self.is_draining = False
        self._capacity, self._load_capacity = CapacityLimiter(NUM_THREADS), CapacityLimiter(NUM_THREADS)

    def drain(self) -> None:
        """Take no new requests, and let a training save and end."""
        self.is_draining = True
        self.training.stop()

    @property
    def is_working(self) -> bool:
        """Whether jobs or a training go on."""
        return self.worker.has_jobs or self.training.is_running

    def close(self) -> None:
        """End what goes on."""
        self.worker.close()
        self.training.close()

    async def start_job(
        self,
        model_id: str,
        prompt: str | Sequence[str],
        n: int = 1,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,
        uploads: Uploads | None = None,
        media: type | None = None,
        texts: Mapping[str, str] | None = None,
        is_saved: bool = False,
    ) -> SamplingJob:
        """Check a request and put it into the queue.

        Args:
            model_id: of the model.
            prompt: one or several.
            n: samples of each.
            seed: of the first sample; ``None``: a random one.
            options: of the model.
            uploads: files, by option; they are deleted when the job is over.
            media: the class of media that the samples should have.
            texts: options of a form, as texts.
            is_saved: whether the samples go into the folder of samples.

        Raises:
            APIError: no such model, it cannot be loaded, the queue is full, the server is about to end.
            UserError: a request that does not fit.
        """
        try:
            return await self._start_job(
                model_id, prompt, n, seed, dict(options or {}), uploads, media, texts or {}, is_saved
            )
        except BaseException:
            if uploads:
                uploads.close()
            raise

    async def _start_job(
        self,
        model_id: str,
        prompt: str | Sequence[str],
        n: int,
        seed: int | None,
        options: dict[str, Any],
        uploads: Uploads | None,
        media: type | None,
        texts: Mapping[str, str],
        is_saved: bool,
    ) -> SamplingJob:
        if self.is_draining:
            raise APIError(503, "the server is about to end.", "draining", 5)
        _check_counts(self.limits, prompt, n)
        prompts, seeds = expand_prompts(prompt, n, secrets.randbelow(2**31) if seed is None else seed)
        model = await self._acquire(model_id)
        try:
            check_media(model, model_id, media)
            options |= parse_texts(model, texts)
            options = check_options(model, options, uploads, self.limits)
            job = SamplingJob(
                model_id, model, prompts, seeds, options, uploads, self.limits.values, is_saved, self.labeler.of(model)
            )
            job.on_end = lambda: self.models.release(model_id)
            self.worker.submit(job)
        except BaseException:
            self.models.release(model_id)
            raise
        self.jobs.add(job)
        return job

    async def with_model(self, model_id: str, function: Any, media: type | None = None) -> Any:
        """Return ``function(model)``, called in a thread. Raises ``APIError``, and what the function raises."""

        model = await self._acquire(model_id)
        try:
            check_media(model, model_id, media)
            return await to_thread.run_sync(function, model, limiter=self._capacity)
        finally:
            self.models.release(model_id)

    async def _acquire(self, model_id: str) -> "Model":
        """Return a model, which is loaded in a thread if it is not in memory.

        Raises:
            APIError: there is none, it cannot be loaded, or the consent for a voice in it was revoked, perhaps since it
                was loaded.
        """
        model = self.models.acquire_loaded(model_id)
        if model is None:
            model = await to_thread.run_sync(self.models.acquire, model_id, limiter=self._load_capacity)
        try:
            check_voices(model.voices, model_id)
        except RevokedConsent as error:
            self.models.release(model_id)
            raise as_api_error(error) from error
        except UserError as error:  # the list of revocations cannot be read; the message has its path
            self.models.release(model_id)
            print(one_line(str(error)), file=sys.stderr, flush=True)
            message = "whether the consent for a voice was revoked cannot be found out: the server's log says why."
            raise APIError(503, message, "consent_unknown") from error
        return model


def check_media(model: "Model", model_id: str, media: type | None) -> None:
    """Raise ``UserError`` if a model makes other media than an endpoint is for."""
    own = model.modality.media
    if media is not None and not issubclass(own, media):
        raise UserError(
            f"model={model_id}: it makes a {own.__name__.lower()}, and this address is for a {media.__name__.lower()}. "
            "/api/jobs takes every model."
        )


def check_options(
    model: "Model", options: Mapping[str, Any], uploads: Uploads | None, limits: RequestLimits
) -> dict[str, Any]:
    """Return options with the paths of uploaded files. Raises ``UserError`` for what does not fit or is too much."""
    hints = option_hints(model)
    for name, value in options.items():
        if name == "init" or (name in hints and is_file(hints[name])):
            raise UserError(f"{name}={short_repr(value)}: a file is uploaded, in a form, not named.")
        if isinstance(value, list) and len(value) > MAX_LIST:
            raise UserError(f"{name}=: a list of {len(value):,}; this server takes {MAX_LIST}.")
        if isinstance(value, str) and can_name_file(hints.get(name)):
            raise UserError(f"{name}=: give it as an object of JSON, not as a text.")
    names = [name for name in (uploads.paths if uploads else {}) if name != "init"]
    for name in names:
        if name not in hints or not is_file(hints[name]):
            raise UserError(f"{name}=: this model has no option that is such a file.")
    paths = {name: str(uploads.paths[name]) for name in names} if uploads else {}
    checked = {**options, **paths}
    for part in model.build_options(checked):
        for name, limit in limits.options.items():
            value = getattr(part, name, None)
            if isinstance(value, int | float) and value > limit:
                raise UserError(f"{name}={value:g}: this server allows {limit:g}.")
    return checked


def parse_texts(model: "Model", texts: Mapping[str, str]) -> dict[str, Any]:
    """Convert options of a form to the types that they have; lists and objects are written in JSON. Raises
    ``UserError``."""
    hints, values = option_hints(model), dict[str, Any]()
    for name, text in texts.items():
        if name not in hints:
            raise model.unknown_option_error(name, hints)
        if text.lstrip()[:1] in ("[", "{"):
            values[name] = parse_object(f'{{"value":{text}}}'.encode(), f"{name}=")["value"]
        elif can_name_file(hints[name]) or is_file(hints[name]) or name in model.text_list_options():
            values[name] = text
        else:
            values[name] = validate_value(text, hints[name], name, strict=False)
    return values


def option_hints(model: "Model") -> dict[str, Any]:
    """Return the type hints of a model's options."""
    parts = (model.modality.Options, model.method.Options)
    return {name: hint for part in parts for name, hint in get_type_hints(part, include_extras=True).items()}


def _check_counts(limits: RequestLimits, prompt: str | Sequence[str], n: int) -> None:
    """Raise ``UserError`` for more samples or longer prompts than are allowed."""
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    if n * len(prompts) > limits.samples:
        raise UserError(f"n={n:,}: this server makes {limits.samples:,} samples at once, of all prompts together.")
    if (length := sum(map(len, prompts))) > limits.prompt:
        raise UserError(f"prompt=: {length:,} characters; this server takes {limits.prompt:,}.")
