"""Start of a run from a checkpoint: loading its parts, and comparing a resumed run with the current config."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from genai.cli.compose import CommandConfig, override_key
from genai.core.data import Source
from genai.core.device import DeviceConfig
from genai.core.errors import CorruptCheckpoint, UserError, short_text
from genai.core.instantiate import instantiate
from genai.core.old_names import OPTIMIZER_DEFAULTS
from genai.core.place import find_place
from genai.core.renamed import current_config, current_node
from genai.core.terminal import one_line
from genai.inference.stored_model import open_checkpoint
from genai.methods.base import Method
from genai.modalities.base import Modality
from genai.modalities.optional import compatible_modalities
from genai.runs.checkpoint import Check, CheckpointHeader
from genai.runs.record import config_differences
from genai.runs.run import Run
from genai.training.config import TrainSettings
from genai.training.optimizers import MuonAdamW
from genai.training.schedule import LRSchedule, Schedule

MIN_RATE_RATIO = 1.5
"""Factor by which a learning rate rises at a resume if it is mentioned."""
MAX_CHANGES = 40
"""Changes that are named in one line."""


def load_start(
    settings: TrainSettings, resumed: Run | None, check_resumed: Check
) -> tuple[Path | None, dict[str, Any]]:
    """Load the checkpoint to resume, if it passes a check, or to initialize from; return path and content.

    ``(None, {})`` for a new run without either.
    """
    if resumed:
        file, state, notes = resumed.load("last", check=check_resumed)
    elif settings.init_from:
        file, state, notes = open_checkpoint(settings.init_from, root=Path(settings.runs))
        if CheckpointHeader.read(state).adapter is not None:
            raise UserError(
                f"init_from={settings.init_from} holds an adapter, not a whole model. Add adapter=lora to train "
                "another one on it. To train all weights, export it first: python -m genai export format=genai."
            )
    else:
        return None, {}
    for note in notes:
        print(one_line(f"{note} Using {file.name} of step {state['genai']['step']} instead."), file=sys.stderr)
    return file, state


def restore_modality(modality: Modality, target: str, header: CheckpointHeader | None, file: Path | None) -> bool:
    """Restore tokenizer or statistics from a checkpoint of the same or a compatible modality.

    Returns:
        Whether the checkpoint ``file`` has them.
    """
    node = header and header.modality
    if not header or not node or node.get("_target_") not in (target, *compatible_modalities(modality)):
        return False
    try:
        modality.restore(header.modality_state)
    except (ValueError, UserError) as error:
        raise UserError(f"{file} does not fit: {short_text(str(error)).rstrip('.')}.") from error
    except Exception as error:  # an untrusted description can cause any error
        raise CorruptCheckpoint(f"{file} does not describe its modality ({short_text(str(error))}).") from error
    return True


def with_sampling_of_run(config: CommandConfig, run: Run | None) -> CommandConfig:
    """Return the config of a resumed run with the sampling defaults of its model, which may be others today.

    A word of the command line still counts.
    """
    model, old_model = config.values.get("model"), current_config(run.read_config()).get("model") if run else None
    if not isinstance(model, Mapping) or not isinstance(old_model, Mapping):
        return config
    new, old = model.get("sampling"), old_model.get("sampling")
    words = {override_key(word) for word in config.overrides}
    if not isinstance(new, Mapping) or not isinstance(old, Mapping) or "model.sampling" in words:
        return config
    sampling = {**old, **{key: value for key, value in new.items() if f"model.sampling.{key}" in words}}
    return replace(config, values={**config.values, "model": {**model, "sampling": sampling}})


def check_same_model(values: Mapping[str, Any], header: CheckpointHeader) -> None:
    """Raise ``UserError``, naming the keys, if model or modality differ from those of the checkpoint."""
    nodes = ("modality", "model", "adapter")
    changes = [change for node in nodes for change in config_differences(getattr(header, node), values[node], node)]
    if changes:
        raise UserError(
            f"this does not fit the run to resume ({_join_changes(changes)}). Start a new run, perhaps with init_from=."
        )


def check_same_ranks(values: Mapping[str, Any], run: Run) -> None:
    """Raise ``UserError`` if the run began with another number of virtual ranks."""
    old = current_config(run.read_config() or values).get("virtual_ranks", 1)
    if old != values.get("virtual_ranks", 1):
        raise UserError(
            f"this run began with virtual_ranks={short_text(old)}, which decides what each step sees. "
            f"Leave out virtual_ranks=, or start a new run from the weights: init_from={run.folder}"
        )


def check_same_data(source: Source, run: Run) -> None:
    """Raise ``UserError`` if the data differs from that of the run."""
    data = run.record.data
    if (data.hash, data.hash_val) != (source.train.content_hash, source.val.content_hash):
        raise UserError(
            f"the data is not what this run was trained on ({source.description}; "
            f"it was {short_text(data.description)}).\n"
            f"Restore that data, or start a new run from the weights: init_from={run.folder}"
        )


def print_changes(run: Run, values: Mapping[str, Any], hardware: DeviceConfig) -> None:
    """Print what differs from the run so far, because the resumed run is then not reproduced bit for bit."""
    record = run.record
    before = current_config(run.read_config() or values)
    ignored_keys = ("resume", "init_from", "runs", "plugins", "trainer")
    old_values, new_values = ({k: v for k, v in node.items() if k not in ignored_keys} for node in (before, values))
    for node in (old_values, new_values):
        if isinstance(node.get("optimizer"), Mapping):
            node["optimizer"] = {**OPTIMIZER_DEFAULTS, **node["optimizer"]}
    differences = config_differences(old_values, new_values, "")
    changes = [(key.lstrip("."), old, new) for key, old, new in differences]
    current: dict[str, Any] = {
        "device": hardware.accelerator,
        "devices": hardware.num_processes,
        "threads": hardware.threads,
        "precision": hardware.precision,
    }
    if current["precision"] == "auto" and record.device in (None, "cpu"):  # the run keeps its own
        del current["precision"]
    if values.get("virtual_ranks", 1) > 1:  # the same on any number
        del current["devices"]
    current["torch"], previous = version("torch"), {**vars(record), **record.versions}
    changes += [(key, previous[key], new) for key, new in current.items() if previous.get(key, new) != new]
    if changes and find_place().is_first:
        print(f"changed since this run began: {_join_changes(changes)}", file=sys.stderr, flush=True)
        _print_batch_change(values, record.devices, hardware.num_processes)


def _print_batch_change(values: Mapping[str, Any], old: int | None, new: int) -> None:
    """Say what another number of processes means."""
    batch = values.get("batch")
    if old is None or old == new or not isinstance(batch, int) or values.get("virtual_ranks", 1) > 1:
        return
    sizes = f"a step sees {batch * new:,} examples in place of {batch * old:,}"
    print(f"{sizes}, and its place in the data moves: the run goes on, but not exactly", file=sys.stderr, flush=True)


def _join_changes(changes: Sequence[tuple[str, Any, Any]]) -> str:
    """Describe the first changes, (name, old value, new value); a stranger's run can have any number."""
    parts = [f"{short_text(name)}: {short_text(old)} -> {short_text(new)}" for name, old, new in changes[:MAX_CHANGES]]
    return "; ".join([*parts, *([f"{len(changes) - MAX_CHANGES} more"] if len(changes) > MAX_CHANGES else [])])


