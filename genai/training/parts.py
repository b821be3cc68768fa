"""Parts of a run: the nodes of its config, checked once, and built where neither data nor memory are needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch

from genai.adapters.lora import LoRA
from genai.cli.compose import CommandConfig, fitting_arguments, model_nodes
from genai.core.data import IterableSource, Source
from genai.core.device import DeviceConfig
from genai.core.errors import UserError, did_you_mean, join_names
from genai.core.instantiate import Factory, import_class
from genai.data.canaries import add_canaries, split_node
from genai.data.partition_writer import DataNodes
from genai.data.prepare import prepare_source
from genai.data.registry import compatible_data, source_classes
from genai.inference.build import SkipInit
from genai.methods.base import Method
from genai.modalities.base import Modality
from genai.modalities.optional import required_option
from genai.training.adapter import attach_adapter
from genai.training.config import TrainSettings
from genai.training.interval import Interval
from genai.training.loggers import Logger
from genai.training.optimizers import MuonAdamW
from genai.training.schedule import Schedule
from genai.training.virtual_ranks import check_virtual_ranks


@dataclass(frozen=True)
class TrainingParts:
    """What the config of a run describes.

    Attributes:
        settings: the plain keys.
        hardware, schedule, logger, modality: built; the modality is not fitted.
        examples: data that were given in Python; ``None`` if ``data`` describes them.
        nodes: the config nodes of data and modality.
        data, model: checked.
        canaries: number of examples that are planted into the training split.
        optimizers: checked, by the network that has settings of its own; "" for all others.
        adapter: built; ``None``: all weights are trained.
    """

    settings: TrainSettings
    hardware: DeviceConfig
    schedule: Schedule
    logger: Logger
    modality: Modality
    examples: Any
    nodes: DataNodes
    data: Factory[Source]
    canaries: int
    model: Factory[Method]
    optimizers: dict[str, Factory[MuonAdamW]]
    adapter: LoRA | None

    @classmethod
    def parse(cls, config: CommandConfig) -> "TrainingParts":
        """Check names, types and ranges of the whole config. Raises ``UserError``."""
        values, settings = config.values, TrainSettings.parse(config.settings)
        Interval.parse(settings.preview_every, "preview_every")
        Interval.parse(settings.checkpoint_every, "checkpoint_every")

        def part(key: str, base: type[Any]) -> Factory[Any]:
            return Factory.parse(values.get(key) or {}, base, key, settings.plugins)

        _check_media(values, settings)
        modality: Modality = part("modality", Modality).build()
        node, canaries = split_node(values.get("data") or {})
        try:
            data: Factory[Source] = Factory.parse(node, Source, "data", settings.plugins)  # type: ignore[type-abstract]
        except UserError as error:
            raise UserError(f"{error}{_other_data_hint(node)}") from error
        optimizers = _parse_optimizers(values.get("optimizer") or {})
        hardware = _resolve_hardware(part("trainer", DeviceConfig), values.get("adapter") is not None)
        check_virtual_ranks(settings.virtual_ranks, settings.batch, hardware)
        return cls(
            settings,
            hardware,
            part("schedule", Schedule).build(),
            part("logger", Logger).build(),
            modality,
            config.examples,
            DataNodes(node, values["modality"], settings.plugins),
            data,
            canaries,
            Factory.parse(values.get("model") or {}, Method, "model", settings.plugins, modality.interface),  # type: ignore[type-abstract]
            optimizers,
            None if values.get("adapter") is None else part("adapter", LoRA).build(),
        )

    @property
    def new_voice(self) -> str | None:
        """Name of the voice that is added to those of the base, or ``auto``; ``None``: none is."""
        return self.adapter.speaker if self.adapter else None

    def build_source(self, state: Mapping[str, Any] | None = None) -> Source:
        """Read the data; ``state``: of the modality of a model that is trained on. Raises ``UserError``."""
        fixed = None if self.examples is None else {"examples": self.examples}
        source = add_canaries(self.data.build(fixed), self.canaries)
        if isinstance(source, IterableSource):
            source = prepare_source(source, self.nodes, state)
        _check_source_media(source.media, type(self.modality), type(source).__name__)
        _check_splits(source)
        return source

    def build_method(self) -> Method:
        """Build the method for the modality. Raises ``UserError``."""
        return self.model.build(self.modality.interface)

    def build_optimizers(self, method: Method) -> dict[str, MuonAdamW]:
        """Build the optimizer of each network, by name."""
        return {
            name: self.optimizers.get(name, self.optimizers[""]).build({"module": network})
            for name, network in method.networks().items()
        }


def build_on_meta(parts: TrainingParts, config: CommandConfig) -> Method:
    """Build the method without memory. Raises ``UserError`` if the parts do not fit each other."""
    try:
        with torch.device("meta"), SkipInit():
            method = parts.build_method()
            if parts.adapter:
                attach_adapter(parts.adapter, method)
    except UserError as error:
        name, kind = config.choices.get("model"), config.choices.get("modality")
        names = _fitting_models(config, parts.settings)
        if name is None or name in names:  # an option is wrong
            raise
        allowed = f"For it there are: {', '.join(names)}."
        raise UserError(f"model={name} does not fit modality={kind}. {allowed}\n{error}") from error
    _check_init(parts.modality, method)
    names = list(method.networks())
    if unknown := next((name for name in parts.optimizers if name not in ("", *names)), None):
        raise UserError(
            f"optimizer.{unknown}: this model has no network '{unknown}'.{did_you_mean(unknown, names)} "
            f"It has: {join_names(names)}."
        )
    if parts.hardware.strategy == "fsdp" and method.has_unused_parameters:
        raise UserError(
            "trainer=fsdp needs losses that use all parameters, but this model has losses that do not. Use ddp."
        )
    return method


def _check_init(modality: Modality, method: Method) -> None:
    """Raise ``UserError`` if only one of both is for samples that are made from other media."""
    needs_init = required_option(modality) == "init"
    if method.restores_init and not needs_init:
        raise UserError("this model restores media: add modality.upscale=2 or 4, or take another model=.")
    if needs_init and not method.restores_init:
        raise UserError("modality.upscale= is for models that restore pictures: add model=upscale, or leave it out.")


def _fitting_models(config: CommandConfig, settings: TrainSettings) -> list[str]:
    """Return the names of the models that can be built, with their defaults, for the modality."""
    names = []
    own = import_class(config.values["modality"]["_target_"], Modality, "modality", settings.plugins)  # type: ignore[type-abstract]
    for name, (node, changes) in model_nodes(settings.plugins).items():
        modality_node = fitting_arguments(config.values["modality"] | changes, settings.plugins)
        try:
            modality = Factory.parse(modality_node, Modality, "modality", settings.plugins).build()  # type: ignore[type-abstract]
            if modality.media is not own.media:  # the file of the model brings a modality of other media
                continue
            with torch.device("meta"), SkipInit():
                Factory.parse(node, Method, "model", settings.plugins, modality.interface).build(modality.interface)  # type: ignore[type-abstract]
        except UserError:
            continue
        names.append(name)
    return names


def _parse_optimizers(node: Mapping[str, Any]) -> dict[str, Factory[MuonAdamW]]:
    """Check the common settings, and those of single networks, ``optimizer.NETWORK.lr=...``, which go before them."""
    own = {name: value for name, value in node.items() if isinstance(value, Mapping)}
    common = {name: value for name, value in node.items() if name not in own}
    nodes = {"": common, **{name: {**common, **values} for name, values in own.items()}}
    return {name: Factory.parse(each, MuonAdamW, f"optimizer.{name}".rstrip("."), ()) for name, each in nodes.items()}


def _resolve_hardware(part: Factory[DeviceConfig], has_adapter: bool) -> DeviceConfig:
    """Return the hardware to use. Raises ``UserError``."""
    hardware = part.build()
    if hardware.strategy == "fsdp" and has_adapter:
        raise UserError("trainer=fsdp is not for adapters, whose memory is small: use trainer=ddp.")
    return hardware.resolve()


def _check_media(values: Mapping[str, Any], settings: TrainSettings) -> None:
    """Raise ``UserError`` if the modality does not fit the media type of the data."""
    targets = [str((values.get(key) or {}).get("_target_", "")) for key in ("data", "modality")]
    if "" in targets:
        return  # the check of the nodes has a better message
    source = import_class(targets[0], Source, "data", settings.plugins)  # type: ignore[type-abstract]
    modality = import_class(targets[1], Modality, "modality", settings.plugins)  # type: ignore[type-abstract]
    if source.media is not object:  # it is known when the source has been built
        _check_source_media(source.media, modality, source.__name__)


def _check_source_media(media: type[Any], modality: type[Modality], source: str) -> None:
    """Raise ``UserError`` if the modality does not fit the media of a source."""
    if not issubclass(media, modality.media):
        raise UserError(
            f"{modality.__name__} does not fit {source}, which holds values of type {media.__name__}, "
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


def _other_data_hint(data: Mapping[str, Any]) -> str:
    """Return a hint if another data source of the same media has the arguments that are unknown here."""
    options = [(name, source) for name, classes in source_classes().items() for source in classes]
    source = next((cls for _, cls in options if f"{cls.__module__}.{cls.__name__}" == data.get("_target_")), None)
    if source is None:
        return ""
    unknown = set(data) - {"_target_", *signature(source).parameters}
    same_media = [(name, cls) for name, cls in options if issubclass(cls.media, source.media)]
    names = [name for name, cls in same_media if unknown and unknown <= set(signature(cls).parameters)]
    return f" {' or '.join(f'data={name}' for name in names)} has it." if names else ""
