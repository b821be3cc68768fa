"""What a run needs, checked and built, before there is a trainer or a folder."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

import torch
import yaml

from genai.cli.compose import NODES, CommandConfig
from genai.core.cache import cache_dir
from genai.core.data import PackedDataset, Source
from genai.core.device import DeviceConfig
from genai.core.errors import CorruptCheckpoint, UserError, did_you_mean, join_names
from genai.core.instantiate import check_node, import_class, instantiate, parse_dataclass
from genai.data.registry import fitting, sources
from genai.inference.model import Uninitialised, build_method, open_checkpoint
from genai.methods.base import Method
from genai.modalities.base import Modality
from genai.runs.run import Run
from genai.training.config import TrainSettings
from genai.training.interval import Interval
from genai.training.optimizers import MuonAdamW
from genai.training.schedule import LRSchedule, Schedule


@dataclass
class TrainingSetup:
    """Everything a run needs, checked and built, before there is a trainer or a folder."""

    composed: CommandConfig
    settings: TrainSettings
    hardware: DeviceConfig
    source: Source
    modality: Modality
    train: PackedDataset
    val: PackedDataset
    method: Method
    optimizers: dict[str, MuonAdamW]
    course: LRSchedule
    prompts: list[str]
    resumed: Run | None
    checkpoint: Path | None
    start: int


def prepare(composed: CommandConfig, resumed: Run | None = None) -> TrainingSetup:
    """Check and build everything but the trainer. Names, types and ranges come first, then devices, then data.

    Raises:
        UserError: whatever does not fit.
    """
    values = composed.values
    settings = parse_dataclass(
        TrainSettings, {key: value for key, value in values.items() if key not in NODES}
    ).checked()
    plugins = settings.plugins
    _check_nodes(values, plugins)
    Interval.parse(settings.preview_every, "preview_every")
    Interval.parse(settings.checkpoint_every, "checkpoint_every")
    hardware = instantiate(values["trainer"], DeviceConfig, "trainer").resolve()
    if hardware.strategy == "fsdp" and values["optimizer"].get("matrix_lr", 0) is not None:
        raise UserError("trainer=fsdp cuts matrices into shards, Muon wants them whole: add optimizer=adamw.")
    torch.set_num_threads(hardware.threads or 1)

    checkpoint, start = _starting_point(settings, resumed)
    about = start.get("genai", {})
    if resumed:
        _same_model(values, about)
    modality = instantiate(values["modality"], Modality, "modality", plugins=plugins)  # type: ignore[type-abstract]
    with torch.device("meta"), Uninitialised():  # does the model fit the modality? Before data are read
        sketch = build_method(values["model"], modality, plugins)
    _check_players(values["optimizer"], sketch)
    if hardware.strategy == "fsdp" and sketch.partial:
        raise UserError(
            "trainer=fsdp shards what every loss uses, and this model has losses that leave out a part. Use ddp."
        )
    source = instantiate(values["data"], Source, "data", plugins=plugins)  # type: ignore[type-abstract]
    if resumed:
        _same_data(source, resumed)
        _say_changes(resumed, values, hardware)
    folder = cache_dir()
    if not _inherits(modality, values["modality"]["_target_"], about, checkpoint):
        modality.fit(source.train, folder)
    train_packed, val_packed = modality.pack(source.train, folder), modality.pack(source.val, folder)

    torch.manual_seed(settings.seed)
    method = build_method(values["model"], modality, plugins)
    parse_dataclass(method.Options, method.sampling, "model.sampling")
    if start and not resumed:
        _initialise(method, start["state_dict"], settings.init_from or "")
    optimizers = _optimizers(values["optimizer"], method)
    if resumed:
        _same_optimizers(optimizers, start.get("optimizer_states", []))
    course = _course(settings, instantiate(values["schedule"], Schedule, "schedule"), about if resumed else {})
    usual_prompts = modality.preview_prompts(source.val)  # also what previews of other prompts are looked at beside
    return TrainingSetup(
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
        list(settings.prompts) or usual_prompts,
        resumed,
        checkpoint,
        about["step"] if resumed else 0,
    )


def _check_nodes(values: Mapping[str, Any], plugins: Sequence[str]) -> None:
    """Names, types and ranges of all that is built. Raises ``UserError``."""
    bases: dict[str, type] = {"modality": Modality, "data": Source, "model": Method}
    bases |= {"schedule": Schedule, "trainer": DeviceConfig}
    _same_media(values, plugins)
    for key, base in bases.items():
        try:
            check_node(values.get(key) or {}, base, key, plugins)
        except UserError as error:
            raise UserError(f"{error}{_elsewhere(values) if key == 'data' else ''}") from error
    optimizer = values.get("optimizer") or {}
    check_node(_settings(optimizer), MuonAdamW, "optimizer", plugins)
    for player in _apart(optimizer):
        check_node(_settings(optimizer, player), MuonAdamW, f"optimizer.{player}", plugins)


def _optimizers(node: Any, method: Method) -> dict[str, MuonAdamW]:
    """One for each player, by name."""
    players = method.players().items()
    return {
        name: instantiate(_settings(node, name), MuonAdamW, "optimizer", {"module": player}) for name, player in players
    }


def _settings(node: Mapping[str, Any], player: str = "") -> dict[str, Any]:
    """What the optimizer of a player is told: what all are, and over it what stands below its name."""
    apart = _apart(node)
    return {**{name: value for name, value in node.items() if name not in apart}, **apart.get(player, {})}


def _apart(node: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """By player, the settings that are its alone: ``optimizer.generator.lr=...``."""
    return {name: value for name, value in node.items() if isinstance(value, Mapping)}


def _check_players(node: Mapping[str, Any], method: Method) -> None:
    """Raises ``UserError`` where the optimizer has settings for a player that the method does not have."""
    players = list(method.players())
    if unknown := next((name for name in _apart(node) if name not in players), None):
        raise UserError(
            f"optimizer.{unknown}: this model has no '{unknown}' that learns.{did_you_mean(unknown, players)} "
            f"It has: {join_names(players)}."
        )


def _same_optimizers(optimizers: Mapping[str, MuonAdamW], states: Sequence[dict[str, Any]]) -> None:
    """Refuse the states of other optimizers. Raises ``UserError``."""
    if len(states) != len(optimizers):
        raise CorruptCheckpoint(f"the checkpoint has the state of {len(states)} optimizers, not of {len(optimizers)}.")
    for optimizer, state in zip(optimizers.values(), states, strict=True):
        optimizer.check(state)


def _same_media(values: Mapping[str, Any], plugins: Sequence[str]) -> None:
    """Raises ``UserError`` where the data holds other media than the modality is for."""
    targets = [str((values.get(key) or {}).get("_target_", "")) for key in ("data", "modality")]
    if "" in targets:
        return  # `check` says it better
    source = import_class(targets[0], Source, "data", plugins)  # type: ignore[type-abstract]
    modality = import_class(targets[1], Modality, "modality", plugins)  # type: ignore[type-abstract]
    if not issubclass(source.media, modality.media):
        raise UserError(
            f"{modality.__name__} does not fit {source.__name__}, which holds values of type {source.media.__name__}, "
            f"not {modality.media.__name__}. Choose data= among {join_names(fitting(modality))}, or another modality=."
        )


def _elsewhere(values: Mapping[str, Any]) -> str:
    """A hint for arguments that the data does not have, but another source of the same media."""
    data = values.get("data") or {}
    forms = [(name, source) for name, several in sources().items() for source in several]
    ours = [source for _, source in forms if f"{source.__module__}.{source.__name__}" == data.get("_target_")]
    if not ours:
        return ""
    lacking = set(data) - {"_target_", *signature(ours[0]).parameters}
    alike = [(name, source) for name, source in forms if issubclass(source.media, ours[0].media)]
    having = [name for name, source in alike if lacking and lacking <= set(signature(source).parameters)]
    return f" {' or '.join(f'data={name}' for name in having)} has it." if having else ""


def _starting_point(settings: TrainSettings, resumed: Run | None) -> tuple[Path | None, dict[str, Any]]:
    """The checkpoint to resume, or whose weights to take over: its path and content, empty where there is none."""
    if resumed:
        file, state, notes = resumed.load("last")
    elif settings.init_from:
        file, state, notes = open_checkpoint(settings.init_from, root=Path(settings.runs))
    else:
        return None, {}
    for note in notes:
        print(f"{note} Using {file.name} of step {state['genai']['step']} instead.", file=sys.stderr)
    return file, state


def _inherits(modality: Modality, target: str, about: Mapping[str, Any], file: Path | None) -> bool:
    """Whether ``modality`` took over the tokenizer or statistics of the checkpoint ``file``, of its kind or kin."""
    was = about.get("modality")
    if not isinstance(was, Mapping) or was.get("_target_") not in (target, *modality.kin):
        return False
    try:
        modality.restore(about["modality_state"])
    except ValueError as error:
        raise UserError(f"{file} does not fit: {str(error)[:200]}.") from error
    except (KeyError, TypeError) as error:
        raise CorruptCheckpoint(f"{file} does not describe its modality ({str(error)[:100]}).") from error
    return True


def _same_model(values: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Refuse to resume with another model than the run's. Raises ``UserError`` naming the keys."""
    changed = [
        f"{key}: {was!r} -> {now!r}"
        for node in ("modality", "model")
        for key, was, now in _differences(about[node], values[node], node)
    ]
    if changed:
        raise UserError(
            f"this does not fit the run to resume ({'; '.join(changed)}). Start a new run, perhaps with init_from=."
        )


