"""Models in GGUF files of llama.cpp, read with the package ``gguf``: F16, F32, Q8_0, Q4_0 and Q4_1 become float32."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genai.core.errors import CorruptCheckpoint, UserError, short_repr, short_text
from genai.core.files import check_file, file_hash
from genai.exchange.families import family_of
from genai.exchange.gguf_rotary import FACTORS, read_rope
from genai.exchange.gguf_tokenizer import read_text_modality
from genai.exchange.hf_config import Config
from genai.exchange.pretrained import MAX_LAYERS, PretrainedModel, load_network
from genai.exchange.weight_layout import Weight
from genai.methods.autoregressive import Autoregressive
from genai.networks.native.formats import GROUP, GroupedWeight
from genai.networks.native.weight_format import store_weights
from genai.runs.record import BaseRecord

QUANTIZATIONS = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1")
GROUP_BYTES = {"Q8_0": 34, "Q4_0": 18, "Q4_1": 20}
"""Bytes of 32 weights: one scale, or a scale and a minimum, as float16, then the values."""
MAX_VALUES_PER_BYTE = 2
"""A file with more values than this per byte holds none of ``QUANTIZATIONS``."""
MAX_READS = 5_000_000
"""Values of the metadata that are read; a file with 49,152 tokens (SmolLM2) has 247,312."""
BASE = "genai.base"
"""Name of the model that an exported one came from, as ``BASE_KEY`` of a card."""
ARCHITECTURES = ("llama", "qwen2", "qwen3")
NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Tensors of transformers by their names in GGUF."""


