"""Callback between the steps of a run: metrics, validation, previews, checkpoints, and a clean stop on signals."""

import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from itertools import repeat
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any, NoReturn

import torch
from lightning.pytorch import Callback, Trainer

from genai.core.device import peak_memory_mb
from genai.core.energy import Energy
from genai.core.errors import NonFiniteOutput, RunError
from genai.core.missing_ranks import is_group_error
from genai.core.process_group import reduce_max
from genai.inference.labels import NO_LABEL, Labeler
from genai.inference.model import Model
from genai.modalities.base import Modality
from genai.modalities.preview import Preview
from genai.runs.run import Run
from genai.training.checkpoint_saver import CheckpointSaver
from genai.training.config import TrainSettings
from genai.training.copying_check import CopyingCheck
from genai.training.interval import Interval
from genai.training.loggers import Logger, RunLogger
from genai.training.module import TrainingModule
from genai.training.progress import TrainingProgress
from genai.training.step_decisions import SignalReceived, StepDecisions, StoppedBySignal
from genai.training.time_left import Pause, Speed, seconds_left

MIN_INCREASE = 0.03
"""Increase of the validation loss above its lowest value, as a fraction of it, from which a run says it overfits."""

MAX_WARNINGS = 20
"""Newest warnings that a record keeps."""


