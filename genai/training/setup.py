"""Setup of a run: everything is checked and built before a trainer or a folder is created."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from genai.cli.compose import CommandConfig, model_nodes
from genai.core.cache import cache_dir
from genai.core.data import FirstItems, PackedDataset, Source
from genai.core.device import DeviceConfig
from genai.core.errors import UserError, did_you_mean, join_names
from genai.core.instantiate import check_node, import_class, instantiate, parse_dataclass
from genai.core.limits import check_memory
from genai.data.registry import compatible_data, source_classes
from genai.inference.build import SkipInit, build_method
from genai.methods.base import Method
from genai.modalities.base import Modality
from genai.modalities.preview import Preview
from genai.runs.checkpoint import CheckpointHeader
from genai.runs.run import Run
from genai.training.checkpoint_state import check_training_state
from genai.training.config import TrainSettings
from genai.training.interval import Interval
from genai.training.loggers import Logger
from genai.training.optimizers import MuonAdamW, needs_whole_matrices
from genai.training.resume import (
    check_same_data,
    check_same_model,
    create_lr_schedule,
    load_initial_weights,
    load_start,
    print_changes,
    print_rate_change,
    restore_modality,
)
from genai.training.schedule import LRSchedule, Schedule


@dataclass
class TrainingSetup:
    """Everything that a run needs besides the trainer.

    Attributes:
        preview, prompts: which samples are previewed, and how.
        resumed: the run to continue.
        checkpoint: file to resume or to initialize from.
        start: step from which a resumed run continues.
        state: content of the checkpoint to resume; empty if there is none.
    """

    config: CommandConfig
    settings: TrainSettings
    hardware: DeviceConfig
    source: Source
    modality: Modality
    train: PackedDataset
    val: PackedDataset
    method: Method
    optimizers: dict[str, MuonAdamW]
    lr_schedule: LRSchedule
    logger: Logger
    preview: Preview
    prompts: list[str]
    resumed: Run | None
    checkpoint: Path | None
    start: int
    state: dict[str, Any]


def prepare_training(config: CommandConfig, resumed: Run | None = None) -> TrainingSetup:
    """Check and build everything but the trainer: first names, types and ranges, then devices, then data.

    Raises:
        UserError: the config is wrong or its parts do not fit.
    """
    values = config.values
    settings = TrainSettings.parse(config.settings)
    plugins = settings.plugins
    _check_nodes(values, plugins)
    Interval.parse(settings.preview_every, "preview_every")
    Interval.parse(settings.checkpoint_every, "checkpoint_every")
    hardware = _resolve_hardware(values)
    logger = instantiate(values["logger"], Logger, "logger", plugins=plugins)  # type: ignore[type-abstract]

    def check_resumed(state: dict[str, Any], num_bytes: int) -> None:
        check_same_model(values, CheckpointHeader.read(state))
        check_training_state(state, num_bytes, partial(_create_optimizers, values["optimizer"]), plugins)

    checkpoint, start = load_start(settings, resumed, check_resumed)
    header = CheckpointHeader.read(start) if start else None
    modality = _create_modality(config)
    meta_method = _build_on_meta(config, modality, plugins)
    _check_network_names(values["optimizer"], meta_method)
    if hardware.strategy == "fsdp" and meta_method.has_unused_parameters:
        raise UserError(
            "trainer=fsdp needs losses that use all parameters, but this model has losses that do not. Use ddp."
        )
    source = _create_source(config)
    if resumed:
        check_same_data(source, resumed)
        print_changes(resumed, values, hardware)
    if not restore_modality(modality, values["modality"]["_target_"], header, checkpoint):
        modality.fit(source.train, cache_dir())
    train, val = _pack_data(modality, source, settings)
    torch.manual_seed(settings.seed)
    method = build_method(values["model"], modality, plugins)
    parse_dataclass(method.Options, method.sampling, "model.sampling")
    if start and not resumed:
        load_initial_weights(method, start["state_dict"], settings.init_from or "")
    optimizers = _create_optimizers(values["optimizer"], method)
    lr_schedule = _create_lr_schedule(values, settings, optimizers, resumed, header)
    preview = modality.preview()
    default_prompts = preview.prompts(source.val)  # also selects the references of previews
    return TrainingSetup(
        config,
        settings,
        hardware,
        source,
        modality,
        train,
        val,
        method,
        optimizers,
        lr_schedule,
        logger,
        preview,
        list(settings.prompts) or default_prompts,
        resumed,
        checkpoint,
        header.step if resumed and header else 0,
        start if resumed else {},
    )


def _pack_data(modality: Modality, source: Source, settings: TrainSettings) -> tuple[PackedDataset, PackedDataset]:
    """Return both splits as tensors. Raises ``UserError`` if a batch does not fit into the memory."""
    train, val = modality.pack(source.train, cache_dir()), modality.pack(source.val, cache_dir())
    check_memory(settings.batch * train.batch([0], None).x.nbytes, f"batch={settings.batch:,}")
    if settings.overfit_items:
        train = val = FirstItems(train, settings.overfit_items)
    return train, val


def _create_lr_schedule(
    values: Mapping[str, Any],
    settings: TrainSettings,
    optimizers: Mapping[str, MuonAdamW],
    resumed: Run | None,
    header: CheckpointHeader | None,
) -> LRSchedule:
    """Create the LR schedule, and say how a resumed run's rate changes."""
    schedule = instantiate(values["schedule"], Schedule, "schedule")
    lr_schedule = create_lr_schedule(settings, schedule, header if resumed else None)
    if resumed and header:
        base_lr = max(group["base_lr"] for optimizer in optimizers.values() for group in optimizer.param_groups)
        print_rate_change(resumed, schedule, lr_schedule, header, base_lr)
    return lr_schedule