def load_initial_weights(method: Method, weights: Mapping[str, torch.Tensor], name: str) -> None:
    """Load the averaged weights of another run into ``method``.

    Raises:
        UserError: shapes differ, or the checkpoint has no averaged weights.
    """
    prefix = "ema.module."
    initial = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    state = method.ema_module.state_dict()
    for key, value in initial.items():
        if key not in state or state[key].shape != value.shape:
            shape = tuple(state[key].shape) if key in state else "nothing"
            raise UserError(
                f"init_from={name} does not fit: its {short_text(key)} is {tuple(value.shape)}, this model has {shape}."
            )
    if not initial:
        raise UserError(f"init_from={name} does not fit: it has no averaged weights.")
    if missing := [key for key in state if key not in initial]:
        print(
            f"init_from={name} does not have {len(missing)} of {len(state)} tensors, such as {missing[0]}.",
            file=sys.stderr,
        )
    method.ema_module.load_state_dict(initial, strict=False)


def print_rate_change(
    run: Run,
    schedule: Schedule,
    lr_schedule: LRSchedule,
    header: CheckpointHeader,
    optimizers: Mapping[str, MuonAdamW],
) -> None:
    """Print by how much the learning rate of a resumed run that had cooled down rises, if it does.

    Args:
        run: the resumed run.
        schedule, lr_schedule: that it has now.
        header: of the checkpoint.
        optimizers: of the networks, by name; the largest of their rates is shown.
    """
    node = current_node(run.read_config().get("schedule"))
    try:
        old_schedule = instantiate(node, Schedule, "schedule") if node else schedule
        before = LRSchedule.from_state(old_schedule, header.course).factor(header.step - 1)
    except UserError:  # the run is older than its parts
        return
    ratio = lr_schedule.factor(header.step - 1) / before if before > 0 else 1.0  # at the same step, without the warm-up
    if ratio > MIN_RATE_RATIO and find_place().is_first:
        base_lr = max(group["base_lr"] for optimizer in optimizers.values() for group in optimizer.param_groups)
        rates = f"from {before * base_lr:.2g} to {lr_schedule.factor(header.step) * base_lr:.2g}"
        hint = f"schedule.peak={schedule.peak / ratio:.2g} keeps it low"
        print(f"the learning rate rises again, {rates}: the run had cooled down; {hint}", file=sys.stderr, flush=True)


def create_lr_schedule(settings: TrainSettings, schedule: Schedule, header: CheckpointHeader | None) -> LRSchedule:
    """Create the LR schedule; a resumed run of minutes keeps its estimated end.

    Args:
        header: of the checkpoint to resume; ``None`` for a new run.

    Raises:
        UserError: the resumed run is already finished.
    """
    state, step = (header.course, header.step) if header else ({}, 0)
    if settings.steps is not None:
        if settings.steps <= step:
            too_far = f"is at step {step}, beyond steps={settings.steps}"
            done = f"has done its {step} steps" if settings.steps == step else too_far
            raise UserError(f"this run {done}; extend it with steps={step * 2}.")
        return LRSchedule(schedule, total=settings.steps)
    seconds = (settings.minutes or 0) * 60
    if state.get("seconds") == seconds and state.get("total") is not None:
        if step >= state["total"]:
            raise UserError(f"this run has done its {step} steps; extend it with steps={step * 2}.")
        return LRSchedule.from_state(schedule, state)
    return LRSchedule(schedule, seconds=seconds)
