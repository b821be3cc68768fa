"""Byte-level BPE tokenizers in the metadata of GGUF files, to and from those of the package ``tokenizers``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from genai.core.errors import UserError, join_names, short_repr, short_text
from genai.exchange.hf_export import tokenizer_file
from genai.modalities.chat_template import ChatTemplate
from genai.modalities.pretrained_text import PretrainedText, PretrainedTokenizer
from genai.modalities.text import Text

_DIGITS = pre_tokenizers.Digits(individual_digits=True)
_BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PRE_TOKENIZERS: dict[str, list[Any]] = {
    "gpt-2": [_BYTES],
    "smollm": [_DIGITS, _BYTES],
    "llama-bpe": [_WORDS % "{1,3}"],
    "qwen2": [_WORDS % ""],
}
"""Ways to split a text before BPE, by ``tokenizer.ggml.pre``; a text is a regular expression."""
IGNORES_MERGES = ("llama-bpe",)
"""Where llama.cpp takes a word that is a token as it is."""
NORMALIZERS = {"qwen2": ("NFC",)}
"""Normalizations that llama.cpp leaves out, by ``tokenizer.ggml.pre``; of the others there are none."""
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 1, 2, 3, 4, 5
"""Types of tokens. Special ones are unknown or control; user-defined ones, such as ``<tool_call>``, are whole, too."""
ENDS = ("eos", "eot", "eom")
"""Tokens that end a text, as names of metadata."""


class Metadata(Protocol):
    """The metadata of a file."""

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value ``name``."""


def read_text_modality(fields: Metadata, arguments: Mapping[str, Any], path: Path) -> PretrainedText:
    """Build the tokenizer of a file from its metadata. Raises ``UserError``.

    Args:
        fields: its metadata.
        arguments: of its ``GPT``.
        path: for messages.
    """
    kind, pre = fields.get("tokenizer.ggml.model"), fields.get("tokenizer.ggml.pre", "gpt-2")
    if kind != "gpt2" or pre not in PRE_TOKENIZERS:
        raise UserError(
            f"{path}: its tokenizer ({short_repr(kind)}, {short_repr(pre)}) is not supported. "
            f"There are: 'gpt2' with {', '.join(PRE_TOKENIZERS)}."
        )
    ends = [fields.get(f"tokenizer.ggml.{name}_token_id") for name in ENDS]
    end_ids = [end for end in dict.fromkeys(ends) if isinstance(end, int)]
    if not end_ids:
        raise UserError(f"{path} names no token that ends a text.")
    try:
        modality = PretrainedText(arguments["vocab_size"], arguments["block"], end_ids)
        modality.restore({"kind": "pretrained", "json": _read_tokenizer(fields, pre).to_str()})
        modality.chat_template = _read_chat_template(fields)
    except Exception as error:  # `tokenizers` raises bare Exception
        raise UserError(f"{path}: {short_text(str(error)).rstrip('.')}.") from error
    return modality


def tokenizer_metadata(modality: Text, vocab_size: int) -> dict[str, Any]:
    """Return the tokenizer as metadata for ``vocab_size`` rows of an embedding.

    Raises:
        UserError: it is no byte-level BPE, or llama.cpp has none that splits a text as it does.
    """
    tokenizer, end_ids = tokenizer_file(modality)
    if len(end_ids) > len(ENDS):
        raise UserError(f"format=gguf: {len(end_ids)} tokens end a text; llama.cpp has at most {len(ENDS)}.")
    values = json.loads(tokenizer.to_str())
    pre = _pre_tokenizer_name(values)
    begin = modality.tokenizer.begin_ids if isinstance(modality.tokenizer, PretrainedTokenizer) else []
    template = modality.chat_template
    template_begin = tokenizer.token_to_id(template.special_tokens.get("bos_token", "")) if template else None
    tokens, types = _tokens(tokenizer, vocab_size)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": _merges(values["model"]["merges"]),
        "tokenizer.ggml.bos_token_id": next(i for i in (*begin, template_begin, end_ids[0]) if i is not None),
        **{f"tokenizer.ggml.{name}_token_id": end for name, end in zip(ENDS, end_ids, strict=False)},
        "tokenizer.ggml.add_bos_token": bool(begin),
        **({"tokenizer.chat_template": template.source} if template else {}),
    }


