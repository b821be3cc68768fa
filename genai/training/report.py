"""Report of a run: its config and record on disk, the table at its start, the lines at its end."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import yaml

from genai.core.data import packed_captions
from genai.core.files import write_file
from genai.core.place import job_id
from genai.core.terminal import one_line
from genai.data.canaries import without_canaries
from genai.data.origin import data_license, data_name
from genai.inference.base import describe_base
from genai.inference.data_card import data_card, format_data_card
from genai.inference.data_summary import DATA_CARD
from genai.inference.known_prompts import count_prompts
from genai.inference.model import count_parameters
from genai.methods.base import Method
from genai.modalities.optional import has_chat_template, required_option, target_parts
from genai.runs.run import Run, environment_info, shell_path
from genai.training.config import TrainSettings
from genai.training.setup import TrainingSetup
from genai.training.targets import mark_targets

MIN_VAL_EXAMPLES = 8
"""Fewer held-out examples give a warning."""
NUM_EXAMPLES = 3
"""Training examples that are shown if only a part of them is learned."""
MAX_LINES = 5
"""Lines about files that are printed; all are in ``record.json``."""


def resume_command(run: Run, plugins: Sequence[str] = ()) -> str:
    """Return the command that continues the run."""
    return f"python -m genai.train resume={shell_path(run.folder)}{_plugins_word(plugins)}"


def _plugins_word(plugins: Sequence[str]) -> str:
    """Return the word that later commands need to use the same packages."""
    return f" plugins='[{','.join(plugins)}]'" if plugins else ""


def write_config_and_record(setup: TrainingSetup, run: Run) -> None:
    """Write config, data card, data, hardware and versions; for a resumed run only after its first step."""
    config = setup.config
    text = yaml.safe_dump(config.values, sort_keys=False, allow_unicode=True)
    write_file(run.folder / "config.yaml", text, run.folder)
    card = data_card(setup.source)
    write_file(run.folder / DATA_CARD, json.dumps(card, indent=2, ensure_ascii=False) + "\n", run.folder)
    write_file(run.folder / "data_card.md", format_data_card(card), run.folder)
    now = datetime.now().isoformat(timespec="microseconds")
    source = setup.settings.init_from
    base = setup.base or (describe_base(source, setup.checkpoint) if source else None)
    start_time = {"resumed": [*run.record.resumed, now]} if setup.resumed else {"started": now}
    run.write_record(
        **start_time,
        finished=None,
        copying=None,
        modality=config.choices.get("modality"),
        model=config.choices.get("model"),
        method=config.choices.get("method") if config.values.get("method") is not None else None,
        can_sample=setup.method.can_sample,
        overrides=[word for word in config.overrides if "=" in word or word.startswith("~")],
        seed=setup.settings.seed,
        **({} if base is None else {"base": asdict(base)}),
        data={
            "name": data_name(setup.source),
            "license": data_license(setup.source),
            "description": setup.source.description,
            "train": len(setup.source.train),
            "val": len(setup.source.val),
            "hash": setup.source.train.content_hash,
            "hash_val": setup.source.val.content_hash,
            "skipped": list(setup.source.skipped),
            "notes": list(setup.source.file_notes),
        },
        consent=[asdict(voice) for voice in setup.voices],
        prompts=setup.prompts,
        known_prompts=asdict(count_prompts(without_canaries(setup.source, packed_captions(setup.train)))),
        parameters=count_parameters(setup.method),
        device=setup.hardware.accelerator,
        devices=setup.hardware.num_processes,
        job=job_id(),
        threads=setup.hardware.threads,
        precision=setup.hardware.precision,
        **environment_info(),
    )


def print_setup(setup: TrainingSetup, run: Run) -> None:
    """Print the table at the start."""
    config, settings = setup.config, setup.settings
    hardware, lr_schedule = setup.hardware, setup.lr_schedule
    num_processes = hardware.num_processes
    debug = f"{settings.fast_dev_run} steps of " if settings.fast_dev_run else ""
    length = f"{lr_schedule.total:,} steps" if lr_schedule.total else f"{(lr_schedule.seconds or 0) / 60:g} minutes"
    rows = {
        "modality": config.choices.get("modality", "?"),
        "method": config.choices.get("method") if config.values.get("method") is not None else "",
        "model": f"{config.choices.get('model', '?')}, {_parameters(setup.method)}",
        "from": setup.base and shell_path(Path(setup.base.path)),
        "data": setup.source.description,
        "packed": getattr(setup.train, "summary", ""),
        "seen as": "; ".join(filter(None, (setup.modality.description, setup.modality.fitting))),
        "voices": "; ".join(map(str, setup.voices)),
        "device": f"{hardware.accelerator} x {num_processes}, {hardware.precision}, {hardware.threads} threads",
        "length": f"{debug}{length}, batch {_batch(settings, num_processes)}",
        "run": shell_path(run.folder),
        "watch": setup.logger.watch_command(shell_path(Path(settings.runs).expanduser())),
    }
    for name, value in rows.items():
        if not value:
            continue
        print(one_line(f"{name:<10}{value}"), flush=True)
    if not setup.resumed:
        for number in range(min(NUM_EXAMPLES, len(setup.source.train))):
            media = setup.source.train[number * len(setup.source.train) // NUM_EXAMPLES].media
            if parts := target_parts(setup.modality, media):
                print(f"{'learned' if number == 0 else '':<10}{mark_targets(parts, sys.stdout.isatty())}", flush=True)
    if setup.checkpoint and setup.resumed:
        print(f"resuming from step {setup.start} ({setup.checkpoint.name})", flush=True)
    if len(setup.val) < MIN_VAL_EXAMPLES:
        examples = f"{len(setup.val)} held-out example{'s' * (len(setup.val) != 1)}"
        print(f"only {examples}: val_loss, and so `best`, is unreliable", file=sys.stderr)
    for kind, lines in (("skipped", setup.source.skipped), ("note", setup.source.file_notes)):
        for line in lines[:MAX_LINES]:
            print(one_line(f"{kind}: {line}"), file=sys.stderr)
        if len(lines) > MAX_LINES:
            print(f"{kind}: {len(lines) - MAX_LINES} more, named in record.json", file=sys.stderr)


def _batch(settings: TrainSettings, num_processes: int) -> str:
    """Describe how many examples a step sees."""
    batch, ranks = settings.batch, settings.virtual_ranks
    if ranks > 1:
        return f"{batch}, in {ranks} virtual ranks: the same run on any number of processes that divides them"
    if num_processes == 1:
        return f"{batch}"
    return f"{batch} in each of {num_processes} processes, {batch * num_processes} in all"


def _parameters(method: Method) -> str:
    """Describe the number of parameters, and how many of them are trained."""
    trained, total = count_parameters(method), sum(parameter.numel() for parameter in method.parameters())
    return f"{total:,} parameters" if trained == total else f"{total:,} parameters, of which {trained:,} are trained"


def print_result(
    setup: TrainingSetup,
    run: Run,
    step: int,
    val_loss: float,
    base_val_loss: float | None = None,
    copying_line: str = "",
) -> None:
    """Print the result of the run and the command that samples from it; ``val_loss`` is the latest."""
    record = run.record
    energy = f", {record.energy}" if record.energy else ""
    print(f"finished {step} steps in {record.seconds:.0f} s ({record.cpu_seconds:.0f} CPU s{energy})")
    if best := record.best:
        print(f"best      {shell_path(run.best)}  (step {best.step}, val_loss {best.val_loss:.4f})")
        if best.step < step and val_loss > best.val_loss:
            note = f" (of {len(setup.val)} held-out examples only)" if len(setup.val) < MIN_VAL_EXAMPLES else ""
            print(f"newest    {shell_path(run.last)}  (step {step}, val_loss {val_loss:.4f}: it rose{note})")
            print(f"          ckpt={shell_path(run.last)} samples from it: compare both", flush=True)
        if base_val_loss is not None and best.val_loss >= base_val_loss and len(setup.val) >= MIN_VAL_EXAMPLES:
            print(
                f"base      val_loss {base_val_loss:.4f}: no checkpoint is better. Try a lower optimizer.lr=",
                flush=True,
            )
    if not setup.method.can_sample:
        return
    option = f" {name}=FILE" if (name := required_option(setup.modality)) else ""
    words = f"{option}{_plugins_word(setup.settings.plugins)}"
    command = "genai chat" if has_chat_template(setup.modality) else "genai.sample"
    print(f"{command[6:]:<10}python -m {command} ckpt={shell_path(run.folder)}{words}", flush=True)
    if copying_line:
        check = f"python -m genai.evaluate ckpt={shell_path(run.folder)} metrics=[copying]"
        print(one_line(f"copying   {copying_line}: {check}{_plugins_word(setup.settings.plugins)}"), flush=True)
