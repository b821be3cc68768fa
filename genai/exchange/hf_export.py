"""A text model as a folder of transformers: ``AutoModelForCausalLM`` and ``AutoTokenizer`` open it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from genai.core.errors import UserError
from genai.core.files import make_folder, read_text, write_file
from genai.core.terminal import one_line
from genai.exchange.description import network_arguments
from genai.exchange.families import FAMILIES, Arguments
from genai.exchange.pretrained import (
    CHAT_TEMPLATE,
    CONFIG,
    GENERATION,
    INDEX,
    TOKENIZER,
    TOKENIZER_CONFIG,
    WEIGHTS,
    hub_root,
)
from genai.methods.autoregressive import Autoregressive
from genai.methods.base import Method
from genai.modalities.base import Modality
from genai.modalities.pretrained_text import PretrainedText, PretrainedTokenizer
from genai.modalities.text import Text
from genai.modalities.tokenizers import BPE, CHARACTER_TO_BYTE, Bytes
from genai.networks.gpt import GPT

END = "<|endoftext|>"
MAX_SHARD_BYTES = 2 * 2**30
"""Weights of one file; a larger model has several and an index."""
FREE_HEAD_WIDTH = ("llama", "qwen3")
"""Families whose heads may have another width than ``width / heads``."""
EQUAL_KV_HEADS = ("gpt2", "gpt_neox")
"""Families that have as many heads with keys and values as with queries."""
COPIED = (TOKENIZER_CONFIG, "special_tokens_map.json", GENERATION, CHAT_TEMPLATE)
"""Files of a folder of transformers that go out as they came in."""


def export_folder(modality: Modality, method: Method, out: Path, source: Path | None = None, card: str = "") -> str:
    """Write a folder for transformers.

    Args:
        modality, method: of a text model.
        out: the folder, created if it does not exist.
        source: the folder of transformers that the model came from, whose tokenizer settings are copied.
        card: content of ``README.md``.

    Returns:
        The ``model_type`` of its config.

    Raises:
        UserError: no class of transformers computes the same, or a file of ``source`` is no text in its folder.
    """
    network = method.network if isinstance(method, Autoregressive) else None
    if not isinstance(modality, Text) or not isinstance(network, GPT):
        raise UserError("format=hf is for text models: transformers has no class for this one. Use format=genai.")
    arguments = network_arguments(network)
    family = family_name(arguments)
    tokenizer, end_ids = tokenizer_file(modality)
    config = FAMILIES[family].config(arguments) | {"eos_token_id": end_ids[0] if len(end_ids) == 1 else list(end_ids)}
    copies = (
        {name: read_text(source / name, "record", hub_root(source)) for name in _copied_names(source)} if source else {}
    )
    state, tensors = network.state_dict(), dict[str, Tensor]()
    for weight in FAMILIES[family].weights(arguments):
        tensors |= weight.write(state[weight.name].cpu())
    make_folder(out)
    _write_weights(tensors, out)
    _write_json(out / CONFIG, config)
    write_file(out / TOKENIZER, tokenizer.to_str())
    sampling = {"do_sample": True, **method.sampling} if method.sampling else {}
    _write_json(out / GENERATION, {"eos_token_id": config["eos_token_id"], **sampling})
    end_token = tokenizer.get_added_tokens_decoder().get(end_ids[0])  # transformers would make any other one special
    template = modality.chat_template
    special_tokens = {"eos_token": end_token.content} if end_token else {}
    special_tokens |= template.special_tokens if template else {}
    _write_json(
        out / TOKENIZER_CONFIG,
        {"tokenizer_class": "PreTrainedTokenizerFast", **special_tokens, "model_max_length": arguments["block"]},
    )
    if template and not source:
        write_file(out / CHAT_TEMPLATE, template.source)
    for name, text in copies.items():
        write_file(out / name, text)
    if card:
        write_file(out / "README.md", card)
    return family


def _copied_names(source: Path) -> list[str]:
    return [name for name in COPIED if (source / name).is_file()]


def fitting_family(arguments: Arguments) -> str | None:
    """Return the family of transformers that computes the same; ``None`` if there is none."""
    has_equal_heads = arguments["heads"] * arguments["head_width"] == arguments["width"]
    for name, family in FAMILIES.items():
        fits = has_equal_heads or name in FREE_HEAD_WIDTH
        fits &= arguments["kv_heads"] == arguments["heads"] or name not in EQUAL_KV_HEADS
        if fits and all(arguments[key] in allowed for key, allowed in family.required.items()):
            return name
    return None


def family_name(arguments: Arguments) -> str:
    """Return the family of transformers that computes the same. Raises ``UserError`` with what to train with."""
    if family := fitting_family(arguments):
        return family
    required = FAMILIES["nanochat"].required
    words = [
        f"model.network.{key}={str(allowed[0]).lower()}"
        for key, allowed in required.items()
        if arguments[key] not in allowed
    ]
    raise UserError(
        f"format=hf: no class of transformers computes the same. Train with {' '.join(words)}\nor with model=llama."
    )


def tokenizer_file(modality: Text) -> tuple[Tokenizer, tuple[int, ...]]:
    """Return the tokenizer as other tools read it, and the tokens that end a text. Raises ``UserError``."""
    tokenizer = modality.tokenizer
    if isinstance(modality, PretrainedText) and isinstance(tokenizer, PretrainedTokenizer):
        return tokenizer.tokenizer, modality.end_tokens
    if isinstance(tokenizer, BPE):
        exported = Tokenizer.from_str(tokenizer.tokenizer.to_str())
    elif isinstance(tokenizer, Bytes):
        exported = Tokenizer(models.BPE(dict(CHARACTER_TO_BYTE), []))
        exported.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        exported.decoder = decoders.ByteLevel()
    else:
        raise UserError("export needs modality.tokenizer=bpe or bytes: other tools have no tokenizer of characters.")
    names = {modality.end_token: END} | {index: mark for mark, index in modality.chat_marks.items()}
    for index in range(modality.end_token, max(names) + 1):  # ids follow from the order
        name = names.get(index, f"<|reserved_{index - modality.end_token}|>")
        exported.add_special_tokens([AddedToken(name, special=True, normalized=False)])
        if exported.token_to_id(name) != index:
            raise UserError(f"export: the training text has made {one_line(name)} a token of its own.")
    return exported, modality.end_tokens


def _write_weights(tensors: Mapping[str, Tensor], out: Path) -> None:
    """Write one file, or several of at most ``MAX_SHARD_BYTES`` and their index."""
    shards: list[dict[str, Tensor]] = [{}]
    for name, tensor in tensors.items():
        if shards[-1] and sum(map(_num_bytes, [*shards[-1].values(), tensor])) > MAX_SHARD_BYTES:
            shards.append({})
        shards[-1][name] = tensor
    names = [WEIGHTS] if len(shards) == 1 else [
        f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)
    ]  # fmt: skip
    for file, shard in zip(names, shards, strict=True):
        write_file(out / file, save(shard, {"format": "pt"}))
    if len(shards) > 1:
        places = {name: file for file, shard in zip(names, shards, strict=True) for name in shard}
        total = sum(map(_num_bytes, tensors.values()))
        _write_json(out / INDEX, {"metadata": {"total_size": total}, "weight_map": places})


def _num_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _write_json(file: Path, value: Any) -> None:
    write_file(file, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
