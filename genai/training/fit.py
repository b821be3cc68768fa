"""A training run from its composed config to its last checkpoint."""

import os
import signal
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from rich.table import Table

import genai
from genai import checkpoints, runs
from genai.build import build, check, fields
from genai.config import NODES, Composed
from genai.data.base import Source
from genai.errors import Failure, Mistake
from genai.hardware import Hardware
from genai.methods.base import Method
from genai.modalities import cache
from genai.modalities.base import Modality, Packed
from genai.model import build_method, open_checkpoint, parameters
from genai.runs import Run
from genai.training.every import Every
from genai.training.optimizers import MuonAdamW
from genai.training.schedule import Course, Schedule
from genai.training.settings import TrainSettings

SAMPLES_KEPT = "--samples_per_plugin images=200,audio=200,text=200"
"""TensorBoard keeps ten pictures, sounds and texts of a run where it is not told more."""


@dataclass
class Plan:
    """Everything a run needs, checked and built, before there is a trainer or a folder."""

    composed: Composed
    settings: TrainSettings
    hardware: Hardware
    source: Source
    modality: Modality
    train: Packed
    val: Packed
    method: Method
    optimizers: dict[str, MuonAdamW]
    course: Course
    resumed: Run | None
    checkpoint: Path | None


def train(composed: Composed, resumed: Run | None = None) -> Run:
    """Train what ``composed`` describes; go on in ``resumed`` where that is given.

    Raises:
        Mistake: before anything is written. Failure: the run could not go on; its last good checkpoint is kept.
    """
    plan = prepare(composed, resumed)
    first = int(os.environ.get("LOCAL_RANK", "0")) == 0
    if not first:
        return _fit(plan, Run(Path(os.environ["GENAI_RUN"])), first)
    run = resumed or runs.create(Path(plan.settings.runs).expanduser(), _name(composed), composed.folder)
    lock = run.lock()
    try:
        _describe(plan, run)
        os.environ["GENAI_RUN"] = str(run.folder.absolute())
        return _fit(plan, run, first)
    finally:
        lock.release()
        if not any((run.folder / "checkpoints").glob("*.ckpt")):
            _discard(run, composed.folder)


def prepare(composed: Composed, resumed: Run | None = None) -> Plan:
    """Check and build everything but the trainer. Names, types and ranges come first, then devices, then data.

    Raises:
        Mistake: whatever does not fit.
    """
    values = composed.values
    settings = fields(TrainSettings, {key: value for key, value in values.items() if key not in NODES}).checked()
    plugins = settings.plugins
    bases: dict[str, type] = {"modality": Modality, "data": Source, "model": Method, "optimizer": MuonAdamW}
    bases |= {"schedule": Schedule, "trainer": Hardware}
    for key, base in bases.items():
        check(values.get(key) or {}, base, key, plugins)
    Every.parse(settings.preview_every, "preview_every")
    Every.parse(settings.checkpoint_every, "checkpoint_every")
    hardware = build(values["trainer"], Hardware, "trainer").resolve()
    if hardware.strategy == "fsdp" and values["optimizer"].get("matrix_lr", 0) is not None:
        raise Mistake("trainer=fsdp cuts matrices into shards, Muon wants them whole: add optimizer=adamw.")
    torch.set_num_threads(hardware.threads or 1)

    checkpoint, about, weights = _starting_point(settings, resumed)
    if resumed:
        _same_model(values, about)
    source = build(values["data"], Source, "data", plugins=plugins)  # type: ignore[type-abstract]
    modality = build(values["modality"], Modality, "modality", plugins=plugins)  # type: ignore[type-abstract]
    folder = cache.folder()
    if about.get("modality", {}).get("_target_") == values["modality"]["_target_"]:
        modality.restore(about["modality_state"])
    else:
        modality.fit(source.train, folder)
    train_packed, val_packed = modality.pack(source.train, folder), modality.pack(source.val, folder)

    torch.manual_seed(settings.seed)
    method = build_method(values["model"], modality, plugins)
    fields(method.Options, method.sampling, "model.sampling")
    if weights is not None and not resumed:
        _initialise(method, weights, settings.init_from or "")
    optimizers = {
        name: build(values["optimizer"], MuonAdamW, "optimizer", {"module": player})
        for name, player in method.players().items()
    }
    course = _course(settings, build(values["schedule"], Schedule, "schedule"), about if resumed else {})
    return Plan(
        composed,
        settings,
        hardware,
        source,
        modality,
        train_packed,
        val_packed,
        method,
        optimizers,
        course,
        resumed,
        checkpoint,
    )


# ------------------------------------------------------------------------------------------------ where a run starts