def build_source(config: CommandConfig) -> tuple[Source, Modality]:
    """Build the data of a training run and what reads them, without the rest. Raises ``UserError``."""
    _check_nodes(config.values, config.settings["plugins"])
    return _create_source(config), _create_modality(config)


def _create_source(config: CommandConfig) -> Source:
    examples = None if config.examples is None else {"examples": config.examples}
    plugins = config.settings["plugins"]
    source = instantiate(config.values["data"], Source, "data", examples, plugins)  # type: ignore[type-abstract]
    _check_splits(source)
    return source


def _create_modality(config: CommandConfig) -> Modality:
    node, plugins = config.values["modality"], config.settings["plugins"]
    return instantiate(node, Modality, "modality", plugins=plugins)  # type: ignore[type-abstract]


def _resolve_hardware(values: Mapping[str, Any]) -> DeviceConfig:
    """Return the hardware to use, and set the number of threads. Raises ``UserError``."""
    hardware = instantiate(values["trainer"], DeviceConfig, "trainer").resolve()
    if hardware.strategy == "fsdp" and needs_whole_matrices(values["optimizer"]):
        raise UserError("trainer=fsdp shards matrices, but Muon needs whole ones: add optimizer=adamw.")
    torch.set_num_threads(hardware.threads or 1)
    return hardware


def _build_on_meta(config: CommandConfig, modality: Modality, plugins: Sequence[str]) -> Method:
    """Build the method without memory. Raises ``UserError`` if it does not fit the modality."""
    try:
        with torch.device("meta"), SkipInit():
            return build_method(config.values["model"], modality, plugins)
    except UserError as error:
        name, kind = config.choices.get("model"), config.choices.get("modality")
        names = _fitting_models(config, plugins)
        if name is None or name in names:  # an option is wrong
            raise
        allowed = f"For it there are: {', '.join(names)}."
        raise UserError(f"model={name} does not fit modality={kind}. {allowed}\n{error}") from error


def _fitting_models(config: CommandConfig, plugins: Sequence[str]) -> list[str]:
    """Return the names of the models that can be built, with their defaults, for the modality."""
    names = []
    for name, (node, changes) in model_nodes(plugins).items():
        modality_node = config.values["modality"] | changes
        try:
            modality = instantiate(modality_node, Modality, "modality", plugins=plugins)  # type: ignore[type-abstract]
            with torch.device("meta"), SkipInit():
                build_method(node, modality, plugins)
        except UserError:
            continue
        names.append(name)
    return names


