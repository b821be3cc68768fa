"""The check at the end of a run: does the trained model reproduce its training items? See ``genai.metrics.copying``."""

import time
from collections.abc import Sequence
from dataclasses import asdict

import torch

from genai.core.errors import UserError, short_text
from genai.core.place import Place
from genai.data.canaries import WithCanaries
from genai.inference.model import Model
from genai.metrics.base import EvalContext, metric_class
from genai.metrics.canaries import canary_p
from genai.metrics.copying import MAX_P, Copying, CopyingResult
from genai.runs.record import CopyingRecord
from genai.runs.run import Run, shell_path
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
        line: for people, if the model copies or could not be checked; "" otherwise.
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
            preview_seconds: of the latest preview; ``None``: there was none.
        """
        try:
            with torch.random.fork_rng(range(torch.cuda.device_count())):
                record = self._check(min(MAX_FRACTION * seconds, MAX_SECONDS), preview_seconds)
        except OutOfTime:
            record = CopyingRecord(None, note=f"not checked, as it takes more than {MAX_FRACTION:.0%} of the training")
        except (UserError, RuntimeError, OSError, MemoryError) as error:  # the run itself is finished and saved
            record = CopyingRecord(None, note=f"not checked: {short_text(str(error)).rstrip('.')}")
        self.run.write_record(copying=asdict(record))
        if record.alarm is not False or _finds_canaries(record):
            command = f"python -m genai.evaluate ckpt={shell_path(self.run.folder)} metrics=[copying]"
            self.line = f"{'copying':<10}{record.note}: {command}"

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

    def _check(self, budget: float, preview_seconds: float | None) -> CopyingRecord:
        """Return the result. Raises ``OutOfTime`` if it takes longer than ``budget`` seconds."""
        assert self.metric is not None
        setup, end = self.setup, time.monotonic() + budget
        if preview_seconds is None:
            raise OutOfTime
        count = int(SAMPLING_FRACTION * budget / max(preview_seconds / len(setup.prompts), 1e-6))
        if count < MIN_SAMPLES:
            raise OutOfTime

        def check_time() -> None:
            if time.monotonic() > end:
                raise OutOfTime

        self.metric.before_chunk = check_time
        context = EvalContext(
            self.model, setup.source, n=min(count, MAX_SAMPLES), seed=setup.settings.seed, place=Place()
        )
        found = self.metric.measure(context)
        source, p = setup.source, None
        if isinstance(source, WithCanaries):
            p = canary_p(self.model, source, setup.settings.seed, check_time)
        num_canaries = source.num_canaries if isinstance(source, WithCanaries) else 0
        return _record(found, num_canaries, p)


def _record(found: CopyingResult, num_canaries: int, p: float | None) -> CopyingRecord:
    """Return the record of a check."""
    alarm = found.alarm
    copies = f"{round(found.copies * found.samples):,} of {found.samples:,} samples are copies of training items"
    if alarm:
        note = f"{copies} (p = {found.p:.2g})"
    elif alarm is None:
        note = f"{copies}, which held-out items are too few to test ({found.held_out_items:,})"
    else:
        note = f"{found.samples:,} samples were compared"
    record = CopyingRecord(
        alarm,
        found.copies,
        found.nearer_train,
        found.p,
        found.samples,
        found.train_items,
        found.held_out_items,
        num_canaries,
        p,
        note,
    )
    if _finds_canaries(record):
        note = f"{'' if alarm is False else f'{note}; '}the model remembers its canaries (p = {p:.2g})"
    return CopyingRecord(**{**asdict(record), "note": note})


def _finds_canaries(record: CopyingRecord) -> bool:
    return record.canaries_p is not None and record.canaries_p <= MAX_P
