"""What happens between the steps of a run: numbers, validation, previews, checkpoints, and ending well."""

import math
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch
from lightning.pytorch import Callback, Trainer

from genai.core.batch import Batch
from genai.core.errors import CorruptCheckpoint, RunError
from genai.inference.model import Model
from genai.modalities.base import Modality
from genai.runs.checkpoint import load_checkpoint
from genai.runs.run import Run
from genai.training.config import TrainSettings
from genai.training.interval import Interval
from genai.training.loggers import Logs
from genai.training.module import TrainingModule
from genai.training.progress import Progress


class Stopped(BaseException):
    """The run was told to end by a signal, and has been saved."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Told(Exception):
    """A signal came while the weights were not in their places."""


class Loop(Callback):
    """The rhythm of a run.

    All that is due after a step is done in one place and one order: numbers, validation, checkpoint, preview, end.

    Args:
        moved: called once, after the first step.
    """

    def __init__(
        self,
        run: Run,
        modality: Modality,
        prompts: list[str],
        settings: TrainSettings,
        moved: Callable[[], None] | None = None,
    ) -> None:
        self.run, self.modality, self.prompts, self.moved = run, modality, prompts, moved
        self.log_every, self.validate_every = settings.log_every, settings.validate_every
        self.preview_every = Interval.parse(settings.preview_every, "preview_every")
        self.checkpoint_every = Interval.parse(settings.checkpoint_every, "checkpoint_every")
        self.logs: Logs | None = None
        self.progress = Progress()
        self.saved_step = self.previewed_step = -1
        self.signal: int | None = None
        self.saving = self.complained = False
        self.handlers: dict[int, Any] = {}
        self.times: deque[tuple[int, float]] = deque(maxlen=50)

    def listen(self) -> None:
        """From now on these signals end the run: after the step, the batch or the sample that is under way."""
        if threading.current_thread() is not threading.main_thread():
            return  # Python lets only the main thread listen
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                handler = signal.signal(number, self._on_signal)
                self.handlers.setdefault(number, handler)

    # -- Lightning's moments

    def on_train_start(self, trainer: Trainer, learner: TrainingModule) -> None:  # type: ignore[override]
        self.listen()  # again: Lightning has put its own handler for SIGTERM in between
        now = time.monotonic()
        self.preview_every.start(now, first=10)
        self.checkpoint_every.start(now, first=10)
        unlogged = learner.unlogged
        if trainer.is_global_zero:
            self.logs = Logs(self.run.folder, learner.step - (unlogged is not None))
            self.progress.start(learner)
        self.saved_step = learner.step
        learner.best = min(learner.best, self._best_so_far())
        self.times.append((learner.step, now))
        if unlogged is not None:  # the run was saved while it validated
            self._log(trainer, learner, unlogged, validate=True)

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, learner: TrainingModule, outputs: Any, batch: Batch, index: int
    ) -> None:
        step = learner.step
        self.times.append((step, time.monotonic()))
        if self.moved:
            self.moved()
            self.moved = None
        course, open_ended = learner.course, learner.course.total is None
        course.look_at_clock(step, self._agreed(trainer, learner.seconds) if course.seconds else 0.0)
        begins_to_cool = open_ended and course.total is not None
        finished = course.total is not None and step >= course.total
        values = self._numbers(trainer, learner, batch) if step % self.log_every == 0 or step == 1 or finished else {}
        self._log(trainer, learner, values, validate=step % self.validate_every == 0 or finished)
        self.progress.update(learner, self._speed(len(batch) * trainer.world_size))
        if self._any(trainer, self.signal is not None):
            self._end(trainer, learner)
        if self._due(trainer, self.checkpoint_every, step) or begins_to_cool or finished:
            self._save(trainer, learner)
        if self._due(trainer, self.preview_every, step) or finished:
            self._preview(trainer, learner)
        if finished:
            trainer.should_stop = True

    def on_exception(self, trainer: Trainer, learner: TrainingModule, exception: BaseException) -> None:  # type: ignore[override]
        """Save what can be saved; a run that went wrong in its numbers keeps the checkpoint before."""
        good = learner.between_steps and learner.step > self.saved_step >= 0
        if good and trainer.world_size == 1 and not isinstance(exception, RunError | Stopped):
            self._save(trainer, learner)

    def teardown(self, trainer: Trainer, learner: TrainingModule, stage: str) -> None:  # type: ignore[override]
        self.progress.stop()
        if self.logs:
            self.logs.close()
            self.logs = None
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    # -- what is due

    def _numbers(self, trainer: Trainer, learner: TrainingModule, batch: Batch) -> dict[str, float]:
        speed = self._speed(len(batch) * trainer.world_size)
        return {**learner.logged, "samples_per_s": speed, "memory_mb": memory_mb(learner.device)}

    def _log(self, trainer: Trainer, learner: TrainingModule, values: dict[str, float], validate: bool) -> None:
        """Write the numbers of a step in one row, those of its validation with them.

        What is saved during the validation carries ``values`` along, so that a resumed run makes this row.
        """
        if validate:
            learner.unlogged = values
            values = values | self._validate(trainer, learner)
            learner.unlogged = None
        if values and self.logs:
            self.logs.add(learner.step, values)

    def _validate(self, trainer: Trainer, learner: TrainingModule) -> dict[str, float]:
        self.progress.say("validating")
        try:
            values = learner.validate(between=lambda: self._raise_if_told(trainer))
        except Told:
            self._end(trainer, learner)
        self._tell(learner, values)
        if values["val_loss"] < learner.best:
            learner.best = values["val_loss"]
            self._write(trainer, self.run.best)
            if trainer.is_global_zero:
                self.run.write_record(best={"step": learner.step, "val_loss": learner.best})
        return values

    def _tell(self, learner: TrainingModule, values: dict[str, float]) -> None:
        """One line on the terminal where the method has something to say of its validation, and had not before."""
        complaint = learner.method.complaint({name.removeprefix("val_"): value for name, value in values.items()})
        if complaint and not self.complained:
            self.progress.tell(f"step {learner.step}: {complaint}")
        self.complained = complaint is not None

    def _preview(self, trainer: Trainer, learner: TrainingModule) -> None:
        """Samples of the same prompts and seeds each time, by the first process.

        TensorBoard shows those of the averaged and of the newest weights; files are made of the averaged ones' alone.
        """
        if self.previewed_step == learner.step:
            return
        self.progress.say("preview")
        self.previewed_step = learner.step
        for tag, raw in (("preview/averaged", False), ("preview/newest", True)):
            with learner.sampling_weights(raw), torch.random.fork_rng([]):
                samples = self._samples(learner) if self.logs else None
            if self.logs and samples:
                shown = list(zip(self.prompts, samples, strict=True))
                self.modality.show(self.logs.writer, tag, shown, learner.step)
                self.logs.writer.flush()
                if not raw:
                    self._keep_files(learner.step, shown)

    def _samples(self, learner: TrainingModule) -> list[Any] | None:
        """One of each prompt; ``None`` where a signal came: the other processes hear of it at the next step."""
        model = Model(self.modality, learner.method)
        inits = self.modality.preview_inits(self.prompts, learner.method.spoilt)
        options = self.modality.preview_options(self.prompts)
        each = zip(self.prompts, inits or repeat(None), options or repeat({}), strict=False)
        alike = inits is None and options is None
        streams = [model.stream(self.prompts)] if alike else [model.stream(p, init=i, **o) for p, i, o in each]
        for stream in streams:
            for _ in stream:
                if self.signal is not None:
                    return None
        return [sample for stream in streams for sample in stream.results()]

    def _keep_files(self, step: int, shown: list[tuple[str, Any]]) -> None:
        folder = self.run.folder / "previews" / f"{step:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        for number, (_, media) in enumerate(shown):
            (folder / f"{number:03d}{media.suffix}").write_bytes(media.to_bytes())
        if sheet := self.modality.sheet(shown):
            (folder / f"sheet{sheet.suffix}").write_bytes(sheet.to_bytes())

    def _save(self, trainer: Trainer, learner: TrainingModule) -> None:
        if self.saved_step != learner.step or not self.run.last.exists():
            self._write(trainer, self.run.last)
            self.saved_step = learner.step
        if trainer.is_global_zero:
            self.run.write_record(
                steps=learner.step,
                total_steps=learner.course.total,
                seconds=round(learner.seconds, 3),
                cpu_seconds=round(learner.cpu_seconds, 3),
            )

    def _write(self, trainer: Trainer, path: Path) -> None:
        self.saving = True
        try:
            trainer.save_checkpoint(path)
        finally:
            self.saving = False

    def _end(self, trainer: Trainer, learner: TrainingModule) -> NoReturn:
        self._save(trainer, learner)
        raise Stopped(self.signal or signal.SIGTERM)

    def _raise_if_told(self, trainer: Trainer) -> None:
        """All processes have to come by here equally often."""
        if self._any(trainer, self.signal is not None):
            raise Told

    # -- help

    def _best_so_far(self) -> float:
        """The loss of a good ``best.ckpt``; the checkpoint that a run resumes from may be older than that."""
        try:
            return float(load_checkpoint(self.run.best)["genai"]["best"]) if self.run.best.exists() else math.inf
        except CorruptCheckpoint:
            return math.inf

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.saving:  # what is being written is finished first
            self.signal = self.signal or number
            return
        if self.signal is not None:  # asked twice: do not wait for the step to end
            raise KeyboardInterrupt
        self.signal = number
        self.progress.say("saving" if number == signal.SIGTERM else "saving; Ctrl-C again to give up")

    def _speed(self, examples: int) -> float:
        """Examples a second over the last steps."""
        (first, then), (last, now) = self.times[0], self.times[-1]
        return examples * (last - first) / max(1e-9, now - then)

    def _due(self, trainer: Trainer, every: Interval, step: int) -> bool:
        """Whether it is time by the first process's clock: what is due, all do together."""
        return self._any(trainer, trainer.is_global_zero and every.due(step, time.monotonic()))

    @staticmethod
    def _any(trainer: Trainer, decision: bool) -> bool:
        """Whether any process says so: they have to save and to stop together."""
        return trainer.strategy.reduce_boolean_decision(decision, all=False) if trainer.world_size > 1 else decision

    @staticmethod
    def _agreed(trainer: Trainer, seconds: float) -> float:
        """The first process's clock, for all."""
        return trainer.strategy.broadcast(seconds) if trainer.world_size > 1 else seconds


def memory_mb(device: torch.device) -> float:
    """Peak memory: of the GPU where there is one, else of this process; not a number where neither can be told."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