def _same_data(source: Source, run: Run) -> None:
    """Refuse to go on with other data than the run's. Raises ``UserError``."""
    was = run.record.get("data", {})
    if (was.get("hash"), was.get("hash_val")) != (source.train.fingerprint, source.val.fingerprint):
        raise UserError(
            f"the data is not what this run was trained on ({source.description}; it was {was.get('description')}).\n"
            f"Bring that back, or start a new run from its weights: init_from={run.folder}"
        )


def _say_changes(run: Run, values: Mapping[str, Any], hardware: DeviceConfig) -> None:
    """Name what a resumed run does otherwise than before, for it is then not bit for bit what it would have been."""
    record, file = run.record, run.folder / "config.yaml"
    before = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else values
    leave = ("resume", "runs", "plugins", "trainer")
    was, now = ({k: v for k, v in each.items() if k not in leave} for each in (before, values))
    changes = [f"{key.lstrip('.')}: {old} -> {new}" for key, old, new in _differences(was, now, "")]
    here = {"device": hardware.accelerator, **{k: getattr(hardware, k) for k in ("devices", "threads", "precision")}}
    here["torch"], past = version("torch"), {**record, **record.get("versions", {})}
    changes += [f"{key}: {past[key]} -> {now}" for key, now in here.items() if past.get(key, now) != now]
    if changes and os.environ.get("LOCAL_RANK", "0") == "0":
        print(f"changed since this run began: {'; '.join(changes)}", file=sys.stderr, flush=True)


