"""Models in folders of transformers: ``config.json``, safetensors, ``tokenizer.json``. Nothing in them is run."""

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from genai.core.card_metadata import BASE_KEY, hub_id, license_of, read_metadata
from genai.core.errors import CorruptCheckpoint, UserError, short_repr, short_text
from genai.core.files import check_file, file_hash, read_text
from genai.core.instantiate import Factory, parse_dataclass
from genai.core.plain_data import parse_json
from genai.core.progress import ProgressBar
from genai.core.terminal import one_line
from genai.exchange.families import Config, Family, family_of
from genai.exchange.weight_layout import Weight
from genai.methods.autoregressive import Autoregressive
from genai.methods.categorical import AutoregressiveOptions
from genai.modalities.chat_template import SPECIAL_TOKENS, ChatTemplate
from genai.modalities.pretrained_text import PretrainedText
from genai.networks.gpt import GPT
from genai.runs.record import BaseRecord

CONFIG, WEIGHTS, INDEX, TOKENIZER = "config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json"
GENERATION = "generation_config.json"
TOKENIZER_CONFIG, CHAT_TEMPLATE = "tokenizer_config.json", "chat_template.jinja"
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
"""Options of sampling that ``GENERATION`` has under the same names."""
UNSUPPORTED_SAMPLING: dict[str, Sequence[Any]] = {
    "num_beams": (1,), "typical_p": (1.0,), "epsilon_cutoff": (0.0,), "eta_cutoff": (0.0,), "penalty_alpha": (0.0,),
    "no_repeat_ngram_size": (0,), "guidance_scale": (1.0,), "top_h": (), "bad_words_ids": ((), []),
    "suppress_tokens": ((), []), "sequence_bias": ((), {}),
}  # fmt: skip
"""Options of sampling that only ``GENERATION`` has, with the values that change nothing."""
MAX_LAYERS, MAX_SHARDS, MAX_ENDS = 512, 1_000, 64


@dataclass(frozen=True)
class PretrainedModel:
    """A model from elsewhere.

    Attributes:
        modality, method: ready to sample.
        family: ``model_type`` of its config.
        origin: its name, its license and the hash of its files.
    """

    modality: PretrainedText
    method: Autoregressive
    family: str
    origin: BaseRecord


def is_pretrained_folder(path: Path) -> bool:
    """Return whether a folder holds a model of transformers."""
    return (path / CONFIG).is_file() and any((path / name).is_file() for name in (WEIGHTS, INDEX, "pytorch_model.bin"))


def read_folder(folder: Path) -> PretrainedModel:
    """Read a model from a folder.

    Raises:
        UserError: a file is missing, or asks for something that is not supported.
        CorruptCheckpoint: the weights do not fit the config, or are damaged.
    """
    root = hub_root(folder)
    config = _read_json(folder / CONFIG, root)
    family = family_of(config)
    if not any((folder / name).is_file() for name in (WEIGHTS, INDEX)):
        raise UserError(f"{folder} has weights as a pickle only, which can run code: save them as safetensors.")
    arguments = family.arguments(Config(config))
    if arguments["layers"] > MAX_LAYERS:
        raise UserError(f"{folder / CONFIG}: {arguments['layers']:,} layers are more than {MAX_LAYERS}.")
    files = [check_file(folder / name, folder=root) for name in _shards(folder, root)]
    network = load_network(family, arguments, TensorFiles(files), sum(file.stat().st_size for file in files), folder)
    generation = _read_json(folder / GENERATION, root) if (folder / GENERATION).is_file() else {}
    modality = _read_text_modality(folder, root, config, generation, arguments)
    method = Autoregressive(network, sampling=_read_sampling(generation, folder))
    return PretrainedModel(modality, method, config["model_type"], folder_origin(folder))


def folder_origin(folder: Path) -> BaseRecord:
    """Return name, license and hash of a model in a folder. Raises ``UserError`` if a file cannot be read.

    A folder that genai has exported keeps the name of the model that it came from.
    """
    root = hub_root(folder)
    card = read_metadata(folder, root)
    base = card.get(BASE_KEY)
    name = short_text(base) if isinstance(base, str) else hub_id(folder) or folder.name
    files = [name for name in (CONFIG, GENERATION, TOKENIZER, INDEX) if (folder / name).is_file()]
    hashes = [file_hash(check_file(folder / file, folder=root)) for file in (*files, *_shards(folder, root))]
    return BaseRecord(name, hashlib.sha256("".join(hashes).encode()).hexdigest(), license_of(card))


