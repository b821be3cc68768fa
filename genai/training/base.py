"""The model that a run starts from, if the run takes its modality and its model from there too."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any

from genai.cli.compose import CommandConfig, override_key
from genai.core.errors import UserError, short_repr, short_text
from genai.core.instantiate import Factory, import_class
from genai.core.renamed import current_node
from genai.data.registry import modality_classes
from genai.inference.base import describe_base
from genai.inference.build import assign_weights
from genai.inference.known_prompts import known_prompts
from genai.inference.model import load
from genai.inference.stored_model import is_exported_path, is_pretrained_path
from genai.methods.base import Method
from genai.runs.record import BaseRecord, PromptsRecord, VoiceRecord
from genai.runs.run import Run
from genai.training.config import TrainSettings

NODES = ("modality", "model")


@dataclass(frozen=True)
class Base:
    """A model to train further.

    Attributes:
        record: where it is, and what it is called.
        nodes: config nodes of its modality and its model.
        modality_state: tokenizer or statistics.
        kind, choice: its modality and its model, as words: ``text``, ``llama``.
        method: with averaged weights.
        prompts: what its run recorded of the prompts of its training data; ``None`` if it did not.
        voices: in the model, with the consent for them.
    """

    record: BaseRecord
    nodes: dict[str, Any]
    modality_state: Any
    kind: str
    choice: str
    method: Method
    prompts: PromptsRecord | None = None
    voices: Sequence[VoiceRecord] = ()

    def assign_weights(self, method: Method) -> None:
        """Replace the weights of a run's method by those of the base: they share memory, and what is tied stays tied.

        Raises:
            UserError: options that are typed do not fit the weights.
        """
        try:
            assign_weights(method, self.method)
        except UserError as error:
            raise UserError(f"init_from={self.record.path} does not fit the options given here: {error}") from error


def find_base(config: CommandConfig, settings: TrainSettings, resumed: Run | None) -> Base | None:
    """Load the base of a run with an adapter, with a method of its own, or with the weights of another tool; ``None``
    for other runs, and for a resumed one whose checkpoint has all weights.

    Raises:
        UserError: it is not there, or an adapter or a method has none.
    """
    has_adapter, has_method = (config.values.get(key) is not None for key in ("adapter", "method"))
    record = resumed.record.base if resumed else None
    if has_adapter and "_target_" not in config.values["adapter"]:
        raise UserError("adapter= is missing for what is set below it, as experiment=subject does: add adapter=lora.")
    if has_adapter and not (settings.init_from or record):
        raise UserError("adapter= needs init_from=, the model that it changes.")
    if has_method and not (settings.init_from or record):
        raise UserError("method= needs init_from=, the model that is trained further.")
    path = settings.init_from
    if record and has_adapter:
        return reload_base(record, settings)
    is_pretrained = bool(path) and is_pretrained_path(Path(str(path)).expanduser().absolute())
    if path and not resumed and (has_adapter or has_method or is_pretrained):
        return _load_base(path, settings)
    return None


def reload_base(record: BaseRecord, settings: TrainSettings) -> Base:
    """Load the base of a resumed run. Raises ``UserError`` if it is not there, or is another one."""
    place = settings.init_from or record.path
    if not os.path.exists(place):
        hint = "If it has moved, say where to: init_from="
        raise UserError(f"this run changes {short_repr(place)}, which is not there. {hint}")
    base = _load_base(place, settings)
    if base.record.digest != record.digest:
        raise UserError(f"{place} is not what this run began with: it continues with the same base.")
    return replace(base, record=replace(record, path=base.record.path))


def _load_base(source: str, settings: TrainSettings) -> Base:
    model = load(source, device="cpu", runs_folder=settings.runs, plugins=settings.plugins)
    if model.header is None or model.file is None:
        raise UserError(f"init_from={source} is no model to train further.")
    path = Path(source).expanduser().absolute()
    is_exported = is_exported_path(path)
    origin = BaseRecord(**model.record["base"]) if is_pretrained_path(path) else describe_base(source, model.file)
    record = replace(origin, path=str(path if is_exported else model.file.absolute()), shares_config=True)
    nodes = {"modality": model.header.modality, "model": model.header.model}
    classes = modality_classes(tuple(settings.plugins)).items()
    kind = next((name for name, cls in classes if type(model.modality) is cls), model.record.get("modality") or "?")
    choice = model.record.get("model") or type(model.method).__name__.lower()
    state, prompts = model.header.modality_state, known_prompts(model)
    return Base(record, nodes, state, short_text(kind), short_text(choice), model.method, prompts, model.voices)


def with_base_nodes(config: CommandConfig, base: Base | None, resumed: Run | None) -> CommandConfig:
    """Return the config of a run with the modality and the model of its base, and the options that are typed.

    A resumed run has those of its own ``config.yaml``.

    Raises:
        UserError: a word chooses another modality or model.
    """
    if resumed and resumed.record.base and resumed.record.base.shares_config:
        run_config = resumed.read_config()
        nodes = {key: current_node(run_config.get(key)) for key in NODES}
        choices = {"modality": resumed.record.modality or "?", "model": resumed.record.model or "?"}
    elif base:
        nodes, choices = base.nodes, {"modality": base.kind, "model": base.choice}
        for key in NODES:
            typed = [word.partition("=")[2] for word in config.overrides if override_key(word) == key]
            if typed and typed[-1] != choices[key]:
                raise UserError(f"{key}={typed[-1]}: init_from= brings its own, {choices[key]}. Leave {key}= out.")
    else:
        return config
    if config.values.get("method") is not None:
        nodes = {**nodes, "model": _with_method(nodes["model"], config, base)}
    nodes = {key: _with_typed(node, key, config) for key, node in nodes.items()}
    return replace(config, values=config.values | nodes, choices=config.choices | choices)


def _with_method(model: Any, config: CommandConfig, base: Base | None) -> dict[str, Any]:
    """Return the node of a model whose method is that of ``config``.

    Arguments that the new method has too stay, as the network.

    Raises:
        UserError: the new method has no such option, or is not for the networks of the old one.
    """
    method, plugins = config.values["method"], config.values.get("plugins") or ()
    cls = Factory.parse(method, Method, "method", plugins).cls  # type: ignore[type-abstract]
    old = import_class(str((model or {}).get("_target_")), Method, "model", plugins)  # type: ignore[type-abstract]
    old = type(base.method) if base else old
    fits = cls.replaces is not None and issubclass(old, cls.replaces) and old.Options is cls.replaces.Options
    if not fits and not issubclass(old, cls):
        kind = f", which trains models of {cls.replaces.__name__}" if cls.replaces else ""
        choice = config.choices.get("method") or cls.__name__.lower()
        raise UserError(f"method={choice}{kind}: it is not for the model of init_from=, {old.__name__}.")
    names = signature(cls).parameters
    return {**{name: value for name, value in model.items() if name in names}, **method}


def _with_typed(node: Any, key: str, config: CommandConfig) -> Any:
    """Return the node with the values of the typed words below ``key``, such as ``modality.block=256``."""
    for word in config.overrides:
        path = override_key(word).split(".")
        if path[0] == key and len(path) > 1:
            value: Any = config.values
            for name in path:
                value = value[name] if isinstance(value, Mapping) and name in value else None
            node = _with_value(node, path[1:], value)
    return node


def _with_value(node: Any, path: list[str], value: Any) -> Any:
    """Return a copy of a node with the value at ``path``."""
    name, *rest = path
    inner = node.get(name) if isinstance(node, Mapping) else None
    return {**(node if isinstance(node, Mapping) else {}), name: _with_value(inner, rest, value) if rest else value}


def base_entries(record: BaseRecord | None) -> dict[str, str] | None:
    """Return what the header of a checkpoint says of the base."""
    return {key: value for key, value in asdict(record).items() if key != "shares_config"} if record else None
