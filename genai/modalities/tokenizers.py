"""Text <-> integers without loss: byte-level BPE, characters, bytes.

Each is a map from an id to the bytes it stands for, so that one decoder serves all three.
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
    """Attributes: ``pieces``, the bytes of each id."""

    pieces: list[bytes]

    @abstractmethod
    def encode(self, text: str) -> NDArray[np.int64]:
        """The ids of ``text``; joining their ``pieces`` gives its UTF-8 back."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Plain types from which ``restore`` makes the same tokenizer."""


class Bytes(Tokenizer):
    """The 256 bytes of UTF-8."""

    def __init__(self) -> None:
        self.pieces = [bytes([value]) for value in range(256)]

    def encode(self, text: str) -> NDArray[np.int64]:
        return np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int64)

    def state(self) -> dict[str, Any]:
        return {"kind": "bytes"}


class Characters(Tokenizer):
    """The characters of the training text; any other character as its UTF-8 bytes.

    Args:
        alphabet: the characters, sorted by code point.
    """

    def __init__(self, alphabet: str) -> None:
        if not alphabet:
            raise ValueError("an alphabet without characters.")
        self.alphabet = alphabet
        self.codes = np.array([ord(character) for character in alphabet], np.uint32)
        self.pieces = [character.encode() for character in alphabet] + Bytes().pieces

    @classmethod
    def train(cls, texts: Iterable[str]) -> "Characters":
        seen: set[str] = set()
        for text in texts:
            seen.update(text)
        return cls("".join(sorted(seen)))

    def encode(self, text: str) -> NDArray[np.int64]:
        codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        ids = np.searchsorted(self.codes, codes)
        known = (ids < len(self.codes)) & (self.codes[np.minimum(ids, len(self.codes) - 1)] == codes)
        if known.all():
            return ids.astype(np.int64)
        parts, start = [], 0
        for i in np.flatnonzero(~known).tolist():
            parts += [ids[start:i], len(self.codes) + np.frombuffer(text[i].encode(), np.uint8).astype(np.int64)]
            start = i + 1
        return np.concatenate([*parts, ids[start:]]).astype(np.int64)

    def state(self) -> dict[str, Any]:
        return {"kind": "characters", "alphabet": self.alphabet}


class BPE(Tokenizer):
    """Byte-pair encoding over bytes (Sennrich et al. 2016, arXiv:1508.07909; GPT-2's splitting), by ``tokenizers``."""

    def __init__(self, tokenizer: BPETokenizer) -> None:
        self.tokenizer = tokenizer
        size = tokenizer.get_vocab_size()
        tokens = [tokenizer.id_to_token(index) or "" for index in range(size)]
        self.pieces = [bytes(_BYTE_OF[character] for character in token) for token in tokens]

    @classmethod
    def of(cls, model: Mapping[str, Any]) -> "BPE":
        """From vocabulary and merges alone: what else a stranger's file says (padding, ...) is not taken over."""
        merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
        return cls(cls._around(models.BPE(model["vocab"], merges)))  # type: ignore[arg-type]

    @staticmethod
    def _around(model: models.BPE) -> BPETokenizer:
        tokenizer = BPETokenizer(model)
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> "BPE":
        tokenizer = cls._around(models.BPE())
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer)

    def encode(self, text: str) -> NDArray[np.int64]:
        return np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, np.int64)

    def state(self) -> dict[str, Any]:
        return {"kind": "bpe", "json": self.tokenizer.to_str()}


def restore(state: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer whose ``state()`` this is. Raises ``ValueError`` where it is none."""
    try:
        if state["kind"] == "bytes":
            return Bytes()
        if state["kind"] == "characters":
            return Characters(state["alphabet"])
        return BPE.of(json.loads(state["json"])["model"])
    except Exception as error:  # `tokenizers` raises bare Exception
        raise ValueError(f"not a tokenizer: {error}") from error


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte, backwards."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [value for value in range(256) if value not in printable]
    return {chr(value): value for value in printable} | {chr(256 + i): value for i, value in enumerate(others)}


_BYTE_OF = _byte_alphabet()
