"""A training run from its composed config to its last checkpoint."""

import os
import shutil
import signal
import sys
import warnings
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

import genai
from genai.cli.compose import CommandConfig
from genai.core.device import DeviceConfig, reuse_memory
from genai.core.errors import RunError, UserError
from genai.runs.run import Run, create_run
from genai.training.config import TrainSettings
from genai.training.report import conclude, describe, record, resume_command
from genai.training.setup import TrainingSetup, prepare


def train(composed: CommandConfig, resumed: Run | None = None) -> Run:
    """Train what ``composed`` describes; go on in ``resumed`` where that is given.

    Raises:
        UserError: before anything is written. RunError: the run could not go on; its last good checkpoint is kept.
    """
    plan = prepare(composed, resumed)
    first = int(os.environ.get("LOCAL_RANK", "0")) == 0
    if not first and "GENAI_RUN" not in os.environ:
        raise UserError("LOCAL_RANK is set: trainer=ddp starts its processes itself, without torchrun.")
    if not first:
        return _fit(plan, Run(Path(os.environ["GENAI_RUN"])), first)
    run = resumed or create_run(Path(plan.settings.runs).expanduser(), _name(composed), composed.folder)
    lock = run.lock()
    try:
        run.tidy()
        describe(plan, run)
        if not resumed:
            record(plan, run)
        os.environ["GENAI_RUN"] = str(run.folder.absolute())  # for the processes that a strategy starts
        os.environ["GENAI_RESUMED"] = os.environ["GENAI_RUN"] if resumed else ""
        return _fit(plan, run, first)
    except BrokenPipeError:
        raise
    except OSError as error:
        free = shutil.disk_usage(run.folder).free
        raise RunError(
            f"{error.filename or run.folder}: {error.strerror or error}; {free:,} bytes are free there."
        ) from error
    finally:
        lock.release()
        for name in ("GENAI_RUN", "GENAI_RESUMED"):
            os.environ.pop(name, None)
        if not any((run.folder / "checkpoints").glob("*.ckpt")) and not _has_numbers(run):
            _discard(run, composed.folder)


def _fit(plan: TrainingSetup, run: Run, first: bool) -> Run:
    from genai.training.callbacks import Loop, Stopped
    from genai.training.module import TrainingModule

    learner = TrainingModule(
        plan.method, plan.optimizers, plan.train, plan.val, plan.course, plan.settings, _about(plan)
    )
    moved = partial(record, plan, run) if first and plan.resumed else None
    loop = Loop(run, plan.modality, plan.prompts, plan.settings, moved)
    loop.listen()
    reuse_memory()
    try:
        _trainer(plan.hardware, run, loop, plan.method.partial).fit(
            learner, ckpt_path=plan.checkpoint if plan.resumed else None, weights_only=True
        )
    except Stopped as stopped:
        if first:
            with suppress(BrokenPipeError):  # Ctrl-C ends the reader of a pipe, too
                print(f"stopped and saved at step {learner.step}. To go on:\n{resume_command(run)}", flush=True)
        sys.exit(128 + stopped.number)
    except SystemExit:  # Lightning's answer to KeyboardInterrupt
        sys.exit(128 + (loop.signal or signal.SIGINT))
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _is_out_of_memory(error):
            raise
        raise RunError(_out_of_memory(plan.settings)) from error
    if first:
        run.write_record(finished=datetime.now().isoformat(timespec="seconds"))
        conclude(plan, run, learner.step)
    return run


def _about(plan: TrainingSetup) -> dict[str, Any]:
    """What makes a checkpoint self-describing, in plain types."""
    return {
        "version": genai.__version__,
        "model": plan.composed.values["model"],
        "modality": plan.composed.values["modality"],
        "modality_state": plan.modality.state(),
        "interface": plan.modality.interface,
    }


def _trainer(hardware: DeviceConfig, run: Run, loop: Any, partial: bool) -> Any:
    """Lightning's trainer, quiet and without what the learner does itself."""
    import logging

    from lightning.pytorch import Trainer

    from genai.training.checkpoint_io import SafeCheckpointIO
    from genai.training.fsdp import Sharded

    replicas = "ddp_find_unused_parameters_true" if partial else "ddp"
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    return Trainer(
        accelerator={"cuda": "gpu"}.get(hardware.accelerator, hardware.accelerator),
        devices=hardware.devices,
        precision=hardware.precision,  # type: ignore[arg-type]
        strategy=Sharded() if hardware.strategy == "fsdp" else {"single": "auto"}.get(hardware.strategy, replicas),
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        callbacks=[loop],
        plugins=[SafeCheckpointIO()],
        default_root_dir=run.folder,
    )


def _is_out_of_memory(error: BaseException) -> bool:
    said = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in said or "can't allocate memory" in said


def _out_of_memory(settings: TrainSettings) -> str:
    batch, accumulate = settings.batch, settings.accumulate
    helps = ["trainer.precision=bf16-mixed", "a smaller model.network.width"]
    helps = [f"batch={batch // 2}", *helps] if batch > 1 else [*helps, "a smaller modality.block or modality.size"]
    if accumulate * 2 <= batch:
        helps.insert(0, f"accumulate={accumulate * 2} (the same batch, slower)")
    return f"out of memory with batch={batch} accumulate={accumulate}. Any of these helps:\n{', '.join(helps)}"


def _name(composed: CommandConfig) -> str:
    return f"{composed.choices.get('modality', 'run')}-{composed.choices.get('model', 'model')}"


def _has_numbers(run: Run) -> bool:
    """Whether a step was logged."""
    metrics = run.folder / "metrics.csv"
    return metrics.exists() and metrics.read_text(encoding="utf-8").count("\n") > 1


def _discard(run: Run, keep: Path | None) -> None:
    """Remove the folder of a run that never had a checkpoint."""
    shutil.rmtree(run.folder, ignore_errors=True)
    if keep is None and run.folder.parent.is_dir() and not any(run.folder.parent.iterdir()):
        run.folder.parent.rmdir()
