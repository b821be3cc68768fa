"""The check at the end of a run: does the trained model reproduce its training items? See ``genai.metrics.copying``."""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial

import torch

from genai.core.errors import UserError, short_text
from genai.core.place import Place
from genai.data.canaries import WithCanaries
from genai.inference.model import Model
from genai.metrics.base import EvalContext, metric_class
from genai.metrics.canaries import canary_p
from genai.metrics.copying import ALARM_P, Copying
from genai.runs.record import CopyingRecord
from genai.runs.run import Run
from genai.training.module import TrainingModule
from genai.training.setup import TrainingSetup

MAX_FRACTION = 0.05
"""Largest part of the training's time that the check takes."""
MAX_SECONDS = 120.0
"""Longest check: other processes wait for the first one."""
MIN_SECONDS, LONG_SECONDS = 10.0, 60.0
"""What the check may always take after a training of so many seconds."""
MIN_SAMPLES, MAX_SAMPLES = 24, 64
SAMPLING_FRACTION = 0.75
"""Part of the check that sampling may take."""


class OutOfTime(Exception):
    """The check would take longer than it may."""


class CopyingCheck:
    """Compares a few samples of the averaged weights with training items, and writes the result into the record.

    Only the first process does it, while others wait. It changes nothing that a resumed run depends on.

    Attributes:
        line: for people, if the model copies, knows its canaries or could not be checked; "" otherwise.
    """

    def __init__(self, setup: TrainingSetup, run: Run) -> None:
        self.setup, self.run, self.line = setup, run, ""
        self.model = Model(setup.modality, setup.method)
        self.metric = self._metric()

    def at_end(self, module: TrainingModule, preview_seconds: Sequence[float]) -> None:
        """Check the averaged weights of a run that has saved everything; all processes have to call it together.

        Args:
            module: of the run.
            preview_seconds: of each preview.
        """
        if self.metric is not None:
            with module.sampling_weights():
                if module.global_rank == 0:
                    self.check(module.step, module.seconds, min(preview_seconds, default=None))

    def check(self, step: int, seconds: float, preview_seconds: float | None) -> None:
        """Check the model, whose averaged weights are in place, and write the record.

        Args:
            step: of the weights.
            seconds: of the training.
            preview_seconds: of the fastest preview; ``None``: there was none.
        """
        least = MIN_SECONDS if seconds >= LONG_SECONDS else 0.0
        end = time.monotonic() + min(max(MAX_FRACTION * seconds, least), MAX_SECONDS)
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            record = self._measure(replace(self._canary_record(end), step=step), end, preview_seconds)
        self.run.write_record(copying=asdict(record))
        if record.alarm is not False or _finds_canaries(record):
            self.line = record.note

    def _metric(self) -> Copying | None:
        """Return the metric; ``None`` if the check is off or has no meaning for such a run."""
        settings, source = self.setup.settings, self.setup.source
        if not settings.copying_check or settings.fast_dev_run or settings.overfit_items:
            return None
        try:
            metric = metric_class("copying", source, settings.plugins)()
        except UserError:  # conversations
            return None
        if not isinstance(metric, Copying) or metric.unsupported_reason(self.model):
            return None
        metric.max_items = metric.quick_items
        return metric

    def _canary_record(self, end: float) -> CopyingRecord:
        """Return what canaries say, which need no samples, until the time ``end``."""
        source, p = self.setup.source, None
        if not isinstance(source, WithCanaries):
            return CopyingRecord()
        note = ""
        try:
            p = canary_p(self.model, source, self.setup.settings.seed, partial(_check_time, end))
        except OutOfTime:  # nor is there for samples, and the note says so
            pass
        except Exception as error:  # as below
            note = f"canaries were not checked: {_reason(error)}"
        return CopyingRecord(canaries=source.num_canaries, canaries_p=p, note=note)

    def _measure(self, record: CopyingRecord, end: float, preview_seconds: float | None) -> CopyingRecord:
        """Return the record with what samples say, until the time ``end``."""
        assert self.metric is not None
        setup, copies = self.setup, None
        try:
            count = _num_samples(end, preview_seconds, len(setup.prompts))
            self.metric.before_chunk = partial(_check_time, end)
            context = EvalContext(self.model, setup.source, n=count, seed=setup.settings.seed, place=Place())
            copies = self.metric.measure(context)
            note = copies.summary
        except OutOfTime:
            note = "not checked, as it takes too long for so short a training"
        except Exception as error:  # the run itself is finished and saved, and other processes wait
            note = f"not checked: {_reason(error)}"
        note = "; ".join(filter(None, [note, record.note]))
        if _finds_canaries(record):
            found = f"the model remembers its canaries (p = {record.canaries_p:.2g})"
            note = found if copies and copies.alarm is False else f"{note}; {found}"
        return replace(copies.fill(record) if copies else record, note=note)


def _num_samples(end: float, preview_seconds: float | None, num_previews: int) -> int:
    """Return how many samples there is time for. Raises ``OutOfTime`` if they are too few."""
    if preview_seconds is None:
        raise OutOfTime
    budget = SAMPLING_FRACTION * (end - time.monotonic())
    count = int(budget / max(preview_seconds / num_previews, 1e-6))
    if count < MIN_SAMPLES:
        raise OutOfTime
    return min(count, MAX_SAMPLES)


def _check_time(end: float) -> None:
    if time.monotonic() > end:
        raise OutOfTime


def _reason(error: Exception) -> str:
    """Return the message of an error on one line, with its type if it is nobody's mistake."""
    name = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return short_text(f"{name}{error}").rstrip(".: ")


def _finds_canaries(record: CopyingRecord) -> bool:
    return record.canaries_p is not None and record.canaries_p <= ALARM_P
