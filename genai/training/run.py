"""Training run, from its config to its last checkpoint."""

import math
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch

from genai.cli.compose import CommandConfig
from genai.cli.exit_codes import output_fails
from genai.core.device import peak_memory_mb, reuse_memory
from genai.core.errors import CorruptCheckpoint, RunError, UserError, short_text
from genai.core.files import read_bytes
from genai.core.filesystem import FULL_DISK
from genai.core.missing_ranks import FAILED, is_group_error, missing_rank_error, set_exit_state
from genai.core.place import LIGHTNING, Place, find_place
from genai.core.process_group import run_local_main_first, run_on_main, set_group_timeout
from genai.inference.labels import NO_LABEL, LabelOptions, create_labeler
from genai.inference.model import Model
from genai.modalities.optional import size_options
from genai.runs.checkpoint import CheckpointHeader
from genai.runs.metrics import read_metrics
from genai.runs.run import LOCK_SECONDS, Run, create_run
from genai.training.base import base_entries
from genai.training.config import TrainSettings
from genai.training.names import run_name
from genai.training.report import print_result, print_setup, resume_command, write_config_and_record
from genai.training.setup import TrainingSetup, prepare_training
from genai.version import __version__


def train(config: CommandConfig, resumed: Run | None = None) -> Run:
    """Train what ``config`` describes, or continue the run ``resumed``.

    Raises:
        UserError: the config is wrong; nothing is written.
        RunError: training failed; the last good checkpoint is kept.
    """
    place = find_place()
    setup = run_local_main_first(place, lambda: prepare_training(config, resumed))
    if config.folder and setup.hardware.num_processes != 1:
        raise UserError("-m trains in one process: leave it out, and start the runs of several devices one by one.")
    if place.launcher == LIGHTNING and "GENAI_RUN" not in os.environ:
        raise UserError("LOCAL_RANK is set, but RANK and WORLD_SIZE are not: a launcher sets all of them.")
    if place.launcher == LIGHTNING:
        return _fit(setup, Run(Path(os.environ["GENAI_RUN"])), place)
    precision = run_on_main(place, lambda: setup.hardware.precision)  # machines may choose differently
    setup.hardware = replace(setup.hardware, precision=precision)
    with ExitStack() as stack:
        run = run_on_main(place, lambda: stack.enter_context(_open_run(setup, config, resumed)))
        return _fit(setup, run, place)


@contextmanager
def _open_run(setup: TrainingSetup, config: CommandConfig, resumed: Run | None) -> Iterator[Run]:
    """Create the folder of a run, or open that of the resumed one, and lock it; remove it if it stays empty."""
    if resumed:
        resumed.check_links()
        read_metrics(resumed.folder / "metrics.csv")
    run = resumed or create_run(Path(setup.settings.runs).expanduser(), run_name(setup.config), config.folder)
    lock = run.lock(LOCK_SECONDS)
    try:
        run.remove_temporary_files()
        print_setup(setup, run)
        if not resumed:
            write_config_and_record(setup, run)
        if not find_place().is_launched:
            os.environ["GENAI_RUN"] = str(run.folder.absolute())  # for the processes that a strategy starts
            os.environ["GENAI_RESUMED"] = os.environ["GENAI_RUN"] if resumed else ""
        yield Run(run.folder.absolute())
    except OSError as error:
        if error.errno not in FULL_DISK or (error.filename is None and output_fails()):
            raise
        free = shutil.disk_usage(run.folder).free
        message = f"{error.filename or run.folder}: {error.strerror}; {free:,} bytes are free there."
        raise RunError(message) from error
    finally:
        lock.release()
        for name in ("GENAI_RUN", "GENAI_RESUMED"):
            os.environ.pop(name, None)
        if not any((run.folder / "checkpoints").glob("*.ckpt")) and not _has_metrics(run):
            _remove_run(run, config.folder)