def _read_tokenizer(fields: Metadata, pre: str) -> Tokenizer:
    tokens, types = fields.get("tokenizer.ggml.tokens"), fields.get("tokenizer.ggml.token_type")
    size = len(types)
    while size and types[size - 1] == UNUSED:  # they only fill the rows of the embedding
        size -= 1
    if size < len(types):
        tokens, types = tokens[:size], types[:size]
    merges = [tuple(merge.split(" ", 1)) for merge in fields.get("tokenizer.ggml.merges")]
    vocab = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(
        models.BPE(vocab, [(first, second) for first, second in merges], ignore_merges=pre in IGNORES_MERGES)
    )
    tokenizer.pre_tokenizer = _pre_tokenizer(pre)
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, types, strict=True) if kind in (UNKNOWN, CONTROL)]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    others = [token for token, kind in zip(tokens, types, strict=True) if kind == USER_DEFINED]
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in others])
    begin = fields.get("tokenizer.ggml.bos_token_id")
    if fields.get("tokenizer.ggml.add_bos_token", pre == "llama-bpe") and begin is not None:
        template = f"{tokens[begin]} $A"
        tokenizer.post_processor = processors.TemplateProcessing(template, None, [(tokens[begin], begin)])
    return tokenizer


def _read_chat_template(fields: Metadata) -> ChatTemplate | None:
    """Return the chat template with the tokens that it may name. Raises ``ValueError`` if it is too long."""
    source, tokens = fields.get("tokenizer.chat_template"), fields.get("tokenizer.ggml.tokens")
    ids = {f"{name}_token": fields.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos")}
    special_tokens = {name: tokens[index] for name, index in ids.items() if index is not None}
    return ChatTemplate(source, special_tokens) if source else None


def _pre_tokenizer(pre: str) -> pre_tokenizers.PreTokenizer:
    splits = [_split(rule) if isinstance(rule, str) else [rule] for rule in PRE_TOKENIZERS[pre]]
    return pre_tokenizers.Sequence([step for steps in splits for step in steps])


def _split(pattern: str) -> list[Any]:
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    return [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]


def _pre_tokenizer_name(values: Mapping[str, Any]) -> str:
    """Return the ``tokenizer.ggml.pre`` of a ``tokenizer.json``. Raises ``UserError`` if there is none."""
    model, normalizer = values["model"], (values["normalizer"] or {}).get("type")
    options = [model.get(name) for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix")]
    if model["type"] == "BPE" and not any(options) and not model.get("byte_fallback"):
        steps = _steps(values["pre_tokenizer"])
        for name in PRE_TOKENIZERS:
            fits = steps == _steps(json.loads(_only_splits(name).to_str())["pre_tokenizer"])
            fits &= (name in IGNORES_MERGES) == bool(model.get("ignore_merges"))
            if fits and normalizer in (None, *NORMALIZERS.get(name, ())):
                return name
    raise UserError(
        f"format=gguf: llama.cpp has no tokenizer like this one. There are: BPE over bytes that splits as "
        f"{join_names(PRE_TOKENIZERS)} do."
    )


def _only_splits(pre: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = _pre_tokenizer(pre)
    return tokenizer


def _steps(pre_tokenizer: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the steps of a pre-tokenizer; ``trim_offsets`` does not change tokens."""
    if pre_tokenizer is None:
        return []
    if pre_tokenizer["type"] == "Sequence":
        return [step for part in pre_tokenizer["pretokenizers"] for step in _steps(part)]
    return [{name: value for name, value in pre_tokenizer.items() if name != "trim_offsets"}]


def _tokens(tokenizer: Tokenizer, vocab_size: int) -> tuple[list[str], list[int]]:
    """Return ``vocab_size`` tokens and their types. Raises ``UserError`` for a token that takes spaces with it."""
    added = tokenizer.get_added_tokens_decoder()
    tokens, types = [], []
    for index in range(vocab_size):
        token, entry = tokenizer.id_to_token(index), added.get(index)
        if entry is not None and (entry.lstrip or entry.rstrip or entry.single_word):
            raise UserError(
                f"format=gguf: the token {short_repr(token)} takes spaces with it; llama.cpp has none such."
            )
        kind = NORMAL if entry is None else CONTROL if entry.special else USER_DEFINED
        tokens.append(f"[PAD{index}]" if token is None else token)
        types.append(UNUSED if token is None else kind)
    return tokens, types


def _merges(merges: list[Any]) -> list[str]:
    """Return pairs as texts. Raises ``UserError`` for a part with a space, which would not be read back."""
    texts = [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
    if wrong := next((text for text in texts if text.count(" ") != 1), None):
        raise UserError(f"format=gguf: llama.cpp cannot read the merge {short_repr(wrong)}.")
    return texts
