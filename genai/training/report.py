"""What people read of a run: its config and record on disk, the table at its start, the lines at its end."""

import sys
from datetime import datetime
from pathlib import Path

import yaml

from genai.inference.model import parameters
from genai.runs.checkpoint import atomic_write
from genai.runs.run import Run, environment_info, shell_path
from genai.training.setup import TrainingSetup

SAMPLES_KEPT = "--samples_per_plugin images=200,audio=200,text=200"
"""TensorBoard keeps ten pictures, sounds and texts of a run where it is not told more."""


FEW = 8
"""Held-out examples that are too few to judge by."""


def resume_command(run: Run) -> str:
    """What to type to go on."""
    return f"python -m genai.train resume={shell_path(run.folder)}"


def record(plan: TrainingSetup, run: Run) -> None:
    """Write what the run was asked for, and what it runs on. One that is resumed keeps the old until it has moved."""
    composed = plan.composed
    config = yaml.safe_dump(composed.values, sort_keys=False, allow_unicode=True)
    atomic_write(run.folder / "config.yaml", config)
    now = datetime.now().isoformat(timespec="microseconds")
    began = {"resumed": [*run.record.get("resumed", []), now]} if plan.resumed else {"started": now}
    run.write_record(
        **began,
        finished=None,
        modality=composed.choices.get("modality"),
        model=composed.choices.get("model"),
        overrides=[word for word in composed.overrides if "=" in word or word.startswith("~")],
        seed=plan.settings.seed,
        data={
            "description": plan.source.description,
            "train": len(plan.source.train),
            "val": len(plan.source.val),
            "hash": plan.source.train.fingerprint,
            "hash_val": plan.source.val.fingerprint,
            "skipped": list(plan.source.skipped),
        },
        prompts=plan.prompts,
        parameters=parameters(plan.method),
        device=plan.hardware.accelerator,
        devices=plan.hardware.devices,
        threads=plan.hardware.threads,
        precision=plan.hardware.precision,
        **environment_info(),
    )


def describe(plan: TrainingSetup, run: Run) -> None:
    """Print the table at the start."""
    composed, settings = plan.composed, plan.settings
    hardware = plan.hardware
    length = f"{plan.course.total:,} steps" if plan.course.total else f"{(plan.course.seconds or 0) / 60:g} minutes"
    rows = {
        "modality": composed.choices.get("modality", "?"),
        "model": f"{composed.choices.get('model', '?')}, {parameters(plan.method):,} parameters",
        "data": plan.source.description,
        "device": f"{hardware.accelerator} x {hardware.devices}, {hardware.precision}, {hardware.threads} threads",
        "length": f"{length}, batch {settings.batch}",
        "run": shell_path(run.folder),
        "watch": f"tensorboard --logdir {shell_path(Path(settings.runs))} {SAMPLES_KEPT}",
    }
    for name, value in rows.items():
        print(f"{name:<10}{value}", flush=True)
    if plan.checkpoint and plan.resumed:
        print(f"resuming from step {plan.start} ({plan.checkpoint.name})", flush=True)
    if len(plan.val) < FEW:
        print(f"held-out examples: only {len(plan.val)}; val_loss, and so `best`, says little", file=sys.stderr)
    for line in plan.source.skipped[:5]:
        print(f"skipped: {line}", file=sys.stderr)
    if len(plan.source.skipped) > 5:
        print(f"skipped: {len(plan.source.skipped) - 5} more, named in record.json", file=sys.stderr)


def conclude(plan: TrainingSetup, run: Run, step: int) -> None:
    """Print what the run came to, and what to type next."""
    record = run.record
    best = record.get("best")
    print(f"finished {step} steps in {record['seconds']:.0f} s ({record['cpu_seconds']:.0f} CPU s)")
    if best:
        print(f"best      {shell_path(run.best)}  (step {best['step']}, val_loss {best['val_loss']:.4f})")
    given = f" {needed}=FILE" if (needed := plan.modality.needs) else ""
    print(f"sample    python -m genai.sample ckpt={shell_path(run.folder)}{given}", flush=True)
