"""LoRA adapters of text models in folders of peft: ``adapter_config.json`` and ``adapter_model.safetensors``.

What such a folder asks for and is not done here is refused, and so is a tensor that nothing takes: an adapter that is
half applied looks as if it worked.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save
from torch import Tensor

from genai.core.errors import CorruptCheckpoint, UserError, join_names, short_repr, short_text
from genai.core.files import check_file, file_hash, make_folder, read_text, write_file
from genai.core.plain_data import parse_json
from genai.exchange.description import network_arguments
from genai.exchange.families import FAMILIES
from genai.exchange.hf_export import family_name
from genai.exchange.pretrained import TensorFiles, hub_root
from genai.exchange.weight_layout import Weight
from genai.methods.autoregressive import Autoregressive
from genai.methods.base import Method
from genai.networks.gpt import GPT

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
PARTS = ("lora_A.weight", "lora_B.weight", "lora_embedding_A", "lora_embedding_B")
REQUIRED: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "init_lora_weights": (True, False, "gaussian", "orthogonal", "eva"),  # others also change the base
}
"""Values that are supported, of keys with several."""
KNOWN_KEYS = (
    "r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules", "exclude_modules", "base_model_name_or_path",
    "revision", "task_type", "inference_mode", "auto_mapping", "fan_in_fan_out", "layers_to_transform",
    "layers_pattern", "rank_pattern", "megatron_core", "peft_version", "ensure_weight_tying", "qalora_group_size",
    *REQUIRED,
)  # fmt: skip
"""Keys that change nothing beyond what the tensors say, or that are read; all others have to be off."""


def merge_peft(method: Method, folder: Path, factor: float = 1.0) -> None:
    """Add an adapter to the weights of its base.

    Args:
        method: the base, a text model.
        folder: of the adapter.
        factor: of the change.

    Raises:
        UserError: it asks for something that is not supported, or has a tensor that nothing takes.
        CorruptCheckpoint: its tensors do not fit the base.
    """
    root = hub_root(folder)
    config = parse_json(read_text(folder / CONFIG, "record", root), str(folder / CONFIG))
    if not isinstance(config, dict):
        raise UserError(f"{folder / CONFIG} holds a {type(config).__name__}, not values by name.")
    _check_config(config, folder)
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder} has no {WEIGHTS}; weights as a pickle, which can run code, are not read.")
    tensors = TensorFiles([check_file(folder / WEIGHTS, folder=root)])
    modules = _modules(tensors, folder)
    network = _text_network(method)
    arguments = network_arguments(network)
    if arguments["tied"] and any(names[0].endswith(PARTS[2:]) for names in modules.values()):
        raise UserError(f"{folder} changes the embedding, which the base shares with its readout: not supported.")
    parameters = dict(network.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for weight in FAMILIES[family_name(arguments)].weights(arguments):
            sources = {source: source.removesuffix(".weight") for source in weight.sources}
            if not any(module in modules for module in sources.values()):
                continue
            changes = weight.write(torch.zeros_like(parameters[weight.name]))
            for source, module in sources.items():
                if module in modules:
                    expected = changes[source].T if weight.transposed else changes[source]
                    change = _delta(modules.pop(module), tensors, config, folder, module, expected.shape)
                    changes[source] = change.T if weight.transposed else change
            parameters[weight.name].add_(weight.read(changes), alpha=factor)
    if modules:
        raise UserError(f"{folder} changes {short_repr(next(iter(modules)))}, which the base does not have.")


def peft_digest(folder: Path) -> str:
    """Return the sha256 of an adapter: of its settings, such as ``lora_alpha``, and of its tensors."""
    hashes = [file_hash(check_file(folder / name, folder=hub_root(folder))) for name in (CONFIG, WEIGHTS)]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def write_peft(method: Method, state: Mapping[str, Tensor], adapter: Mapping[str, Any], base: str, out: Path) -> None:
    """Write an adapter that was trained here.

    Args:
        method: of its base, may be on the meta device.
        state: factors by their names in ``method.ema_module``, such as ``blocks.0.qkv.lora.A``.
        adapter: settings of ``LoRA``.
        base: name of the base model.
        out: the folder, created if it does not exist.

    Raises:
        UserError: no model of transformers has the layers that it changes.
    """
    network = _text_network(method)
    arguments = network_arguments(network)
    family = family_name(arguments)
    tensors: dict[str, Tensor] = {}
    layers = {name.removesuffix(".lora.A") for name in state if name.endswith(".lora.A")}
    for weight in FAMILIES[family].weights(arguments):
        layer = weight.name.removesuffix(".weight")
        if layer in layers:
            layers.remove(layer)
            tensors |= _factors(weight, state[f"{layer}.lora.A"], state[f"{layer}.lora.B"], layer == "embedding")
    if layers:
        raise UserError(f"format=peft: {family} of transformers has no layer like {min(layers)}.")
    ends = tuple(f".{part}" for part in PARTS)
    modules = dict.fromkeys(
        name.removeprefix(PREFIX).removesuffix(end) for name in tensors for end in ends if name.endswith(end)
    )
    rank = next(iter(state.values())).shape[0]
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": adapter.get("rank", rank),
        "lora_alpha": adapter.get("alpha", 16.0),
        "lora_dropout": adapter.get("dropout", 0.0),
        "target_modules": list(modules),
        "fan_in_fan_out": family == "gpt2",
        "bias": "none",
        "inference_mode": True,
    }
    make_folder(out)
    write_file(out / WEIGHTS, save(tensors, {"format": "pt"}))
    write_file(out / CONFIG, json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def _factors(weight: Weight, a: Tensor, b: Tensor, is_embedding: bool) -> dict[str, Tensor]:
    """Return the factors of all sources of a weight, by their names in peft: all have the same A."""
    if is_embedding:
        module = f"{PREFIX}{weight.sources[0].removesuffix('.weight')}"
        return {f"{module}.lora_embedding_A": a.contiguous(), f"{module}.lora_embedding_B": b.contiguous()}
    parts = _factor_layout(weight).write(b)
    factors: dict[str, Tensor] = {}
    for source, part in parts.items():
        module = f"{PREFIX}{source.removesuffix('.weight')}"
        factors |= {f"{module}.lora_A.weight": a.clone(), f"{module}.lora_B.weight": part}
    return factors


def _factor_layout(weight: Weight) -> Weight:
    """Return the layout of factors (outputs, rank), which are never transposed."""
    return Weight(weight.name, *weight.sources, heads=weight.heads)


def _check_config(config: Mapping[str, Any], folder: Path) -> None:
    """Raise ``UserError`` if the adapter needs something that is not done here."""
    for name, allowed in REQUIRED.items():
        if name in config and config[name] not in allowed:
            raise UserError(
                f"{folder / CONFIG}: {name}={short_repr(config[name])} is not supported. "
                f"Supported: {join_names([str(value) for value in allowed])}."
            )
    for name, value in config.items():
        if name not in KNOWN_KEYS and value:
            raise UserError(f"{folder / CONFIG}: {short_text(name)}={short_repr(value)} is not supported.")
    if not isinstance(config.get("lora_alpha"), int | float) or not 0 < float(config["lora_alpha"]) < math.inf:
        raise UserError(f"{folder / CONFIG}: lora_alpha={short_repr(config.get('lora_alpha'))} is no positive number.")


def _modules(tensors: TensorFiles, folder: Path) -> dict[str, list[str]]:
    """Return the names of the tensors of each module. Raises ``UserError`` for a tensor that is no factor."""
    modules: dict[str, list[str]] = {}
    for name in tensors:
        part = next((part for part in PARTS if name.endswith(f".{part}")), None)
        if part is None or not name.startswith(PREFIX):
            raise UserError(f"{folder}: nothing here takes its tensor {short_repr(name)}.")
        modules.setdefault(name.removeprefix(PREFIX).removesuffix(f".{part}"), []).append(name)
    return modules


def _delta(
    names: list[str], tensors: TensorFiles, config: Mapping[str, Any], folder: Path, module: str, shape: torch.Size
) -> Tensor:
    """Return the change of a module's weight (outputs, inputs), or of an embedding's (rows, width).

    Its ``shape`` is compared first: two small factors can have a product that is larger than the memory.

    Raises:
        CorruptCheckpoint: the factors do not fit each other, or the base.
    """
    if len(names) != 2:
        raise CorruptCheckpoint(f"{folder}: {module} has one of two factors.")
    a, b = (tensors[name].float() for name in sorted(names))
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1] or not a.shape[0]:
        raise CorruptCheckpoint(f"{folder}: the factors of {module} are {tuple(a.shape)} and {tuple(b.shape)}.")
    is_embedding = names[0].endswith(("lora_embedding_A", "lora_embedding_B"))
    found = (a.shape[1], b.shape[0]) if is_embedding else (b.shape[0], a.shape[1])
    if found != tuple(shape):
        raise CorruptCheckpoint(f"{folder}: its change of {module} is {found}, not {tuple(shape)}, as the base has it.")
    rank = a.shape[0]
    scale = config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
    change = b @ a * scale
    if not change.isfinite().all():
        raise CorruptCheckpoint(f"{folder}: the change of {module} has values that are not finite.")
    return change.T if is_embedding else change


def _text_network(method: Method) -> GPT:
    network = method.network if isinstance(method, Autoregressive) else None
    if not isinstance(network, GPT):
        raise UserError("folders of peft are for text models.")
    return cast(GPT, network)