def load_network(
    family: Family, arguments: Mapping[str, Any], tensors: Mapping[str, Tensor], num_bytes: int, source: Path
) -> GPT:
    """Build the network that ``arguments`` describe with the weights ``tensors``, in float32.

    It is built on the meta device first: nothing is allocated for a description that does not fit the weights.

    Raises:
        UserError: an argument is out of range, or some exclude each other.
        CorruptCheckpoint: a tensor is missing, superfluous or of another shape.
    """
    Factory.parse({"_target_": f"{GPT.__module__}.{GPT.__name__}", **arguments}, GPT, short_text(str(source)))
    try:
        with torch.device("meta"):
            network = GPT(**arguments)
    except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:  # values of a stranger, such as its scaling
        raise UserError(f"{source}: {short_text(str(error))}") from error
    if sum(parameter.numel() for parameter in network.parameters()) > num_bytes:
        raise CorruptCheckpoint(f"{source} describes a model of more numbers than its weights have bytes.")
    names = {_full_name(name, family): name for name in tensors}
    weights = family.weights(dict(arguments))
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    used = dict.fromkeys(name for weight in weights for name in weight.sources)
    if missing := next((name for name in used if name not in names), None):
        raise CorruptCheckpoint(f"{source} has no tensor {missing}.")
    tied = {"lm_head.weight", "embed_out.weight"} if arguments["tied"] else set()
    unused = [name for name in names if name not in {*used, *tied} and not name.endswith(family.ignored)]
    if unused:
        raise CorruptCheckpoint(f"{source}: nothing here takes its tensor {short_repr(unused[0])}.")
    state = {}
    with ProgressBar("reading weights", len(weights)) as bar:
        for weight in weights:  # one by one: only what is used is read, and only once
            state[weight.name] = _read_weight(weight, names, tensors, expected[weight.name], source)
            bar.step()
    network.load_state_dict(state, strict=False, assign=True)
    if arguments["tied"]:
        network.readout.weight = network.embedding.weight
    return network.eval()


class TensorFiles(Mapping[str, Tensor]):
    """The tensors of safetensors files by name, each read when it is asked for. Raises ``CorruptCheckpoint``."""

    def __init__(self, files: list[Path]) -> None:
        self.files: dict[str, Any] = {}
        for file in files:
            try:
                archive = safe_open(file, "pt")
                self.files |= dict.fromkeys(archive.keys(), archive)
            except (SafetensorError, OSError) as error:
                raise CorruptCheckpoint(f"{file} is damaged: {short_text(str(error))}") from error

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self.files[name].get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


def _read_weight(
    weight: Weight, names: Mapping[str, str], tensors: Mapping[str, Tensor], shape: torch.Size, source: Path
) -> Tensor:
    """Read a tensor of ``shape`` in float32. Raises ``CorruptCheckpoint``.

    Args:
        weight: what to read.
        names: of ``tensors``, by their full names.
        tensors: all of them.
        shape: that of ``GPT``.
        source: for messages.
    """
    try:
        tensor = weight.read({name: tensors[names[name]] for name in weight.sources})
    except (RuntimeError, IndexError) as error:
        raise CorruptCheckpoint(f"{source}: {weight.sources[0]} has another shape than its config says.") from error
    except SafetensorError as error:
        raise CorruptCheckpoint(f"{source}: {weight.sources[0]}: {short_text(str(error))}") from error
    if tensor.shape != shape:
        found = f"{tuple(tensor.shape)}, not {tuple(shape)}"
        raise CorruptCheckpoint(f"{source}: {weight.sources[0]} is {found}, as its config says.")
    if not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise UserError(
            f"{source}: {weight.sources[0]} has values of type {kind}: quantized weights are not supported."
        )
    tensor = tensor.float()
    if not tensor.isfinite().all():
        raise CorruptCheckpoint(f"{source}: {weight.sources[0]} has values that are not finite.")
    return tensor


def _full_name(name: str, family: Family) -> str:
    """Return the name of a tensor with the prefix that some files leave out."""
    is_whole = name.startswith((family.prefix, "lm_head.", "embed_out.", "model."))
    return name if is_whole else f"{family.prefix}{name}"


def _shards(folder: Path, root: Path) -> list[str]:
    """Return the names of the files with weights. Raises ``UserError`` for a name that leaves the folder."""
    if not (folder / INDEX).is_file():
        return [WEIGHTS]
    names = _read_json(folder / INDEX, root).get("weight_map")
    files = sorted(set(map(str, names.values()))) if isinstance(names, dict) else []
    if not 0 < len(files) <= MAX_SHARDS:
        raise UserError(f"{folder / INDEX} names {len(files):,} files.")
    for name in files:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise UserError(f"{folder / INDEX} names {short_repr(name)}, which is no file of this folder.")
    return files


