"""The worker: one thread that samples, in which jobs of a model share the calls of its network, step by step."""

import threading
from collections import deque
from collections.abc import Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from genai.core.batch import batch_ranges
from genai.core.errors import UserError
from genai.inference.known_prompts import prompt_notes
from genai.inference.provenance import RecipeItem, SampleRecipe, make_recipe
from genai.methods.base import map_steps
from genai.methods.joint_sampling import JointSampling
from genai.modalities.optional import request_notes
from genai.server.jobs import BATCH_SIZE, SamplingJob, State
from genai.server.openai_errors import APIError, as_api_error
from genai.server.sample_saver import SampleSaver

if TYPE_CHECKING:
    from genai.inference.model import Model, Stream

RETRY_SECONDS = 2


class Worker:
    """A thread that samples for jobs.

    Args:
        max_active: number of jobs that are sampled at once.
        max_queue: number of jobs that wait for one of them to end.
        saver: of samples that are to stay.

    Attributes:
        num_steps: steps of sampling since the start.
    """

    def __init__(self, max_active: int, max_queue: int, saver: SampleSaver | None = None) -> None:
        self.max_active, self.max_queue, self.num_steps = max_active, max_queue, 0
        self.saver = saver
        self._saving: set[SamplingJob] = set()
        self._queue: deque[SamplingJob] = deque()
        self._active: dict[SamplingJob, JointSampling] = {}
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="genai-worker", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Cancel all jobs and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        if self.saver is not None:
            self.saver.close()

    def submit(self, job: SamplingJob) -> None:
        """Add a job to the queue. Raises ``APIError`` if it is full."""
        with self._changed:
            if len(self._active) + len(self._queue) >= self.max_active + self.max_queue:
                raise APIError(429, "the server is busy: try again in a moment.", "queue_full", RETRY_SECONDS)
            self._queue.append(job)
            self._changed.notify()

    def cancel(self, job: SamplingJob) -> None:
        """End a job within a step. What it has finished stays."""
        job.is_stopped = True
        with self._changed:
            in_queue = job in self._queue
            if in_queue:
                self._queue.remove(job)
        if in_queue:
            job.end("canceled")

    @property
    def has_jobs(self) -> bool:
        """Whether there are jobs that are not over."""
        with self._changed:
            return bool(self._active or self._queue or self._saving)

    def _run(self) -> None:
        while self._take_jobs():
            for job, joint in [*self._active.items()]:
                if job.is_stopped:
                    joint.remove(job)
                    self._end(job, "canceled")
            for joint in {id(joint): joint for joint in self._active.values()}.values():
                for job, value in joint.step():
                    self.num_steps += 1
                    if isinstance(value, StopIteration):
                        self._end(job, "done")
                    elif isinstance(value, Exception):
                        self._end(job, "failed", as_api_error(_without_paths(value, job)))

    def _take_jobs(self) -> bool:
        """Wait for jobs and let as many as fit take part; ``False``: the thread should end."""
        with self._changed:
            while not self._active and not self._queue and not self._is_closed:
                self._changed.wait()
            while self._queue and len(self._active) < self.max_active and not self._is_closed:
                self._begin(self._queue.popleft())
            jobs = [*self._active, *self._queue] if self._is_closed else []
        for job in jobs:
            job.end("canceled")
        return not self._is_closed

    def _begin(self, job: SamplingJob) -> None:
        """Let a job take part, together with the others of its model."""
        assert job.model is not None
        method = job.model.method
        joint = next((each for each in self._active.values() if each.method is method), None) or JointSampling(method)
        joint.add(job, sampling_steps(job))
        self._active[job] = joint

    def _end(self, job: SamplingJob, state: State, error: APIError | None = None) -> None:
        """End a job; its samples are written before, if they are to stay."""
        is_saved = self.saver is not None and job.is_saved and any(item.result is not None for item in job.items)
        with self._changed:
            del self._active[job]
            if is_saved:
                self._saving.add(job)
        if self.saver is None or not is_saved:
            job.end(state, error)
            return

        def end() -> None:
            job.end(state, error)
            with self._changed:
                self._saving.remove(job)

        self.saver.submit(job, end)


def sampling_steps(job: SamplingJob) -> Generator[Any, Any, None]:
    """Sample what a job asks for, batch by batch; yield after each step, and the network calls of its stream.

    Raises:
        Exception: whatever sampling raises.
    """
    model = job.model
    assert model is not None
    job.start()
    prompts, seeds = [item.prompt for item in job.items], [item.seed for item in job.items]
    for rows in batch_ranges(len(job.items), BATCH_SIZE):
        stream = model.open_stream(
            prompts[rows.start : rows.stop], seeds[rows.start : rows.stop], job.init, job.options
        )
        if not rows.start:
            _check_first(job, stream)
            job.recipe = _make_recipe(job, model)
        for row, decoder in zip(rows, stream.decoders, strict=True):
            job.items[row].initial = decoder.initial
        yield from map_steps(stream.steps(), partial(_push, job, rows, stream))
        ended = [bool(decoder.done) for decoder in stream.decoders]
        for row, result, has_ended in zip(rows, stream.iter_results(), ended, strict=True):
            job.finish(row, result, has_ended)


def _push(job: SamplingJob, rows: range, stream: "Stream", parts: Sequence[Any]) -> None:
    """Add intermediate results to a job."""
    job.push(rows, parts, stream.length / stream.max_length if stream.progress is None else stream.progress)


def _check_first(job: SamplingJob, stream: "Stream") -> None:
    """Check a job when its first batch is known. Raises ``UserError``."""
    stream.check_options(job.options)
    if (values := stream.num_values * len(job.items)) > job.max_values:
        raise UserError(f"these samples have {values:,} values; this server makes {job.max_values:,} at once.")
    assert job.model is not None
    prompts, (options, _) = [item.prompt for item in job.items], job.model.build_options(job.options)
    job.notes = [*prompt_notes(job.model, prompts), *request_notes(job.model.modality, prompts, stream.init, options)]


def _make_recipe(job: SamplingJob, model: "Model") -> SampleRecipe:
    """Return the recipe of a job's first sample."""
    init = str(job.init) if job.init else None
    return make_recipe(model, [RecipeItem(job.items[0].prompt, job.items[0].seed)], 0, job.options, init)


def _without_paths(error: Exception, job: SamplingJob) -> Exception:
    """Return a user's mistake with the names of uploads in place of the paths at which the server keeps them."""
    if not isinstance(error, UserError) or not job.uploads:
        return error
    message = str(error)
    for name, path in job.uploads.paths.items():
        message = message.replace(str(path), name)
    return type(error)(message)
