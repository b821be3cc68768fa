"""Text with the tokenizer of a model that was trained elsewhere, which is kept as it is."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import torch
from annotated_types import Ge, Le, Len
from numpy.typing import NDArray
from tokenizers import Tokenizer as TokenizerFile
from torch import Tensor

from genai.core.data import Split
from genai.core.errors import UserError, short_text
from genai.modalities import chatml
from genai.modalities.chat_template import ChatTemplate
from genai.modalities.infill import InfillMarks, find_marks
from genai.modalities.text import Text
from genai.modalities.token_ids import TokenID
from genai.modalities.tokenizers import CHARACTER_TO_BYTE, Tokenizer

MAX_FILE = 64 * 2**20
"""Characters of a ``tokenizer.json``."""


class PretrainedTokenizer(Tokenizer):
    """A ``tokenizer.json``: its normalization, pre-tokenization and special tokens are its own.

    Args:
        text: content of the file. It runs no code.

    Raises:
        ValueError: it is no such file, or its tokens stand for no known bytes.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_FILE:
            raise ValueError(f"a tokenizer of {len(text):,} characters")
        self.text = text
        try:
            self.tokenizer = TokenizerFile.from_str(text)
        except Exception as error:  # `tokenizers` raises bare Exception
            raise ValueError(f"not a tokenizer: {short_text(str(error))}") from error
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        added = self.tokenizer.get_added_tokens_decoder()
        self.special_ids = sorted(index for index, token in added.items() if token.special)
        is_byte_level = '"ByteLevel"' in text
        size = max([self.tokenizer.get_vocab_size(), *(index + 1 for index in added)])
        if size > 2_000_000:
            raise ValueError(f"a tokenizer of {size:,} tokens")
        tokens = [self.tokenizer.id_to_token(index) or "" for index in range(size)]
        self.begin_ids = self.tokenizer.encode("", add_special_tokens=True).ids[:1]
        self.token_bytes = [
            token.encode() if index in added else _token_bytes(token, is_byte_level)
            for index, token in enumerate(tokens)
        ]

    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the token ids of ``text``, without the token that begins a text."""
        return np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, np.int64)

    def state(self) -> dict[str, Any]:
        return {"kind": "pretrained", "json": self.text}


def _token_bytes(token: str, is_byte_level: bool) -> bytes:
    """Return the bytes of a token: of GPT-2's printable characters, or of SentencePiece with its byte fallback."""
    if is_byte_level:
        return (
            bytes(CHARACTER_TO_BYTE[c] for c in token) if all(c in CHARACTER_TO_BYTE for c in token) else token.encode()
        )
    if re.fullmatch(r"<0x[0-9A-F]{2}>", token):
        return bytes([int(token[3:5], 16)])
    return token.replace("\u2581", " ").encode()


class PretrainedText(Text):
    """Text with a tokenizer from elsewhere.

    Args:
        vocab_size: rows of the model's embedding; it may have more than the tokenizer has tokens.
        block: context length of the network in tokens.
        end_ids: tokens that end a text; the first separates documents in training.

    """

    infill_suffix_first = False

    def __init__(
        self,
        vocab_size: Annotated[int, Ge(2), Le(2_000_000)],
        block: Annotated[int, Ge(2), Le(1_000_000)],
        end_ids: Annotated[Sequence[TokenID], Len(1, 64)],
    ) -> None:
        super().__init__("bytes", None, block)
        self.rows, self.end_ids = vocab_size, tuple(end_ids)
        if max(self.end_ids) >= vocab_size:
            raise ValueError(f"end_ids={list(end_ids)}: the model has {vocab_size:,} tokens")

    @property
    def end_token(self) -> int:
        """The token after each document."""
        return self.end_ids[0]

    @property
    def end_tokens(self) -> tuple[int, ...]:
        return self.end_ids

    @property
    def infill_marks(self) -> InfillMarks | None:
        """The marks that its tokenizer has, if they are known."""
        return find_marks(self._added_ids)

    @property
    def _added_ids(self) -> dict[str, int]:
        """Ids of the tokens that were added to the vocabulary, such as marks."""
        added = cast(PretrainedTokenizer, self.tokenizer).tokenizer.get_added_tokens_decoder()
        return {token.content: index for index, token in added.items()}

    @property
    def description(self) -> str:
        return f"text of {self.rows:,} different tokens (of another model), with a context of {self.block:,}"

    @property
    def interface(self) -> dict[str, Any]:
        return {"vocab_size": self.rows, "block": self.block}

    def fit(self, split: Split, cache: Path) -> None:
        """Raise ``UserError``: the tokenizer comes with the weights."""
        raise UserError("this tokenizer comes with the weights of another model: it cannot be trained from data.")

    def state(self) -> dict[str, Any]:
        template = {"chat_template": self.chat_template.state()} if self.chat_template else {}
        return self.tokenizer.state() | template

    @property
    def chat_marks(self) -> dict[str, int]:
        """Empty: its tokenizer knows the marks."""
        return {}

    @property
    def special_texts(self) -> tuple[str, ...]:
        tokenizer = cast(PretrainedTokenizer, self.tokenizer)
        special = {*tokenizer.special_ids, *self.end_ids}
        return tuple(text for text, index in self._added_ids.items() if index in special and text)

    def ensure_chat_template(self) -> None:
        """Give the model ChatML if its tokenizer has the marks and the model no template. Raises ``UserError``."""
        if self.chat_template:
            return
        ids = self._added_ids
        if chatml.END not in ids or chatml.START not in ids:
            raise UserError(
                "conversations need a chat template or its marks: this model has no chat template, and its tokenizer "
                f"no tokens {chatml.START} and {chatml.END}. Choose a model that was trained on chats, whose "
                "name often ends in -Instruct."
            )
        self.chat_template = ChatTemplate(chatml.STANDARD_SOURCE)
        self.end_ids = tuple(dict.fromkeys([*self.end_ids, ids[chatml.END]]))

    @property
    def _mark_texts(self) -> list[str]:
        return list(self._added_ids)

    def encode_prompt(self, text: str) -> Tensor:
        """Convert the beginning of a sample to (tokens,) int64, after the token that begins a text, if any."""
        begin = cast(PretrainedTokenizer, self.tokenizer).begin_ids
        tokens = super().encode_prompt(text)
        has_begin = tokens[: len(begin)].tolist() == begin  # a chat template may have written it
        return tokens if has_begin else torch.cat([torch.tensor(begin, dtype=torch.long), tokens])

    def prompt_bytes(self, x: Tensor) -> bytes:
        """Return the UTF-8 of a prompt without the token that begins a text."""
        begin = cast(PretrainedTokenizer, self.tokenizer).begin_ids
        return super().prompt_bytes(x[len(begin) :] if begin and x[: len(begin)].tolist() == begin else x)

    def restore(self, state: Mapping[str, Any]) -> None:
        tokenizer = PretrainedTokenizer(state["json"])
        if len(tokenizer.token_bytes) > self.rows:
            raise ValueError(f"the tokenizer has {len(tokenizer.token_bytes):,} tokens, the model {self.rows:,}")
        template = state.get("chat_template")  # older states have none
        self.chat_template = None if template is None else ChatTemplate.from_state(template)
        self.tokenizer = tokenizer
        if self.chat_template and self.chat_template.source == chatml.STANDARD_SOURCE and chatml.END in self._added_ids:
            self.end_ids = tuple(dict.fromkeys([*self.end_ids, self._added_ids[chatml.END]]))