def is_gguf_file(path: Path) -> bool:
    """Return whether a file begins as GGUF does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def read_gguf(path: Path) -> PretrainedModel:
    """Read a model from a file.

    Raises:
        UserError: the package is missing, or the file asks for something that is not supported.
        CorruptCheckpoint: it is damaged, or its weights do not fit its description.
    """
    reader = _open(check_file(path))
    fields = Fields(reader, path)
    architecture = fields.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise UserError(
            f"{path}: general.architecture={short_repr(architecture)} is not supported. "
            f"There are: {', '.join(ARCHITECTURES)}."
        )
    config = _config(fields, architecture)
    family = family_of(config)
    tensors = GGUFTensors(reader, config, path)
    config["rope_parameters"] = _read_rope(fields, tensors, Config(config), path)
    config["tie_word_embeddings"] = "lm_head.weight" not in tensors
    config["attention_bias"] = architecture == "llama" and "model.layers.0.self_attn.q_proj.bias" in tensors
    arguments = family.arguments(Config(config))
    if arguments["layers"] > MAX_LAYERS:
        raise UserError(f"{path}: {arguments['layers']:,} layers are more than {MAX_LAYERS}.")
    network = load_network(family, arguments, tensors, MAX_VALUES_PER_BYTE * path.stat().st_size, path)
    store_weights(network, _grouped_weights(family.weights(arguments), tensors, arguments["tied"]))
    modality = read_text_modality(fields, arguments, path)
    name, license = fields.get(BASE) or fields.get("general.name"), fields.get("general.license")
    origin = BaseRecord(
        short_text(name) if name else path.stem, file_hash(path), short_text(license) if license else ""
    )
    return PretrainedModel(modality, Autoregressive(network), architecture, origin)


class Fields:
    """The metadata of a file. Raises ``CorruptCheckpoint`` for values that cannot be read."""

    def __init__(self, reader: Any, path: Path) -> None:
        self.reader, self.path = reader, path

    def get(self, name: str, default: Any = None) -> Any:
        field = self.reader.fields.get(name)
        if field is None:
            return default
        try:
            return field.contents()
        except Exception as error:  # values of a stranger
            raise CorruptCheckpoint(f"{self.path} is damaged: its {short_text(name)} cannot be read.") from error


class GGUFTensors(Mapping[str, Tensor]):
    """The tensors of a file in float32, by their names in transformers; each is converted when it is asked for."""

    def __init__(self, reader: Any, config: Mapping[str, Any], path: Path) -> None:
        self.path, self.config = path, config
        self.tensors = {_full_name(tensor.name): tensor for tensor in reader.tensors}
        for tensor in reader.tensors:
            if tensor.tensor_type.name not in QUANTIZATIONS:
                kinds = ", ".join(QUANTIZATIONS)
                raise UserError(
                    f"{path}: weights of type {tensor.tensor_type.name} are not supported; there are: {kinds}."
                )

    def __getitem__(self, name: str) -> Tensor:
        from gguf import dequantize

        tensor = self.tensors[name]
        try:
            values = torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type), np.float32))
        except Exception as error:  # sizes of a stranger
            raise CorruptCheckpoint(f"{self.path} is damaged: {short_text(name)} cannot be read.") from error
        return self._in_order(values, name)

    def grouped(self, name: str) -> GroupedWeight | None:
        """Return a tensor as the whole numbers that it is stored in; ``None`` if it is not."""
        tensor = self.tensors[name]
        kind = tensor.tensor_type.name
        if kind not in GROUP_BYTES:
            return None
        data = torch.from_numpy(np.array(tensor.data, np.uint8))
        blocks = data.view(len(data), -1, GROUP_BYTES[kind])  # (rows, groups, bytes)
        halves = blocks[..., : 4 if kind == "Q4_1" else 2].contiguous().view(torch.float16).float()
        scales = halves[..., 0]
        if kind == "Q8_0":
            values, minimums = blocks[..., 2:].contiguous().view(torch.int8), None
        else:
            numbers = blocks[..., -GROUP // 2 :]
            values = torch.cat([numbers & 15, numbers >> 4], -1)
            minimums = halves[..., 1] if kind == "Q4_1" else -8 * scales
        parts = [values.flatten(1), scales, *([] if minimums is None else [minimums])]
        return GroupedWeight(*(self._in_order(part, name) for part in parts))

    def _in_order(self, rows: Tensor, name: str) -> Tensor:
        """Return the rows of a matrix of queries or keys in the order of transformers."""
        if self.config["model_type"] == "llama" and (part := re.search(r"\.(q|k)_proj\.", name)):
            heads = self.config["num_attention_heads" if part[1] == "q" else "num_key_value_heads"]
            return _split_rotary_pairs(rows, heads)
        return rows

    def __contains__(self, name: object) -> bool:
        return name in self.tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


def _grouped_weights(weights: Sequence[Weight], tensors: GGUFTensors, tied: bool) -> dict[str, GroupedWeight]:
    """Return the matrices that the file stores as whole numbers, by the names of ``GPT``."""
    stored = {}
    for weight in weights:
        parts = {source: tensors.grouped(source) for source in weight.sources}
        found = [part for part in parts.values() if part is not None]
        if len(found) < len(parts) or len({part.format for part in found}) != 1:
            continue
        fields = ("values", "scales", *(["minimums"] if found[0].minimums is not None else []))
        stored[weight.name] = GroupedWeight(
            *(weight.read({source: getattr(part, field) for source, part in parts.items()}) for field in fields)
        )
    if tied and "embedding.weight" in stored:
        stored["readout.weight"] = stored["embedding.weight"]
    return stored


def _open(path: Path) -> Any:
    try:
        from gguf import GGUFReader
    except ImportError:
        raise UserError(f"{path}: GGUF needs the package gguf: pip install 'genai[gguf]'.") from None
    try:
        return _checked_reader(GGUFReader)(path)
    except Exception as error:  # a damaged file can cause any error
        raise CorruptCheckpoint(f"{path} is damaged: {short_text(str(error)) or type(error).__name__}.") from error


def _checked_reader(reader: Any) -> Any:
    """Return the class ``GGUFReader`` with limits; an array that is longer than the file would never end."""

    class CheckedReader(reader):
        num_reads = 0

        def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
            self.num_reads += 1
            if self.num_reads > MAX_READS:
                raise ValueError(f"its metadata have more than {MAX_READS:,} values")
            if int(offset) + np.dtype(dtype).itemsize * int(count) > len(self.data):
                raise ValueError("its end is missing")
            return super()._get(offset, dtype, count, override_order)

    return CheckedReader


def _config(fields: Fields, architecture: str) -> dict[str, Any]:
    """Return the metadata as a config of transformers."""
    get = lambda name: fields.get(f"{architecture}.{name}")  # noqa: E731
    tokens = fields.get("tokenizer.ggml.tokens")
    return {
        "model_type": architecture,
        "vocab_size": get("vocab_size") or (len(tokens) if isinstance(tokens, list) else None),
        "hidden_size": get("embedding_length"),
        "intermediate_size": get("feed_forward_length"),
        "num_hidden_layers": get("block_count"),
        "num_attention_heads": get("attention.head_count"),
        "num_key_value_heads": get("attention.head_count_kv") or get("attention.head_count"),
        "head_dim": get("attention.key_length"),
        "max_position_embeddings": get("context_length"),
        "rms_norm_eps": get("attention.layer_norm_rms_epsilon"),
    }


def _read_rope(fields: Fields, tensors: GGUFTensors, config: Config, path: Path) -> dict[str, Any]:
    """Return the ``rope_parameters``; their factors are not among the tensors any more. Raises ``UserError``."""
    heads = config.integer("num_attention_heads")
    head_width = config.integer("head_dim", config.integer("hidden_size") // heads)
    factors = None
    if FACTORS in tensors:
        factors = tensors[FACTORS]
        del tensors.tensors[FACTORS]
    try:
        return read_rope(lambda name: fields.get(f"{config.values['model_type']}.{name}"), factors, head_width)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _full_name(name: str) -> str:
    """Return the name in transformers; a name that is unknown stays as it is, to be refused."""
    block = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name)
    part, kind = (block[2], block[3]) if block else name.rpartition(".")[::2]
    prefix = f"model.layers.{block[1]}." if block else ""
    return f"{prefix}{NAMES[part]}.{kind}" if part in NAMES else name


def _split_rotary_pairs(rows: Tensor, heads: int) -> Tensor:
    """Put the rows of rotary pairs, which llama.cpp stores beside each other, into two halves of each head."""
    return rows.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)
