"""A text model as a GGUF file for llama.cpp, written with the package ``gguf``: F16 matrices, F32 norms and biases."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from genai.core.errors import UserError
from genai.core.files import make_folder, temporary_path, write_file
from genai.core.filesystem import replace_file, sync_file
from genai.exchange.description import network_arguments
from genai.exchange.families import FAMILIES, FLOAT32_EPS, Arguments
from genai.exchange.gguf_file import ARCHITECTURES, BASE, NAMES
from genai.exchange.gguf_rotary import FACTORS, rope_metadata
from genai.exchange.gguf_tokenizer import tokenizer_metadata
from genai.exchange.hf_export import fitting_family
from genai.methods.autoregressive import Autoregressive
from genai.methods.base import Method
from genai.modalities.base import Modality
from genai.modalities.text import Text
from genai.networks.gpt import GPT

FILE = "model.gguf"
F16_FILE = 1
"""``general.file_type`` of files with F16 matrices."""
MAX_F16 = 65_504.0
GGUF_NAMES = {part: name for name, part in NAMES.items()}
"""Names in GGUF, by those in transformers."""


def export_gguf(
    modality: Modality, method: Method, out: Path, card: str = "", license: str = "", base: str = ""
) -> str:
    """Write ``FILE`` for llama.cpp.

    Args:
        modality, method: of a text model.
        out: the folder, created if it does not exist.
        card: content of ``README.md``.
        license: of the model, if it is known.
        base: name of the model that it was trained from, if it is known.

    Returns:
        Its ``general.architecture``.

    Raises:
        UserError: llama.cpp computes nothing that is the same, or the package is missing.
        OSError: the folder cannot be written.
    """
    network = method.network if isinstance(method, Autoregressive) else None
    if not isinstance(modality, Text) or not isinstance(network, GPT):
        raise UserError("format=gguf is for text models: llama.cpp cannot run this one.")
    writer_class = _writer_class()
    arguments = network_arguments(network)
    architecture = _architecture(arguments)
    rope, factors = rope_metadata(arguments)
    metadata: dict[str, Any] = {
        "general.type": "model",
        "general.file_type": F16_FILE,
        **{name: text for name, text in (("general.license", license), (BASE, base)) if text},
        **{f"{architecture}.{name}": value for name, value in (_sizes(arguments) | rope).items()},
        **tokenizer_metadata(modality, arguments["vocab_size"]),
    }
    tensors = _tensors(network.state_dict(), arguments, architecture)
    if factors is not None:
        tensors[FACTORS] = factors.numpy()
    make_folder(out)
    writer = writer_class(None, architecture)
    for name, value in metadata.items():
        _add(writer, name, value)
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    _write(writer, out / FILE)
    if card:
        write_file(out / "README.md", card)
    return architecture


def _writer_class() -> Any:
    """Return the class ``GGUFWriter`` that writes empty lists, too: a tokenizer of bytes has no merges."""
    try:
        from gguf import GGUFValueType, GGUFWriter
    except ImportError:
        raise UserError("format=gguf needs the package gguf: pip install 'genai[gguf]'.") from None

    base: Any = GGUFWriter

    class Writer(base):
        def _pack_val(self, val: Any, kind: Any, **options: Any) -> bytes:
            if kind != GGUFValueType.ARRAY or len(val):
                return bytes(super()._pack_val(val, kind, **options))
            return bytes(self._pack("I", kind) + self._pack("I", GGUFValueType.STRING) + self._pack("Q", 0))

    return Writer


def _architecture(arguments: Arguments) -> str:
    """Return the architecture of llama.cpp that computes the same. Raises ``UserError`` with what to train with."""
    family = fitting_family(arguments)
    kind = (arguments["rotary_scaling"] or {}).get("rope_type")
    if family in ("qwen2", "qwen3") and kind == "llama3":
        raise UserError(f"format=gguf: llama.cpp has no rope_type=llama3 for {family}.")
    if family not in ARCHITECTURES:
        name = f"this network is {family}" if family else "this network is none of them"
        raise UserError(f"format=gguf is for {', '.join(ARCHITECTURES)}; {name}. Train with model=llama.")
    return family


def _sizes(arguments: Arguments) -> dict[str, Any]:
    """Return sizes and constants by their names after that of the architecture."""
    return {
        "vocab_size": arguments["vocab_size"],
        "context_length": arguments["block"],
        "embedding_length": arguments["width"],
        "feed_forward_length": arguments["hidden"],
        "block_count": arguments["layers"],
        "attention.head_count": arguments["heads"],
        "attention.head_count_kv": arguments["kv_heads"],
        "attention.key_length": arguments["head_width"],
        "attention.value_length": arguments["head_width"],
        "attention.layer_norm_rms_epsilon": FLOAT32_EPS if arguments["eps"] is None else float(arguments["eps"]),
        "rope.dimension_count": arguments["head_width"],
        "rope.freq_base": float(arguments["rotary_base"]),
    }


def _tensors(state: Mapping[str, Tensor], arguments: Arguments, architecture: str) -> dict[str, NDArray[Any]]:
    """Return the weights by their names in GGUF. Raises ``UserError`` for a value that F16 does not have."""
    tensors = {}
    for weight in FAMILIES[architecture].weights(arguments):
        for source, tensor in weight.write(state[weight.name].cpu()).items():
            if architecture == "llama" and (part := re.search(r"\.(q|k)_proj\.", source)):
                tensor = _join_rotary_pairs(tensor, arguments["heads" if part[1] == "q" else "kv_heads"])
            values = tensor.float().numpy()
            if values.ndim > 1 and np.abs(values).max() > MAX_F16:
                raise UserError(f"format=gguf: {source} has values above {MAX_F16:,.0f}, the largest of F16.")
            tensors[_gguf_name(source)] = values.astype(np.float16) if values.ndim > 1 else values
    return tensors


def _join_rotary_pairs(rows: Tensor, heads: int) -> Tensor:
    """Put the rows of rotary pairs beside each other, as llama.cpp stores them, from the two halves of each head."""
    return rows.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def _gguf_name(name: str) -> str:
    """Return the name in GGUF of a tensor of transformers, such as ``model.layers.0.mlp.up_proj.weight``."""
    block = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", name)
    part, _, kind = (block[2] if block else name).rpartition(".")
    prefix = f"blk.{block[1]}." if block else ""
    return f"{prefix}{GGUF_NAMES[part]}.{kind}"


def _add(writer: Any, name: str, value: Any) -> None:
    """Add a value with the type that llama.cpp expects."""
    from gguf import GGUFValueType

    kinds = {str: "STRING", bool: "BOOL", int: "UINT32", float: "FLOAT32", list: "ARRAY"}
    writer.add_key_value(name, value, GGUFValueType[kinds[type(value)]])


def _write(writer: Any, file: Path) -> None:
    """Write beside the place and rename: half a file never stands there. Raises ``OSError``."""
    temporary = temporary_path(file)
    try:
        writer.write_header_to_file(temporary)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with temporary.open("rb+") as written:
            sync_file(written)
        replace_file(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