def _starting_point(settings: TrainSettings, resumed: Run | None) -> tuple[Path | None, dict[str, Any], Any]:
    """The checkpoint to resume, or whose weights to take over: its path, its description, its weights."""
    if resumed:
        file, state, notes = resumed.load("last")
    elif settings.init_from:
        file, state, notes = open_checkpoint(settings.init_from, root=Path(settings.runs))
    else:
        return None, {}, None
    for note in notes:
        print(f"{note} Using {file.name} of step {state['genai']['step']} instead.", file=sys.stderr)
    return file, state["genai"], state["state_dict"]


def _same_model(values: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Refuse to resume with another model than the run's. Raises ``Mistake`` naming the keys."""
    changed = [
        f"{key}: {was!r} -> {now!r}"
        for node in ("modality", "model")
        for key, was, now in _differences(about[node], values[node], node)
    ]
    if changed:
        raise Mistake(
            f"this does not fit the run to resume ({'; '.join(changed)}). Start a new run, perhaps with init_from=."
        )


def _differences(was: Any, now: Any, path: str) -> list[tuple[str, Any, Any]]:
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        keys = dict.fromkeys([*was, *now])
        return [d for key in keys for d in _differences(was.get(key), now.get(key), f"{path}.{key}")]
    return [] if was == now else [(path, was, now)]


def _initialise(method: Method, weights: Mapping[str, torch.Tensor], name: str) -> None:
    """Start from another run's averaged weights. Raises ``Mistake`` where shapes differ."""
    prefix = "ema.module."
    theirs = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    ours = method.sampled.state_dict()
    for key, value in theirs.items():
        if key not in ours or ours[key].shape != value.shape:
            shape = tuple(ours[key].shape) if key in ours else "nothing"
            raise Mistake(f"init_from={name} does not fit: its {key} is {tuple(value.shape)}, this model has {shape}.")
    method.sampled.load_state_dict(theirs, strict=False)


def _course(settings: TrainSettings, schedule: Schedule, about: Mapping[str, Any]) -> Course:
    """The learning-rate course; that of a run of minutes goes on as it was frozen."""
    was = about.get("course", {})
    if settings.steps is not None:
        if about and settings.steps <= about["step"]:
            raise Mistake(f"this run has done its {about['step']} steps; extend it with steps={about['step'] * 2}.")
        return Course(schedule, total=settings.steps)
    seconds = (settings.minutes or 0) * 60
    if was.get("seconds") == seconds and was.get("total") is not None:
        if about["step"] >= was["total"]:
            raise Mistake(f"this run has done its {about['step']} steps; extend it with steps={about['step'] * 2}.")
        return Course(schedule, was["total"], seconds, was["cooling_from"])
    return Course(schedule, seconds=seconds)


# ------------------------------------------------------------------------------------------------------- running it


def _fit(plan: Plan, run: Run, first: bool) -> Run:
    from genai.training.callbacks import Loop, Stopped
    from genai.training.learner import Learner, Settings

    settings = plan.settings
    values = plan.composed.values
    about = {
        "version": genai.__version__,
        "model": values["model"],
        "modality": values["modality"],
        "modality_state": plan.modality.state(),
        "interface": plan.modality.interface,
    }
    learner = Learner(
        plan.method,
        plan.optimizers,
        plan.train,
        plan.val,
        plan.course,
        Settings(
            settings.batch,
            settings.accumulate,
            settings.seed,
            settings.clip,
            settings.ema,
            settings.workers,
            settings.validate_items,
            about,
        ),
    )
    prompts = list(settings.prompts) or plan.modality.preview_prompts(plan.source.val)
    loop = Loop(
        run,
        plan.modality,
        prompts,
        log_every=settings.log_every,
        validate_every=settings.validate_every,
        preview_every=Every.parse(settings.preview_every, "preview_every"),
        checkpoint_every=Every.parse(settings.checkpoint_every, "checkpoint_every"),
    )
    if first:
        run.write_record(prompts=prompts)
    loop.listen()
    try:
        _trainer(plan.hardware, run, loop).fit(learner, ckpt_path=plan.checkpoint, weights_only=True)
    except Stopped as stopped:
        if first:
            print(f"stopped and saved at step {learner.step}. To go on:\n{resume_command(run)}", flush=True)
        sys.exit(128 + stopped.number)
    except SystemExit:  # Lightning's answer to KeyboardInterrupt
        sys.exit(128 + (loop.signal or signal.SIGINT))
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _is_out_of_memory(error):
            raise
        raise Failure(_out_of_memory(settings)) from error
    if first:
        run.write_record(finished=datetime.now().isoformat(timespec="seconds"))
        _conclude(run, learner.step)
    return run


def _trainer(hardware: Hardware, run: Run, loop: Any) -> Any:
    """Lightning's trainer, quiet and without what the learner does itself."""
    import logging

    from lightning.pytorch import Trainer
    from lightning.pytorch.strategies import FSDPStrategy

    from genai.training.checkpoint_io import SafeCheckpointIO

    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    strategy: Any = {"single": "auto", "ddp": "ddp"}.get(hardware.strategy) or FSDPStrategy(
        use_orig_params=True, state_dict_type="full"
    )
    return Trainer(
        accelerator={"cuda": "gpu"}.get(hardware.accelerator, hardware.accelerator),
        devices=hardware.devices,
        precision=hardware.precision,  # type: ignore[arg-type]
        strategy=strategy,
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
    return (
        f"out of memory with batch={settings.batch} accumulate={settings.accumulate}. Any of these helps:\n"
        f"accumulate={settings.accumulate * 2} (same result, slower), batch={max(1, settings.batch // 2)}, "
        "trainer.precision=bf16-mixed, or a smaller model.network.width"
    )


# ------------------------------------------------------------------------------------------------ what people read


def resume_command(run: Run) -> str:
    """What to type to go on."""
    return f"python -m genai.train resume={_shown(run.folder)}"


def _describe(plan: Plan, run: Run) -> None:
    """Write the run's config and record, and print the table at the start."""
    composed, settings = plan.composed, plan.settings
    (run.folder / "config.yaml").write_text(
        yaml.safe_dump(composed.values, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
    now = datetime.now().isoformat(timespec="microseconds")
    began = {"resumed": [*run.record.get("resumed", []), now]} if plan.resumed else {"started": now}
    run.write_record(
        **began,
        finished=None,
        modality=composed.choices.get("modality"),
        model=composed.choices.get("model"),
        overrides=composed.overrides,
        seed=settings.seed,
        data={
            "description": plan.source.description,
            "train": len(plan.source.train),
            "val": len(plan.source.val),
            "hash": plan.source.train.fingerprint,
            "hash_val": plan.source.val.fingerprint,
            "skipped": list(plan.source.skipped),
        },
        parameters=parameters(plan.method),
        device=plan.hardware.accelerator,
        devices=plan.hardware.devices,
        threads=plan.hardware.threads,
        precision=plan.hardware.precision,
        **runs.surroundings(),
    )
    hardware = plan.hardware
    length = f"{plan.course.total:,} steps" if plan.course.total else f"{(plan.course.seconds or 0) / 60:g} minutes"
    table = Table(show_header=False, box=None, pad_edge=False)
    rows = {
        "modality": composed.choices.get("modality", "?"),
        "model": f"{composed.choices.get('model', '?')}, {parameters(plan.method):,} parameters",
        "data": plan.source.description,
        "device": f"{hardware.accelerator} x {hardware.devices}, {hardware.precision}, {hardware.threads} threads",
        "length": f"{length}, batch {settings.batch}",
        "run": _shown(run.folder),
        "watch": f"tensorboard --logdir {_shown(Path(settings.runs))} {SAMPLES_KEPT}",
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    console = Console(soft_wrap=True)
    console.print(table, markup=False, highlight=False)
    if plan.checkpoint and plan.resumed:
        step = checkpoints.load(plan.checkpoint)["genai"]["step"]
        print(f"resuming from step {step} ({plan.checkpoint.name})", flush=True)
    for line in plan.source.skipped[:5]:
        print(f"skipped: {line}", file=sys.stderr)
    if len(plan.source.skipped) > 5:
        print(f"skipped: {len(plan.source.skipped) - 5} more, named in record.json", file=sys.stderr)


def _conclude(run: Run, step: int) -> None:
    record = run.record
    best = record.get("best")
    print(f"finished {step} steps in {record['seconds']:.0f} s ({record['cpu_seconds']:.0f} CPU s)")
    if best:
        print(f"best      {_shown(run.best)}  (step {best['step']}, val_loss {best['val_loss']:.4f})")
    print(f"sample    python -m genai.sample ckpt={_shown(run.folder)}", flush=True)


def _name(composed: Composed) -> str:
    return f"{composed.choices.get('modality', 'run')}-{composed.choices.get('model', 'model')}"


def _shown(path: Path) -> str:
    """A path as one would type it from here."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path.absolute())


def _discard(run: Run, keep: Path | None) -> None:
    """Remove the folder of a run that never had a checkpoint."""
    import shutil

    shutil.rmtree(run.folder, ignore_errors=True)
    if keep is None and run.folder.parent.is_dir() and not any(run.folder.parent.iterdir()):
        run.folder.parent.rmdir()
