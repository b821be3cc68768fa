"""Where examples come from: indexable splits of ``Example(media, prompt)``, and randomness that belongs to an item."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from genai.core.batch import Batch
from genai.core.prefetch import ahead


@dataclass(frozen=True)
class Example:
    """A piece of media and the prompt that describes it; "" where nothing does.

    Attributes:
        media: what is learnt to be made.
        prompt: that describes it.
        beside: what it goes along with, such as the clip of a soundtrack.
    """

    media: Any
    prompt: str = ""
    beside: Any = None


@dataclass(frozen=True)
class Split:
    """A sequence of examples that are loaded when they are asked for.

    Attributes:
        name: ``train`` or ``val``.
        count: how many.
        load: example ``i``.
        fingerprint: a hash of their content, the key of everything that is cached.
        prompts: of all of them, where the source knows them without loading anything.
        threads: how many examples it pays to load at once: several where they come out of files.
    """

    name: str
    count: int
    load: Callable[[int], Example]
    fingerprint: str
    prompts: Sequence[str] | None = None
    threads: int = 1

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Example]:
        return ahead(self.load, range(self.count), self.threads)

    def __getitem__(self, index: int) -> Example:
        return self.load(index)

    def prompt(self, index: int) -> str:
        """The prompt of example ``index``."""
        return self.load(index).prompt if self.prompts is None else self.prompts[index]


class Source(ABC):
    """Data that is there to be trained on, in two splits that share nothing."""

    media: ClassVar[type[Any]]
    """What its examples hold."""

    metrics: ClassVar[tuple[str, ...]] = ("val_loss",)
    """What ``genai.evaluate`` measures where it is not told: names in ``genai.metrics.base`` or ``own_metrics``."""

    own_metrics: ClassVar[Mapping[str, str]] = {}
    """Classes of metrics that only this source has, or that replace general ones, by name: ``package.module.Class``."""

    @property
    @abstractmethod
    def train(self) -> Split:
        """What is learnt from."""

    @property
    @abstractmethod
    def val(self) -> Split:
        """What is held out."""

    skipped: tuple[str, ...] = ()
    """A line about each file that was passed over."""

    def prompts(self, split: Split, count: int, seed: int) -> list[str]:
        """``count`` prompts to ask a model for, of the kind that ``split`` has: here, of examples drawn from it."""
        drawn = np.random.default_rng(seed).integers(len(split), size=count)
        return [split[int(index)].prompt for index in drawn]

    @property
    def description(self) -> str:
        """One line for the table at the start."""
        return f"{len(self.train):,} to train on, {len(self.val):,} held out"


class Divided(Source):
    """A source whose two splits come out of one division."""

    @property
    @abstractmethod
    def _splits(self) -> tuple[Split, Split]:
        """``train`` and ``val``."""

    @property
    def train(self) -> Split:
        return self._splits[0]

    @property
    def val(self) -> Split:
        return self._splits[1]


@dataclass(frozen=True)
class ItemRandom:
    """Random numbers that depend on (seed, epoch, index) alone, not on the worker, the rank or the batch."""

    seed: int
    epochs: Sequence[int]
    indices: Sequence[int]

    def uniform(self, draws: int = 1, purpose: str = "") -> NDArray[np.float64]:
        """(items, draws) in [0, 1); the same numbers at every call, others for another ``purpose`` ("flip")."""
        stream = [0, 0, 0, crc32(purpose.encode())]
        rows = [
            np.random.Generator(np.random.Philox(counter=stream, key=[self.seed, (epoch << 40) ^ index])).random(draws)
            for epoch, index in zip(self.epochs, self.indices, strict=True)
        ]
        return np.stack(rows) if rows else np.empty((0, draws))


class PackedDataset(Protocol):
    """A split as tensors, memory-mapped."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> Batch:
        """Items ``indices``, with windows and crops drawn from ``random``; ``None``: as they are, for validation."""
        ...


class PromptFeatures(ABC):
    """Reads out of a prompt what happens when: notes, say. A source of data hands one to its modality."""

    RATE: ClassVar[int] = 100
    """Frames a second."""

    features: ClassVar[int]
    """Numbers a frame."""

    @abstractmethod
    def frames(self, prompt: str, count: int) -> NDArray[np.float32]:
        """(count, features) of the first ``count`` frames; zeros where the prompt says nothing of the kind."""

    def complaint(self, prompt: str) -> str | None:
        """Why nothing was read out of the prompt; ``None``: something was."""
        return None
