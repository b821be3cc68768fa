"""The check at the end of a run: does the trained model reproduce its training items? See ``genai.metrics.copying``."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial

import torch

from genai.core.errors import UserError, short_text
from genai.core.place import Place
from genai.data.canaries import WithCanaries
from genai.inference.model import Model
from genai.metrics.base import EvalContext, metric_class
from genai.metrics.canaries import canary_p
from genai.metrics.copying import MAX_P, Copying, CopyingResult
from genai.runs.record import CopyingRecord
from genai.runs.run import Run
from genai.training.module import TrainingModule
from genai.training.setup import TrainingSetup

MAX_FRACTION = 0.05
"""Largest part of the training's time that the check takes."""
MAX_SECONDS = 120.0
"""Longest check: other processes wait for the first one."""
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
                    self.check(module.seconds, min(preview_seconds, default=None))

    def check(self, seconds: float, preview_seconds: float | None) -> None:
        """Check the model, whose averaged weights are in place, and write the record.

        Args:
            seconds: of the training.
            preview_seconds: of the fastest preview; ``None``: there was none.
        """
        end = time.monotonic() + min(MAX_FRACTION * seconds, MAX_SECONDS)
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            record = self._measure(self._canary_record(end), end, preview_seconds)
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
        with suppress(OutOfTime, UserError, RuntimeError, OSError):
            p = canary_p(self.model, source, self.setup.settings.seed, partial(_check_time, end))
        return CopyingRecord(canaries=source.num_canaries, canaries_p=p)

    def _measure(self, record: CopyingRecord, end: float, preview_seconds: float | None) -> CopyingRecord:
        """Return the record with what samples say, until the time ``end``."""
        assert self.metric is not None
        setup, copies = self.setup, None
        try:
            count = _num_samples(end, preview_seconds, len(setup.prompts))
            self.metric.before_chunk = partial(_check_time, end)
            context = EvalContext(self.model, setup.source, n=count, seed=setup.settings.seed, place=Place())
            copies = self.metric.measure(context)
            note = _describe(copies)
        except OutOfTime:
            note = f"not checked, as it takes more than {MAX_FRACTION:.0%} of the training"
        except (UserError, RuntimeError, OSError, MemoryError) as error:  # the run itself is finished and saved
            note = f"not checked: {short_text(str(error)).rstrip('.')}"
        if _finds_canaries(record):
            found = f"the model remembers its canaries (p = {record.canaries_p:.2g})"
            note = found if copies and copies.alarm is False else f"{note}; {found}"
        if copies is None:
            return replace(record, note=note)
        return replace(
            record,
            alarm=copies.alarm,
            copies=copies.copies,
            nearer_train=copies.nearer_train,
            p=copies.p,
            samples=copies.samples,
            train_items=copies.train_items,
            held_out_items=copies.held_out_items,
            note=note,
        )


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


def _describe(found: CopyingResult) -> str:
    """Describe a result on one line."""
    copies = f"{round(found.copies * found.samples):,} of {found.samples:,} samples are copies of training items"
    if found.alarm is False:
        return f"{found.samples:,} samples were compared"
    if found.alarm is None:
        return f"{copies}, which held-out items are too few to test ({found.held_out_items:,})"
    return f"{copies} (p = {found.p:.2g})"


def _finds_canaries(record: CopyingRecord) -> bool:
    return record.canaries_p is not None and record.canaries_p <= MAX_P