def _differences(was: Any, now: Any, path: str) -> list[tuple[str, Any, Any]]:
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        keys = dict.fromkeys([*was, *now])
        return [d for key in keys for d in _differences(was.get(key), now.get(key), f"{path}.{key}")]
    return [] if was == now else [(path, was, now)]


def _initialise(method: Method, weights: Mapping[str, torch.Tensor], name: str) -> None:
    """Start from another run's averaged weights. Raises ``UserError`` where shapes differ, or nothing is shared."""
    prefix = "ema.module."
    theirs = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    ours = method.sampled.state_dict()
    for key, value in theirs.items():
        if key not in ours or ours[key].shape != value.shape:
            shape = tuple(ours[key].shape) if key in ours else "nothing"
            raise UserError(
                f"init_from={name} does not fit: its {key} is {tuple(value.shape)}, this model has {shape}."
            )
    if not theirs:
        raise UserError(f"init_from={name} does not fit: it has no averaged weights.")
    if new := [key for key in ours if key not in theirs]:
        print(f"init_from={name} does not have {len(new)} of {len(ours)} tensors, such as {new[0]}.", file=sys.stderr)
    method.sampled.load_state_dict(theirs, strict=False)


def _course(settings: TrainSettings, schedule: Schedule, about: Mapping[str, Any]) -> LRSchedule:
    """The learning-rate course; that of a run of minutes goes on towards the end that it had."""
    was = about.get("course", {})
    if settings.steps is not None:
        if about and settings.steps <= about["step"]:
            behind = f"is at step {about['step']}, beyond steps={settings.steps}"
            done = f"has done its {about['step']} steps" if settings.steps == about["step"] else behind
            raise UserError(f"this run {done}; extend it with steps={about['step'] * 2}.")
        return LRSchedule(schedule, total=settings.steps)
    seconds = (settings.minutes or 0) * 60
    if was.get("seconds") == seconds and was.get("total") is not None:
        if about["step"] >= was["total"]:
            raise UserError(f"this run has done its {about['step']} steps; extend it with steps={about['step'] * 2}.")
        return LRSchedule(schedule, **was)
    return LRSchedule(schedule, seconds=seconds)