class TrainingLoop(Callback):
    """Does everything that is due after a step, in this order: metrics, validation, checkpoint, preview, end.

    Args:
        on_first_step: called once, after the first step.
        labeler: labels the files of previews.
        copying: looks for copies of training items at the end.
    """

    def __init__(
        self,
        run: Run,
        modality: Modality,
        preview: Preview,
        prompts: list[str],
        settings: TrainSettings,
        logger: Logger,
        on_first_step: Callable[[], None] | None = None,
        labeler: Labeler = NO_LABEL,
        copying: CopyingCheck | None = None,
    ) -> None:
        self.labeler, self.copying = labeler, copying
        self.run, self.modality, self.on_first_step = run, modality, on_first_step
        self.preview, self.prompts = preview, prompts
        self.logger, self.max_steps = logger, settings.fast_dev_run or math.inf
        self.stop_step = math.inf
        self.durations = {name: deque[float](maxlen=50) for name in ("step", "validation", "preview", "checkpoint")}
        self.speed = Speed()
        self.step_start = 0.0
        self.log_every, self.val_every = settings.log_every, settings.val_every
        self.preview_every = Interval.parse(settings.preview_every, "preview_every")
        self.checkpoint_every = Interval.parse(settings.checkpoint_every, "checkpoint_every")
        self.logs: RunLogger | None = None
        self.progress = TrainingProgress()
        self.saver = CheckpointSaver()
        self.last_saved_step = self.last_preview_step = -1
        self.val_loss = math.nan  # of the latest validation
        self.base_val_loss: float | None = None
        self.previous_energy = Energy()
        self.signal: int | None = None
        self.is_saving = self.has_warned = self.has_warned_overfit = self.has_started = False
        self.handlers: dict[int, Any] = {}

    def install_signal_handlers(self) -> None:
        """Stop the run on signals, after the current step, validation batch or preview sample."""
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread can set signal handlers
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK", "SIGUSR1", "SIGUSR2"):  # not every system has all
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                handler = signal.signal(number, self._on_signal)
                self.handlers.setdefault(number, handler)

    # -- Lightning hooks

    def on_train_start(self, trainer: Trainer, module: TrainingModule) -> None:  # type: ignore[override]
        self.has_started = True
        self.install_signal_handlers()  # again, because Lightning has set its own handler for SIGTERM
        now = time.monotonic()
        self.preview_every.start(now, first=10)
        self.checkpoint_every.start(now, first=10)
        pending_metrics = module.pending_metrics
        if trainer.is_global_zero:
            self.previous_energy = self.run.record.energy or Energy()
            step = module.step - (pending_metrics is not None)
            self.logs = RunLogger(self.run.folder, step, self.logger, module.log_prefixes)
            self.progress.start(module)
        self.last_saved_step = module.step
        module.best_val_loss = min(module.best_val_loss, self.run.best_saved_loss)
        self.step_start, self.stop_step = now, module.step + self.max_steps
        if pending_metrics is not None:  # the run was saved during validation
            self._log(trainer, module, pending_metrics, validate=True)
        if (module.header.base or module.settings.init_from) and module.step == 0:
            self._validate_base(trainer, module)

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, module: TrainingModule, outputs: Any, batch: Any, index: int
    ) -> None:
        step, step_end = module.step, time.monotonic()
        if self.on_first_step:
            self.on_first_step()
            self.on_first_step = None
        lr_schedule, had_no_end = module.lr_schedule, module.lr_schedule.total is None
        decisions = self._step_decisions(trainer, module)
        self._finish_saves(wait=decisions.has_failed)
        lr_schedule.update_estimate(step, decisions.seconds if lr_schedule.seconds else 0.0)
        cooldown_starts = had_no_end and lr_schedule.total is not None
        finished = step >= self.stop_step or (lr_schedule.total is not None and step >= lr_schedule.total)
        self.durations["step"].append(step_end - self.step_start)
        self.speed.add(batch if isinstance(batch, list) else [batch], step_end - self.step_start, trainer.world_size)
        log_step = step % self.log_every == 0 or step == 1 or finished
        if log_step:
            module.average_step_metrics()
        metrics = self._collect_metrics(module) if log_step else {}
        self._log(trainer, module, metrics, validate=step % self.val_every == 0 or finished)
        self.progress.update(module, self.speed.examples_per_second, self._seconds_left(module))
        for warning in module.method.step_warnings(module.step_metrics):
            self.progress.print_line(f"step {step}: {warning}")
        if decisions.signal:
            self.signal = decisions.signal
            self._stop(trainer, module)
        if decisions.save or cooldown_starts or finished:
            self._save(trainer, module)
        if decisions.preview or finished:
            self._preview(trainer, module)
        if finished:
            self._finish_saves(wait=True)
            if self.copying:
                self.copying.at_end(module, self.durations["preview"])
            trainer.should_stop = True
        self.step_start = time.monotonic()

    def on_exception(self, trainer: Trainer, module: TrainingModule, exception: BaseException) -> None:  # type: ignore[override]
        """Save the run if its state is consistent; after a ``RunError`` the previous checkpoint is kept."""
        can_save = module.between_steps and module.step > self.last_saved_step >= 0
        with suppress(RunError, RuntimeError):  # the exception says more; the latter if another process is gone
            if can_save and trainer.world_size == 1 and not isinstance(exception, RunError | StoppedBySignal):
                self._save(trainer, module)
            if not is_group_error(exception):  # else shards wait for a process that is missing
                self._finish_saves(wait=True)

    def teardown(self, trainer: Trainer, module: TrainingModule, stage: str) -> None:  # type: ignore[override]
        self.progress.stop()
        if self.logs:
            self.logs.close()
            self.logs = None
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    # -- tasks after a step

    def _collect_metrics(self, module: TrainingModule) -> dict[str, float]:
        return {**module.step_metrics, **self.speed.report(), "memory_mb": peak_memory_mb(module.device)}

    def _log(self, trainer: Trainer, module: TrainingModule, metrics: dict[str, float], validate: bool) -> None:
        """Write the metrics of a step, with those of its validation, as one row.

        A checkpoint that is saved during validation contains ``metrics``, so that the resumed run writes this row.
        """
        if validate:
            module.pending_metrics = metrics
            metrics = metrics | self._validate(trainer, module)
            module.pending_metrics = None
        if metrics and self.logs:
            self.logs.add(module.step, metrics)

    def _validate(self, trainer: Trainer, module: TrainingModule) -> dict[str, float]:
        self.progress.set_status("validating")
        try:
            with self._timed("validation"):
                metrics = module.validate(before_batch=lambda: self._raise_on_signal(trainer))
        except SignalReceived:
            self._stop(trainer, module)
        self._print_validation_lines(module, metrics)
        self._print_overfit(module, metrics["val_loss"])
        self.val_loss = metrics["val_loss"]
        if metrics["val_loss"] < module.best_val_loss:
            module.best_val_loss = metrics["val_loss"]
            self._save_checkpoint(trainer, module, self.run.best)
            if trainer.is_global_zero:
                best = {"step": module.step, "val_loss": module.best_val_loss}
                self.saver.when_saved(partial(self.run.write_record, best=best))
        return metrics

    def _validate_base(self, trainer: Trainer, module: TrainingModule) -> None:
        """Print the loss of the model that the run begins with."""
        self.progress.set_status("validating")
        try:
            metrics = module.validate(before_batch=lambda: self._raise_on_signal(trainer))
        except SignalReceived:
            self._stop(trainer, module)
        self.base_val_loss = metrics["val_loss"]
        self.progress.print_line(f"val_loss of the base: {self.base_val_loss:.4f}")
        if self.preview.shows_base:
            self._preview(trainer, module)

    def _print_validation_lines(self, module: TrainingModule, metrics: dict[str, float]) -> None:
        """Print the method's summary of its validation losses. Warn, unless the previous validation had a warning."""
        losses = {name.removeprefix("val_"): value for name, value in metrics.items()}
        warning = module.method.health_warning(losses)
        if summary := module.method.validation_summary(losses):
            self.progress.print_line(f"step {module.step}: {summary}")
        if warning and not self.has_warned:
            self._warn(f"step {module.step}: {warning}")
        self.has_warned = warning is not None

    def _print_overfit(self, module: TrainingModule, val_loss: float) -> None:
        """Say once that the validation loss has risen clearly. The losses of several networks mean other things."""
        best = module.best_val_loss
        if module.method.handles_overfit:
            return
        if val_loss - best > MIN_INCREASE * abs(best) and not module.log_prefixes and not self.has_warned_overfit:
            self.has_warned_overfit = True
            self._warn(
                f"step {module.step}: val_loss {val_loss:.4f} has risen from {best:.4f}: the model overfits. "
                "best.ckpt stays that of the lowest loss; more data, or a shorter run, helps"
            )

    def _warn(self, line: str) -> None:
        """Print a line and keep it in the record."""
        self.progress.print_line(line)
        if self.logs:
            self.run.write_record(warnings=[*self.run.record.warnings, line][-MAX_WARNINGS:])

    def _preview(self, trainer: Trainer, module: TrainingModule) -> None:
        """Sample the same prompts and seeds each time, in the first process.

        Files are of the averaged weights; a logger that shows samples gets those of the current weights, too.
        """
        if self.last_preview_step == module.step or not module.method.has_previews:
            return
        self.progress.set_status("preview")
        self.last_preview_step = module.step
        with self._timed("preview"):
            self._log_previews(module)

    def _log_previews(self, module: TrainingModule) -> None:
        newest = [("preview/newest", True)] if self.logger.shows_samples else []
        for tag, raw in [("preview/averaged", False), *newest]:
            with module.sampling_weights(raw), torch.random.fork_rng([]):
                samples = self._try_previews(module) if self.logs else None
            if self.logs and samples:
                previews = list(zip(self.prompts, samples, strict=True))
                if writer := self.logs.writer:
                    self.preview.log(writer, tag, previews, module.step)
                    writer.flush()
                if not raw:
                    folder = self.run.folder / "previews" / f"{module.step:08d}"
                    self.preview.write(folder, previews, self.labeler.try_encode)

    def _try_previews(self, module: TrainingModule) -> list[Any] | None:
        """Return the samples of ``_sample_previews``; ``None``, with a message, if the model computes no numbers."""
        try:
            return self._sample_previews(module)
        except NonFiniteOutput as error:
            self.progress.print_line(f"step {module.step}: no preview, because {error}")
            return None

    def _sample_previews(self, module: TrainingModule) -> list[Any] | None:
        """Sample one preview per prompt; ``None`` after a signal, which other processes see at the next step."""
        model = Model(self.modality, module.method)
        inits = self.preview.inits(self.prompts, module.method.degrade)
        options = self.preview.options(self.prompts)
        if inits is None and options is None:
            streams = [model.stream(self.prompts)]
        else:
            requests = zip(self.prompts, inits or repeat(None), options or repeat({}), strict=False)
            streams = [model.stream(prompt, init=init, **kwargs) for prompt, init, kwargs in requests]
        for stream in streams:
            for _ in stream:
                if self.signal is not None:
                    return None
        return [sample for stream in streams for sample in stream.results()]

    def _save(self, trainer: Trainer, module: TrainingModule) -> None:
        """Save ``last.ckpt``: copy the state, which is written while training goes on."""
        if self.last_saved_step == module.step:
            self._finish_saves(wait=True)
        if self.last_saved_step != module.step or not self.run.last.exists():
            with self._timed("checkpoint"):
                self._save_checkpoint(trainer, module, self.run.last)
            self.last_saved_step = module.step
        if trainer.is_global_zero:
            values: dict[str, Any] = {"steps": module.step, "total_steps": module.lr_schedule.total}
            values |= {"seconds": round(module.seconds, 3), "cpu_seconds": round(module.cpu_seconds, 3)}
            values["energy"] = asdict(self.previous_energy + module.energy)
            self.saver.when_saved(partial(self.run.write_record, **values))

    def _finish_saves(self, wait: bool) -> None:
        """Record what was saved since the last call, or ``wait`` for it. Raises ``RunError`` if it was not."""
        self.is_saving = True
        try:
            if wait:
                self.saver.wait()
            self.saver.check()
        finally:
            self.is_saving = False

    def _save_checkpoint(self, trainer: Trainer, module: TrainingModule, path: Path) -> None:
        self.is_saving = True
        try:
            module.sum_cpu_seconds()
            trainer.save_checkpoint(path)
        finally:
            self.is_saving = False

    def _stop(self, trainer: Trainer, module: TrainingModule) -> NoReturn:
        self._save(trainer, module)
        self._finish_saves(wait=True)
        raise StoppedBySignal(self.signal or signal.SIGTERM)

    def _raise_on_signal(self, trainer: Trainer) -> None:
        """Raise ``SignalReceived`` if any process got a signal; all processes have to call this equally often."""
        number = int(reduce_max([float(self.signal or 0)], trainer.strategy.root_device)[0])
        if number:
            self.signal = number
            raise SignalReceived

    # -- helpers

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.durations[name].append(time.monotonic() - start)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.is_saving:  # finish writing first
            self.signal = self.signal or number
            return
        if self.signal is not None:
            if number == signal.SIGINT:  # a second Ctrl-C does not wait for the step; a cluster may repeat itself
                raise KeyboardInterrupt
            return
        self.signal = number
        self.progress.set_status("saving" if number == signal.SIGTERM else "saving; Ctrl-C again to stop at once")

    def _seconds_left(self, module: TrainingModule) -> float:
        """Estimate the seconds to the end of the run; NaN if they are unknown."""
        intervals = {"validation": Interval(steps=self.val_every), "preview": self.preview_every}
        intervals["checkpoint"] = self.checkpoint_every
        durations = {name: self.durations[name] for name in intervals if self.durations[name]}
        lr_schedule, total = module.lr_schedule, min(module.lr_schedule.total or math.inf, self.stop_step)
        return seconds_left(
            module.step,
            None if total == math.inf else int(total),
            module.seconds,
            lr_schedule.seconds if self.stop_step == math.inf else None,
            self.speed.seconds_per_step,
            [Pause(intervals[name], median(values)) for name, values in durations.items()],
        )

    def _step_decisions(self, trainer: Trainer, module: TrainingModule) -> StepDecisions:
        """Return what all processes do after a step, in one reduction.

        The clock of the first one decides; a signal to any of them stops all, because they save together.
        """
        step, now, is_first = module.step, time.monotonic(), trainer.is_global_zero
        is_due = [is_first and interval.is_due(step, now) for interval in (self.checkpoint_every, self.preview_every)]
        flags = [float(flag) for flag in (*is_due, self.saver.has_failed)]
        values = reduce_max([float(self.signal or 0), *flags, module.seconds if is_first else 0.0], module.device)
        return StepDecisions(int(values[0]), bool(values[1]), bool(values[2]), bool(values[3]), values[4])
