"""Lossless tokenizers: byte-level BPE, characters, bytes.

Each maps token ids to bytes, so that one decoder serves all of them.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as BPETokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers


class Tokenizer(ABC):
    """Converts text to token ids.

    Attributes:
        token_bytes: the bytes of each token id.
    """

    token_bytes: list[bytes]

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
        alphabet: the characters, sorted by code point.
    """

    def __init__(self, alphabet: str) -> None:
        if not alphabet:
            raise ValueError("the alphabet is empty.")
        self.alphabet = alphabet
        self.codes = np.array([ord(character) for character in alphabet], np.uint32)
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
        self.token_bytes = [bytes(_CHARACTER_TO_BYTE[character] for character in token) for token in tokens]

    @classmethod
    def from_model(cls, model: Mapping[str, Any]) -> "BPE":
        """Create it from vocabulary and merges; other settings in a file (padding, ...) are ignored, as a file may come
        from anyone."""
        merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
        return cls(cls._byte_level(models.BPE(model["vocab"], merges)))  # type: ignore[arg-type]

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
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer)

    def encode(self, text: str) -> NDArray[np.int64]:
        return np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, np.int64)

    def state(self) -> dict[str, Any]:
        return {"kind": "bpe", "json": self.tokenizer.to_str()}


def restore_tokenizer(state: Mapping[str, Any]) -> Tokenizer:
    """Return the tokenizer with this ``state()``. Raises ``ValueError`` for an invalid state."""
    try:
        if state["kind"] == "bytes":
            return Bytes()
        if state["kind"] == "characters":
            return Characters(state["alphabet"])
        return BPE.from_model(json.loads(state["json"])["model"])
    except Exception as error:  # `tokenizers` raises bare Exception
        raise ValueError(f"not a tokenizer: {error}") from error


def _byte_alphabet() -> dict[str, int]:
    """Map GPT-2's printable characters to the bytes that they stand for."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    rest = [value for value in range(256) if value not in printable]
    return {chr(value): value for value in printable} | {chr(256 + i): value for i, value in enumerate(rest)}


_CHARACTER_TO_BYTE = _byte_alphabet()
