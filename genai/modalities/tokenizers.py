"""Lossless tokenizers: byte-level BPE, characters, bytes.

Each maps token ids to bytes, so that one decoder serves all of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as BPETokenizer

from genai.core.errors import UserError, short_text
from genai.core.plain_data import parse_json

MAX_CHARACTERS = 0x110000
"""Code points of Unicode."""
MAX_BPE_TEXT, MAX_TOKEN_TEXT = 12 * 2**20, 1_000
"""Characters of a BPE tokenizer as JSON: in all, and on average per token."""
MAX_TRAINING_WORD = 1000
"""Bytes of a word, or another run without a break, that BPE learns from at once: the time grows with their square."""


class Tokenizer(ABC):
    """Converts text to token ids.

    Attributes:
        token_bytes: the bytes of each token id.
        special_ids: tokens that are marks, not parts of a text.
    """

    token_bytes: list[bytes]
    special_ids: Sequence[int] = ()

    @abstractmethod
    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the token ids of ``text``; their ``token_bytes`` joined are its UTF-8."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return plain types from which ``restore_tokenizer`` creates the same tokenizer."""


class Bytes(Tokenizer):
    """One token per byte of UTF-8."""

    def __init__(self) -> None:
        self.token_bytes = [bytes([value]) for value in range(256)]

    def encode(self, text: str) -> NDArray[np.int64]:
        return np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int64)

    def state(self) -> dict[str, Any]:
        return {"kind": "bytes"}


class Characters(Tokenizer):
    """One token per character of the training text; other characters as their UTF-8 bytes.

    Args:
        alphabet: the characters, sorted by code point, each once.
    """

    def __init__(self, alphabet: str) -> None:
        if not 0 < len(alphabet) <= MAX_CHARACTERS:
            raise ValueError(f"the alphabet has {len(alphabet):,} characters.")
        self.alphabet = alphabet
        self.codes = np.frombuffer(alphabet.encode("utf-32-le"), np.uint32)
        if not (self.codes[1:] > self.codes[:-1]).all():
            raise ValueError("the alphabet is not sorted, or has a character twice.")
        self.token_bytes = [character.encode() for character in alphabet] + Bytes().token_bytes

    @classmethod
    def train(cls, texts: Iterable[str]) -> "Characters":
        characters: set[str] = set()
        for text in texts:
            characters.update(text)
        return cls("".join(sorted(characters)))

    def encode(self, text: str) -> NDArray[np.int64]:
        codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        ids = np.searchsorted(self.codes, codes)
        in_alphabet = (ids < len(self.codes)) & (self.codes[np.minimum(ids, len(self.codes) - 1)] == codes)
        if in_alphabet.all():
            return ids.astype(np.int64)
        parts, start = [], 0
        for i in np.flatnonzero(~in_alphabet).tolist():
            parts += [ids[start:i], len(self.codes) + np.frombuffer(text[i].encode(), np.uint8).astype(np.int64)]
            start = i + 1
        return np.concatenate([*parts, ids[start:]]).astype(np.int64)

    def state(self) -> dict[str, Any]:
        return {"kind": "characters", "alphabet": self.alphabet}


class BPE(Tokenizer):
    """Byte-pair encoding over bytes with GPT-2's pre-tokenization (Sennrich et al. 2016, arXiv:1508.07909).

    Args:
        tokenizer: a byte-level BPE of the package ``tokenizers``.
    """

    def __init__(self, tokenizer: BPETokenizer) -> None:
        self.tokenizer = tokenizer
        size = tokenizer.get_vocab_size()
        tokens = [tokenizer.id_to_token(index) or "" for index in range(size)]
        self.token_bytes = [bytes(CHARACTER_TO_BYTE[character] for character in token) for token in tokens]

    @classmethod
    def from_json(cls, text: str, vocab_size: int) -> "BPE":
        """Create it from vocabulary and merges; other settings in a file (padding, ...) are ignored, as a file may come
        from anyone. Raises ``ValueError`` unless each byte has a token, and each of the ids, 0 to n - 1, one too."""
        if len(text) > min(MAX_BPE_TEXT, MAX_TOKEN_TEXT * vocab_size):
            raise ValueError(f"{len(text):,} characters for at most {vocab_size:,} tokens.")
        model = parse_json(text, "its JSON", max_values=10 * vocab_size + 10_000)["model"]
        vocab, merges = model["vocab"], [p.split(" ") if isinstance(p, str) else p for p in model["merges"]]
        if len(vocab) > vocab_size or sorted(vocab.values()) != list(range(len(vocab))):
            raise ValueError(f"{len(vocab):,} tokens for {vocab_size:,} ids, or an id twice.")
        if not CHARACTER_TO_BYTE.keys() <= vocab.keys() or "" in vocab:
            raise ValueError("a byte without a token, or a token without bytes.")
        return cls(cls._byte_level(models.BPE(vocab, [(first, second) for first, second in merges])))

    @staticmethod
    def _byte_level(model: models.BPE) -> BPETokenizer:
        tokenizer = BPETokenizer(model)
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> "BPE":
        tokenizer = cls._byte_level(models.BPE())
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
        byte_level = tokenizer.pre_tokenizer
        cut = pre_tokenizers.Split(Regex(f".{{{MAX_TRAINING_WORD}}}"), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([byte_level, cut])
        tokenizer.train_from_iterator(texts, trainer)
        tokenizer.pre_tokenizer = byte_level  # encoding is quick without the cuts
        if (size := len(tokenizer.to_str())) > MAX_BPE_TEXT:
            raise UserError(
                f"modality.vocab_size={vocab_size}: the tokenizer has {size:,} characters; take fewer tokens."
            )
        return cls(tokenizer)

    def encode(self, text: str) -> NDArray[np.int64]:
        return np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, np.int64)

    def state(self) -> dict[str, Any]:
        return {"kind": "bpe", "json": self.tokenizer.to_str()}


def restore_tokenizer(state: Mapping[str, Any], vocab_size: int = 1_000_000) -> Tokenizer:
    """Return the tokenizer with this ``state()``. Raises ``ValueError`` for an invalid state.

    Args:
        vocab_size: largest number of tokens of a BPE.
    """
    try:
        if state["kind"] == "bytes":
            return Bytes()
        if state["kind"] == "characters":
            return Characters(state["alphabet"])
        return BPE.from_json(state["json"], vocab_size)
    except Exception as error:  # `tokenizers` raises bare Exception
        raise ValueError(f"not a tokenizer: {short_text(str(error))}") from error


def _byte_alphabet() -> dict[str, int]:
    """Map GPT-2's printable characters to the bytes that they stand for."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    rest = [value for value in range(256) if value not in printable]
    return {chr(value): value for value in printable} | {chr(256 + i): value for i, value in enumerate(rest)}


CHARACTER_TO_BYTE = _byte_alphabet()
