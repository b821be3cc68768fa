"""Jobs: requests for samples, their state, and their results, which are kept for a while."""

import asyncio
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genai.inference.labels import NO_LABEL, Labeler
from genai.inference.provenance import RecipeItem, SampleRecipe
from genai.media.base import is_sequential
from genai.server.openai_errors import APIError

if TYPE_CHECKING:
    from genai.inference.model import Model
    from genai.server.uploads import Uploads

BATCH_SIZE = 32
"""Samples of a job that are generated at once."""
MAX_JOBS, MAX_RESULT_BYTES = 256, 512 * 2**20
"""Number of jobs that are over, and size of their results, that are kept."""
State = Literal["queued", "running", "done", "failed", "canceled"]


@dataclass
class JobItem:
    """A sample of a job.

    Attributes:
        prompt, seed: of the sample.
        initial: the given beginning.
        parts: those of a text or sound so far; of other media the current state.
        result: the sample; ``None``: it is not finished.
        has_ended: whether the model ended it, rather than its length.
        sample_id: of its file in the folder of samples; ``None``: it is not there.
    """

    prompt: str
    seed: int
    initial: Any = None
    parts: list[Any] = field(default_factory=list)
    result: Any = None
    has_ended: bool = False
    sample_id: str | None = None


class SamplingJob:
    """A request for samples.

    A worker writes to it from its thread, requests read it in the event loop.

    Attributes:
        id: unguessable name.
        items: its samples.
        state, progress, error: where it is, from 0 to 1, and why it failed.
        is_stopped: whether somebody canceled it; it is over within a step.
        recipe: of its first batch, with the paths of this machine; of the others only the samples differ.
        notes: what the model cannot know of the request, and what has no effect, a line each.
        is_saved: whether its samples go into the folder of samples; ``save_error`` says why they could not.
        created, finished: times in seconds.
        num_bytes: memory of its results when it is over, about.
    """

    def __init__(
        self,
        model_id: str,
        model: "Model",
        prompts: Sequence[str],
        seeds: Sequence[int],
        options: Mapping[str, Any],
        uploads: "Uploads | None" = None,
        max_values: float = float("inf"),
        is_saved: bool = False,
        labeler: Labeler = NO_LABEL,
    ) -> None:
        self.labeler = labeler
        self.id = secrets.token_hex(12)
        self.model_id, self.options, self.uploads, self.max_values = model_id, dict(options), uploads, max_values
        self.model: Model | None = model
        self.digest, self.modality = model.digest, model.modality
        self.items = [JobItem(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        self.state: State = "queued"
        self.progress, self.num_bytes, self.is_stopped = 0.0, 0, False
        self.error: APIError | None = None
        self.is_saved, self.save_error = is_saved, ""
        self.recipe: SampleRecipe | None = None
        self.notes: list[str] = []
        self.created, self.finished = time.time(), 0.0
        self.on_end: Callable[[], None] = lambda: None
        self._callbacks: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._lock = threading.Lock()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ("done", "failed", "canceled")

    @property
    def init(self) -> Path | None:
        """The file to start from."""
        return self.uploads.paths.get("init") if self.uploads else None

    def start(self) -> None:
        """Say that its first step comes now."""
        self.state = "running"
        self._notify()

    def push(self, rows: range, parts: Sequence[Any], progress: float) -> None:
        """Add the intermediate results of the samples ``rows``, a batch that is done to ``progress``."""
        for row, part in zip(rows, parts, strict=True):
            item = self.items[row]
            if not is_sequential(part):
                item.parts = [part]
            elif not isinstance(part, str) or part:
                item.parts.append(part)
        self.progress = (rows.start + progress * len(rows)) / len(self.items)
        self._notify()

    def finish(self, row: int, result: Any, has_ended: bool) -> None:
        """Store a finished sample."""
        item = self.items[row]
        item.result, item.has_ended = result, has_ended
        if not is_sequential(result):
            item.parts = [result]

    def end(self, state: State, error: APIError | None = None) -> None:
        """Say that it is over."""
        if self.is_over:
            return
        self.error, self.finished, self.model = error, time.time(), None
        self.progress = 1.0 if state == "done" else self.progress
        self.num_bytes = sum(media_bytes(media) for item in self.items for media in (*item.parts, item.result))
        self.state = state
        if self.uploads:
            self.uploads.close()
        self.on_end()
        self._notify()

    @contextmanager
    def watch(self) -> Iterator[asyncio.Event]:
        """Yield an event of the running loop that is set when something changes, and at first."""
        callback = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._callbacks.append(callback)
        callback[1].set()
        try:
            yield callback[1]
        finally:
            with self._lock:
                self._callbacks.remove(callback)

    def _notify(self) -> None:
        with self._lock:
            callbacks = tuple(self._callbacks)
        for loop, event in callbacks:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(event.set)

    def recipe_of(self, row: int) -> SampleRecipe:
        """Return the recipe of a sample. Raises ``APIError``."""
        if self.recipe is None:
            raise APIError(404, "this job has no recipe: it has not started.")
        start = row - row % BATCH_SIZE
        batch = [RecipeItem(item.prompt, item.seed) for item in self.items[start : start + BATCH_SIZE]]
        first = batch[row - start]
        return replace(self.recipe, item=row - start, prompt=first.prompt, seed=first.seed, batch=batch)

    def encode(self, row: int, suffix: str | None = None) -> bytes:
        """Return the labeled file of a sample that is done, of the type of ``suffix``. Raises as its media do."""
        media = self.items[row].result
        return self.labeler.encode(media, suffix, self.recipe and self.recipe_of(row))[suffix or media.suffix]

    @property
    def upload_names(self) -> dict[str, str]:
        """The options that its files are for, by their paths."""
        return {str(path): name for name, path in self.uploads.paths.items()} if self.uploads else {}

    def describe(self) -> dict[str, Any]:
        """Return its state as plain data."""
        return {
            "id": self.id,
            "object": "job",
            "model": self.model_id,
            "state": self.state,
            "progress": round(self.progress, 4),
            "created": int(self.created),
            "finished": int(self.finished) or None,
            "error": self.error.body["error"] if self.error else None,
            "save_error": self.save_error or None,
            "notes": self.notes,
            "results": [
                {
                    "number": number,
                    "prompt": item.prompt,
                    "seed": item.seed,
                    "suffix": getattr(item.result, "suffix", None),
                    "summary": getattr(item.result, "summary", None),
                    "side_files": list(getattr(item.result, "side_files", {})),
                    "sample": item.sample_id,
                }
                for number, item in enumerate(self.items)
            ],
        }


class JobStore:
    """Jobs by id. Of those that are over, the newest are kept."""

    def __init__(self, max_jobs: int = MAX_JOBS, max_bytes: int = MAX_RESULT_BYTES) -> None:
        self.max_jobs, self.max_bytes = max_jobs, max_bytes
        self._jobs: OrderedDict[str, SamplingJob] = OrderedDict()

    def add(self, job: SamplingJob) -> None:
        """Add a job, and drop old ones if there are too many."""
        self._jobs[job.id] = job
        over = [each for each in self._jobs.values() if each.is_over]
        size = sum(each.num_bytes for each in over)
        while over and (len(over) > self.max_jobs or size > self.max_bytes):
            old_job = over.pop(0)
            size -= old_job.num_bytes
            del self._jobs[old_job.id]

    def remove(self, job: SamplingJob) -> None:
        """Forget a job."""
        self._jobs.pop(job.id, None)

    def find(self, job_id: str) -> SamplingJob:
        """Return a job. Raises ``APIError``."""
        job = self._jobs.get(job_id)
        if job is None:
            raise APIError(404, "there is no such job, or it was too long ago.")
        return job

    def __iter__(self) -> Iterator[SamplingJob]:
        return iter(tuple(self._jobs.values()))


def media_bytes(media: Any) -> int:
    """Return the memory of a medium, about: its characters and arrays."""
    if isinstance(media, str):
        return 4 * len(media)
    return sum(value.nbytes for value in vars(media).values() if hasattr(value, "nbytes")) if media is not None else 0