def _check_nodes(values: Mapping[str, Any], plugins: Sequence[str]) -> None:
    """Raise ``UserError`` if a name, type or range in a config node is wrong."""
    bases: dict[str, type] = {"modality": Modality, "data": Source, "model": Method}
    bases |= {"schedule": Schedule, "trainer": DeviceConfig, "logger": Logger}
    _check_media(values, plugins)
    for key, base in bases.items():
        try:
            check_node(values.get(key) or {}, base, key, plugins)
        except UserError as error:
            raise UserError(f"{error}{_other_data_hint(values) if key == 'data' else ''}") from error
    optimizer = values.get("optimizer") or {}
    check_node(_optimizer_node(optimizer), MuonAdamW, "optimizer", plugins)
    for network_name in _network_overrides(optimizer):
        check_node(_optimizer_node(optimizer, network_name), MuonAdamW, f"optimizer.{network_name}", plugins)


def _create_optimizers(node: Any, method: Method) -> dict[str, MuonAdamW]:
    """Create the optimizer of each network, by name."""
    return {
        name: instantiate(_optimizer_node(node, name), MuonAdamW, "optimizer", {"module": network})
        for name, network in method.networks().items()
    }


def _optimizer_node(node: Mapping[str, Any], network_name: str = "") -> dict[str, Any]:
    """Return the optimizer config of a network: the common settings, overridden by its own."""
    overrides = _network_overrides(node)
    return {**{name: value for name, value in node.items() if name not in overrides}, **overrides.get(network_name, {})}


def _network_overrides(node: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the settings of single networks, such as ``optimizer.NETWORK.lr=...``, by network name."""
    return {name: value for name, value in node.items() if isinstance(value, Mapping)}


def _check_network_names(node: Mapping[str, Any], method: Method) -> None:
    """Raise ``UserError`` if the optimizer has settings for a network that the method does not have."""
    names = list(method.networks())
    if unknown := next((name for name in _network_overrides(node) if name not in names), None):
        raise UserError(
            f"optimizer.{unknown}: this model has no network '{unknown}'.{did_you_mean(unknown, names)} "
            f"It has: {join_names(names)}."
        )


def _check_media(values: Mapping[str, Any], plugins: Sequence[str]) -> None:
    """Raise ``UserError`` if the modality does not fit the media type of the data."""
    targets = [str((values.get(key) or {}).get("_target_", "")) for key in ("data", "modality")]
    if "" in targets:
        return  # check_node has a better message
    source = import_class(targets[0], Source, "data", plugins)  # type: ignore[type-abstract]
    modality = import_class(targets[1], Modality, "modality", plugins)  # type: ignore[type-abstract]
    if not issubclass(source.media, modality.media):
        raise UserError(
            f"{modality.__name__} does not fit {source.__name__}, which holds values of type {source.media.__name__}, "
            f"not {modality.media.__name__}. Choose data= among {join_names(compatible_data(modality))}, "
            "or another modality=."
        )


def _check_splits(source: Source) -> None:
    """Raise ``UserError`` if a split is empty, or if both have the same hash and so would share cached tensors."""
    for split in (source.train, source.val):
        if not len(split):
            raise UserError(f"data: the split '{split.name}' of {type(source).__name__} has no examples.")
    if source.train.content_hash == source.val.content_hash:
        raise UserError(
            f"data: both splits of {type(source).__name__} have the content_hash {source.train.content_hash!r}: "
            "give each the hash of its own content."
        )


def _other_data_hint(values: Mapping[str, Any]) -> str:
    """Return a hint if another data source of the same media has the arguments that are unknown here."""
    data = values.get("data") or {}
    options = [(name, source) for name, classes in source_classes().items() for source in classes]
    source = next((cls for _, cls in options if f"{cls.__module__}.{cls.__name__}" == data.get("_target_")), None)
    if source is None:
        return ""
    unknown = set(data) - {"_target_", *signature(source).parameters}
    same_media = [(name, cls) for name, cls in options if issubclass(cls.media, source.media)]
    names = [name for name, cls in same_media if unknown and unknown <= set(signature(cls).parameters)]
    return f" {' or '.join(f'data={name}' for name in names)} has it." if names else ""