def _read_text_modality(
    folder: Path, root: Path, config: Mapping[str, Any], generation: Mapping[str, Any], arguments: Mapping[str, Any]
) -> PretrainedText:
    """Read the tokenizer, and which tokens end a text. Raises ``UserError``.

    Args:
        folder, root: of the files, and where links may lead to.
        config, generation: content of ``CONFIG`` and of ``GENERATION``, which may name the tokens that end a text.
        arguments: of ``GPT``.
    """
    if not (folder / TOKENIZER).is_file():
        raise UserError(f"{folder} has no {TOKENIZER}: save its tokenizer with transformers' save_pretrained first.")
    file, values = (GENERATION, generation) if generation.get("eos_token_id") is not None else (CONFIG, config)
    ends = values.get("eos_token_id")
    end_ids = [end for end in (ends if isinstance(ends, list) else [ends]) if isinstance(end, int)]
    if not 0 < len(end_ids) <= MAX_ENDS:
        raise UserError(f"{folder / file} names {len(end_ids) or 'no'} eos_token_id, the token that ends a text.")
    outside = [end for end in end_ids if not 0 <= end < arguments["vocab_size"]]
    if outside:
        size = f"the model has {arguments['vocab_size']:,} tokens"
        raise UserError(f"{folder / file}: eos_token_id={short_repr(outside[0])}, but {size}.")
    try:
        modality = PretrainedText(arguments["vocab_size"], arguments["block"], end_ids)
        modality.restore({"kind": "pretrained", "json": read_text(folder / TOKENIZER, "tokenizer", root)})
    except ValueError as error:
        raise UserError(f"{folder / TOKENIZER}: {error}.") from error
    modality.chat_template = _read_chat_template(folder, root)
    return modality


def _read_chat_template(folder: Path, root: Path) -> ChatTemplate | None:
    """Read the chat template, of several the one named ``default``. Raises ``UserError`` if it is too long."""
    names = ("special_tokens_map.json", TOKENIZER_CONFIG)
    values: dict[str, Any] = {}
    for name in names:
        values |= _read_json(folder / name, root) if (folder / name).is_file() else {}
    source = values.get("chat_template")
    if isinstance(source, list):
        named = {entry.get("name"): entry.get("template") for entry in source if isinstance(entry, dict)}
        source = named.get("default")
    if (folder / CHAT_TEMPLATE).is_file():
        source = read_text(folder / CHAT_TEMPLATE, "config", root)
    tokens = {name: values.get(name) for name in SPECIAL_TOKENS}
    tokens = {name: token.get("content") if isinstance(token, dict) else token for name, token in tokens.items()}
    try:
        special_tokens = {name: token for name, token in tokens.items() if isinstance(token, str)}
        return None if source is None else ChatTemplate(source, special_tokens)
    except ValueError as error:
        raise UserError(f"{folder}: {error}.") from error


def _read_sampling(generation: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the defaults of sampling of a ``GENERATION``; those that cannot be followed are named and left out."""
    if generation.get("do_sample") is not True:
        return {}
    values = {name: value for name, value in generation.items() if value is not None}
    sampling, left_out = dict[str, Any](), list[str]()
    for name in (name for name in SAMPLING if name in values):
        try:
            parse_dataclass(AutoregressiveOptions, {name: values[name]})
            sampling[name] = values[name]
        except UserError as error:
            left_out.append(str(error).rstrip("."))
    for name, neutral in UNSUPPORTED_SAMPLING.items():
        if name in values and values[name] not in neutral:
            left_out.append(f"{name}={short_repr(values[name])}: it is not supported")
    if left_out:
        print(one_line(f"{folder / GENERATION}: left out: {'; '.join(left_out)}"), file=sys.stderr, flush=True)
    return sampling


def _read_json(file: Path, root: Path) -> dict[str, Any]:
    values = parse_json(read_text(file, "record", root), str(file))
    if not isinstance(values, dict):
        raise UserError(f"{file} holds a {type(values).__name__}, not values by name.")
    return values


def hub_root(folder: Path) -> Path:
    """Return the folder that links in ``folder`` may lead to: of the hub's cache, that of the model with its blobs."""
    model = folder.parent.parent
    return model if folder.parent.name == "snapshots" and model.name.startswith("models--") else folder