def _fit(setup: TrainingSetup, run: Run, place: Place) -> Run:
    from genai.training.callbacks import TrainingLoop
    from genai.training.copying_check import CopyingCheck
    from genai.training.dev_run import estimate
    from genai.training.module import TrainingModule
    from genai.training.profiler import ProfilerCallback
    from genai.training.step_decisions import StoppedBySignal

    module = TrainingModule(
        setup.method,
        setup.optimizers,
        setup.train,
        setup.val,
        setup.lr_schedule,
        setup.settings,
        _checkpoint_header(setup),
    )
    on_first_step = partial(write_config_and_record, setup, run) if place.is_first and setup.resumed else None
    copying = CopyingCheck(setup, run)
    labeler = create_labeler(LabelOptions(setup.settings.label)) if place.is_first else NO_LABEL
    loop = TrainingLoop(
        run,
        setup.modality,
        setup.preview,
        setup.prompts,
        setup.settings,
        setup.logger,
        on_first_step,
        labeler.of(Model(setup.modality, setup.method, header=_checkpoint_header(setup))),
        copying,
    )
    loop.install_signal_handlers()
    if setup.hardware.compile:
        setup.method.compile_networks()
    reuse_memory()
    try:
        profilers = [ProfilerCallback(run.folder)] if place.is_first and setup.settings.profile else []
        trainer = _create_trainer(setup, run, place, loop, profilers)
        trainer.fit(module, ckpt_path=setup.checkpoint if setup.resumed else None, weights_only=True)
    except StoppedBySignal as stopped:
        if place.is_first:
            with suppress(BrokenPipeError):  # Ctrl-C also ends the reader of a pipe
                command = resume_command(run, setup.settings.plugins)
                print(f"stopped and saved at step {module.step}. To continue:\n{command}", flush=True)
        sys.exit(128 + stopped.number)
    except SystemExit:  # raised by Lightning after KeyboardInterrupt
        sys.exit(128 + (loop.signal or signal.SIGINT))
    except Exception as error:
        if is_group_error(error):
            command = resume_command(run, setup.settings.plugins)
            hint = f"What was saved is good. To continue:\n{command}" if run.last.exists() else ""
            raise missing_rank_error(error, setup.hardware.timeout, hint) from error
        set_exit_state(FAILED)
        if _is_out_of_memory_error(error):
            raise RunError(_out_of_memory_message(setup.settings, size_options(setup.modality))) from error
        if setup.resumed and not loop.has_started and not isinstance(error, UserError | RunError | OSError):
            reason = short_text(f"{type(error).__name__}: {error}")
            raise CorruptCheckpoint(f"{setup.checkpoint}: a run cannot continue from it ({reason}).") from error
        raise
    if place.is_first:
        if module.step >= (setup.lr_schedule.total or math.inf):  # not after the few steps of fast_dev_run
            run.write_record(finished=datetime.now().isoformat(timespec="seconds"))
        print_result(setup, run, module.step, loop.val_loss, loop.base_val_loss, copying.line)
        if setup.settings.fast_dev_run:
            memory = peak_memory_mb(module.device)
            print(*estimate(setup.settings, setup.lr_schedule.total, loop.durations, memory), sep="\n", flush=True)
    return run


def _checkpoint_header(setup: TrainingSetup) -> CheckpointHeader:
    """Return what makes a checkpoint self-describing, in plain types."""
    return CheckpointHeader(
        version=__version__,
        model=setup.config.nodes["model"],
        modality=setup.config.nodes["modality"],
        modality_state=setup.modality.state(),
        interface=setup.modality.interface,
        step=setup.start,
        adapter=setup.config.values.get("adapter"),
        base=base_entries(setup.base),
        consent=[asdict(voice) for voice in setup.voices],
    )


def _create_trainer(setup: TrainingSetup, run: Run, place: Place, loop: Any, profilers: list[Any]) -> Any:
    """Create Lightning's trainer, quiet and without what ``TrainingModule`` and ``TrainingLoop`` do."""
    import logging

    from lightning.pytorch import Trainer
    from lightning.pytorch.strategies import DDPStrategy

    from genai.training.checkpoint_io import SafeCheckpointIO
    from genai.training.cluster import LaunchedCluster
    from genai.training.fsdp import ShardedStrategy

    hardware = setup.hardware
    timeout = timedelta(minutes=hardware.timeout)
    strategy: Any = "auto"
    if hardware.strategy == "fsdp":
        strategy = ShardedStrategy(timeout=timeout)
    elif hardware.strategy == "ddp":
        strategy = DDPStrategy(find_unused_parameters=setup.method.has_unused_parameters, timeout=timeout)
    plugins: list[Any] = [SafeCheckpointIO(setup.state, loop.saver)]
    if place.is_launched:
        set_group_timeout(timeout)
        plugins.append(LaunchedCluster(place, has_own_device=hardware.devices != place.local_world_size))
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    return Trainer(
        accelerator={"cuda": "gpu"}.get(hardware.accelerator, hardware.accelerator),
        devices=hardware.devices,
        precision=hardware.precision,  # type: ignore[arg-type]
        num_nodes=place.nodes,
        strategy=strategy,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        callbacks=[*profilers, loop],
        plugins=plugins,
        default_root_dir=run.folder,
    )


def _is_out_of_memory_error(error: BaseException) -> bool:
    text = str(error).lower()
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def _out_of_memory_message(settings: TrainSettings, sizes: Sequence[str]) -> str:
    batch, accumulate = settings.batch, settings.accumulate
    hints = ["trainer.precision=bf16-mixed", "a smaller model.network.width"]
    size_hints = [f"a smaller {' or '.join(f'modality.{name}' for name in sizes)}"] if sizes else []
    hints = [f"batch={batch // 2}", *hints] if batch > 1 else [*hints, *size_hints]
    if accumulate * 2 <= batch:
        hints.insert(0, f"accumulate={accumulate * 2} (the same batch, slower)")
    return f"out of memory with batch={batch} accumulate={accumulate}. Any of these helps:\n{', '.join(hints)}"


def _has_metrics(run: Run) -> bool:
    """Return whether a step was logged."""
    metrics = run.folder / "metrics.csv"
    return metrics.is_file() and read_bytes(metrics, "metrics").count(b"\n") > 1


def _remove_run(run: Run, keep: Path | None) -> None:
    """Remove the folder of a run without a checkpoint, and the runs folder if it is empty and not ``keep``."""
    shutil.rmtree(run.folder, ignore_errors=True)
    if keep is None and run.folder.parent.is_dir() and not any(run.folder.parent.iterdir()):
        run.folder.parent.rmdir()
