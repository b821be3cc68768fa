"""Base class of the sources of toy data: splits whose examples are drawn and rendered in chunks."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np

from genai.core.cache import cache_key
from genai.core.data import Example, Source, Split

MAX_BYTES = 64 * 2**30
"""Largest data set, in bytes; a larger request is taken for a mistake."""


class ToySource(Source):
    """Media of the toy world with captions.

    Args:
        items: number of training examples; the validation split has a tenth as many, of held-out combinations.
        seed: random seed of the examples.
        num_bytes: size of the training examples.
        summary: what the training examples are, for the message if they are too large.
    """

    name = "toy world of genai"
    license = "mit"  # that of genai, which draws it
    chunk_examples: ClassVar[int]
    """Examples that are rendered and cached together."""
    content_version: ClassVar[tuple[str, int]]
    """Start of the content hash. Increase the number with every change of the examples."""

    def __init__(self, items: int, seed: int, num_bytes: int, summary: str) -> None:
        if num_bytes > MAX_BYTES:
            raise ValueError(f"{items:,} {summary} are more than {MAX_BYTES // 2**30} GiB")
        self.items, self.seed = items, seed

    @cached_property
    def train(self) -> Split:
        return self._split("train", self.items)

    @cached_property
    def val(self) -> Split:
        return self._split("val", max(1, self.items // 10))

    @abstractmethod
    def _chunk(self, name: str, number: int) -> list[Example]:
        """Render chunk ``number`` of the split ``name``."""

    @abstractmethod
    def parse(self, prompt: str) -> Sequence[Any]:
        """Return the things of a prompt, whose fields are its attributes. Raises ``ValueError``."""

    def prompt_attributes(self, prompt: str) -> dict[str, list[str]]:
        """Return the values that a prompt names, by attribute; those of several things together."""
        try:
            things = self.parse(prompt)
        except ValueError:
            return {}
        rows = {field.name: [getattr(thing, field.name) for thing in things] for field in fields(things[0])}
        return {
            name: [value for value in row if value is not None]
            for name, row in rows.items()
            if not any(isinstance(value, tuple) for value in row)
        }

    @abstractmethod
    def _hash_parts(self, name: str) -> Sequence[Any]:
        """Return all that the examples of the split ``name`` depend on, besides their number."""

    def _rng(self, name: str, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, name == "val", number])

    def _split(self, name: str, count: int) -> Split:
        chunk, size = lru_cache(maxsize=2)(lambda number: self._chunk(name, number)), self.chunk_examples
        content_hash = cache_key(*self.content_version, name, count, *self._hash_parts(name))
        return Split(name, count, lambda index: chunk(index // size)[index % size], content_hash)
