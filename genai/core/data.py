"""Data sources: indexable splits of ``Example(media, prompt)``, and random numbers tied to an item."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from genai.core.batch import Batch, batch_ranges
from genai.core.caption_choice import Caption, TagDropout
from genai.core.errors import UserError
from genai.core.personal_record import PersonalRecord
from genai.core.prefetch import prefetch_map
from genai.core.renamed import module_getattr

PARTITION_ITEMS = 65_536
"""Examples that one process prepares before another one may take over."""


@dataclass(frozen=True)
class Example:
    """A training example.

    Attributes:
        media: the media to learn to generate.
        prompt: its description; "" if there is none.
        conditioning: input that the media follows, such as the clip of a soundtrack.
        captions: of which one is drawn in each epoch, ``prompt`` is the first; empty: it is always ``prompt``.
        mask: a gray picture of the size of ``media``: white is learned with full weight; ``None``: all of it is.
    """

    media: Any
    prompt: str = ""
    conditioning: Any = None
    captions: Sequence[Caption] = ()
    mask: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.prompt, str):
            raise TypeError(f"the prompt {self.prompt!r} of an example should be a text")


@dataclass(frozen=True)
class Split:
    """A sequence of examples that are loaded on access.

    Attributes:
        name: ``train`` or ``val``.
        count: number of examples.
        load: returns example ``i``.
        content_hash: hash of their content, part of the key of everything that is cached.
        prompts: all prompts, if the source knows them without loading the media.
        threads: number of threads for loading; more than one for examples that are read from files.
        shards: the examples as tensors that were prepared; ``None``: ``Modality.pack`` makes them.
        captions: those of the first examples, if the source knows them without loading the media; see ``Example``.
        weights: of the examples, in proportion to which training draws them; empty: all alike.
        unmasked_weight: weight of the loss where masks are black; ``None``: no example has a mask.
        tag_dropout: how tags of captions are dropped in training; ``None``: they are not.
        load_column: returns a column, such as ``speaker``, for each example; ``None``: there are no columns.
    """

    name: str
    count: int
    load: Callable[[int], Example]
    content_hash: str
    prompts: Sequence[str] | None = None
    threads: int = 1
    shards: "PreparedShards | None" = None
    captions: Sequence[Sequence[Caption]] = ()
    weights: Sequence[float] = ()
    unmasked_weight: float | None = None
    tag_dropout: TagDropout | None = None
    load_column: Callable[[str], Sequence[str]] | None = None

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Example]:
        return prefetch_map(self.load, range(self.count), self.threads)

    def __getitem__(self, index: int) -> Example:
        return self.load(index)

    def prompt(self, index: int) -> str:
        """Return the prompt of example ``index``."""
        return self.load(index).prompt if self.prompts is None else self.prompts[index]

    def column(self, name: str) -> Sequence[str]:
        """Return a column for each example; "" where it is unknown. Raises ``UserError`` as ``load_column`` does."""
        return [""] * self.count if self.load_column is None else self.load_column(name)


@dataclass(frozen=True)
class Partition:
    """A part of a data set that one process reads from beginning to end.

    Attributes:
        name: for people.
        stamp: changes when its content changes.
        read: by the name of a split: yields its examples, the errors of those that cannot be used, and what was found
            of personal data, if that was searched.
    """

    name: str
    stamp: str
    read: "Mapping[str, Callable[[], Iterator[Example | UserError | PersonalRecord]]]"


def error_partitions(errors: "Sequence[str]") -> list[Partition]:
    """Return a partition that has no examples, but the errors about folders, so that they are counted."""
    read = {"train": lambda: iter(map(UserError, errors))}
    return [Partition("folders", " ".join(errors), read)] if errors else []


class Source(ABC):
    """A data set in two disjoint splits."""

    media: ClassVar[type[Any]]
    """Media class of the examples."""

    metrics: tuple[str, ...] = ("val_loss",)
    """Default metrics of ``genai.evaluate``: names in ``genai.metrics.base`` or ``own_metrics``."""

    rewards: Mapping[str, float] = MappingProxyType({"exact": 1.0})
    """Weights of the default rewards of samples, by names in ``genai.rewards.base`` or ``own_rewards``."""

    own_metrics: ClassVar[Mapping[str, str]] = {}
    """Metric classes of this source alone, or replacements of general ones, by name: ``package.module.Class``."""

    own_rewards: ClassVar[Mapping[str, str]] = {}
    """Rewards of samples that this source alone can judge, by name: ``package.module.function`` or ``...Class``."""

    @property
    @abstractmethod
    def train(self) -> Split:
        """The training split."""

    @property
    @abstractmethod
    def val(self) -> Split:
        """The held-out split."""

    @property
    def excluded(self) -> Split | None:
        """Examples that were kept out of both splits on request, for judges of samples; ``None``: there are none."""
        return None

    name: str = ""
    """Name of the data set; "" for a folder or a file of a person."""

    license: str = ""
    """License of the data set, by its name on the Hugging Face hub; "" if it is unknown."""

    skipped: tuple[str, ...] = ()
    """One message per skipped file."""

    file_notes: tuple[str, ...] = ()
    """One message per file that is used, but not as it is, or has nothing in it."""

    num_copies: int | None = None
    """Number of items, or files, that are identical to another one; ``None``: not counted. Known after the splits."""

    num_similar: int | None = None
    """Number of items that look like another one, copies included; ``None``: not counted. Known after the splits."""

    personal_record: PersonalRecord | None = None
    """What was found of personal data, and done about it; ``None``: not searched. Known after the splits."""

    layout_note: str = ""
    """Where the splits and the prompts come from, for people; known after the splits."""

    def prompts(self, split: Split, count: int, seed: int) -> list[str]:
        """Draw ``count`` prompts of the kind that ``split`` has; by default those of random examples."""
        indices = np.random.default_rng(seed).integers(len(split), size=count)
        return [split[int(index)].prompt for index in indices]

    def media_files(self) -> tuple[Path, Sequence[Path]] | None:
        """Return a folder and the files in it that both splits are read from; ``None``: they are not in a folder."""
        return None

    @property
    def column_names(self) -> Sequence[str]:
        """What the data say of each example besides its prompt, such as ``speaker``."""
        return ()

    def column_values(self, split: Split, name: str) -> Sequence[str]:
        """Return a column for each example of ``split``; "" where it is unknown. Raises ``UserError`` for others."""
        if not self.column_names:
            raise UserError(f"{type(self).__name__} has no columns.")
        return split.column(name)

    def prompt_attributes(self, prompt: str) -> Mapping[str, Sequence[str]]:
        """Return what a prompt says, as values by the names of attributes; empty if the source cannot read prompts."""
        return {}

    def partitions(self) -> Sequence[Partition]:
        """Return the parts that are prepared one by one; by default ranges of the splits."""
        return [
            Partition(
                f"{split.name} {rows.start:,} to {rows.stop:,}",
                f"{split.content_hash} {rows.start} {rows.stop}",
                {split.name: partial(map, split.load, rows)},
            )
            for split in (self.train, self.val)
            for rows in batch_ranges(len(split), PARTITION_ITEMS)
        ]

    @property
    def description(self) -> str:
        """One-line summary for the table at the start of a run."""
        return f"{len(self.train):,} to train on, {len(self.val):,} held out"


class IterableSource(Source):
    """A data set that is only read from beginning to end. ``genai.data.prepare`` makes shards of it for training.

    Whether an example is held out depends on its own content alone: see ``held_out``.
    """

    @abstractmethod
    def partitions(self) -> Sequence[Partition]:
        """Return the parts of the data, such as files."""

    @property
    def train(self) -> Split:
        raise TypeError(f"{type(self).__name__} is read in parts")

    @property
    def val(self) -> Split:
        raise TypeError(f"{type(self).__name__} is read in parts")


def held_out(content: bytes, fraction: float) -> bool:
    """Return whether an example with such content is validation data: about ``fraction`` of all are.

    Copies are on one side, also those in other files.
    """
    return int.from_bytes(hashlib.sha256(content).digest()[:8]) < fraction * 2**64


class NoData(Source):
    """A source without examples, for metrics that need no data."""

    media = object

    @property
    def train(self) -> Split:
        return Split("train", 0, [].__getitem__, "")

    @property
    def val(self) -> Split:
        return Split("val", 0, [].__getitem__, "")


def no_data(media: type[Any]) -> NoData:
    """Return a source without examples of ``media``."""
    source: NoData = type("NoData", (NoData,), {"media": media})()
    return source


class SplitSource(Source):
    """A source that computes both splits at once."""

    @property
    @abstractmethod
    def _splits(self) -> tuple[Split, Split]:
        """The training and the held-out split."""

    @property
    def train(self) -> Split:
        return self._splits[0]

    @property
    def val(self) -> Split:
        return self._splits[1]


@dataclass(frozen=True)
class ItemRandom:
    """Random numbers that depend only on (seed, epoch, index, repeat), not on the worker, the rank or the batch.

    Attributes:
        seed: of the run.
        epochs, indices: of the items.
        repeats: how many times each item was in its epoch before; empty if never.
    """

    seed: int
    epochs: Sequence[int]
    indices: Sequence[int]
    repeats: Sequence[int] = ()

    def select(self, rows: Sequence[int]) -> "ItemRandom":
        """Return the random numbers of some of the items."""
        columns = ([column[row] for row in rows if column] for column in (self.epochs, self.indices, self.repeats))
        return ItemRandom(self.seed, *columns)

    def uniform(self, draws: int = 1, purpose: str = "") -> NDArray[np.float64]:
        """Draw (items, draws) numbers in [0, 1): the same at every call, independent for each ``purpose`` ("flip")."""
        repeats = self.repeats or [0] * len(self.indices)
        generators = [
            np.random.Philox(counter=[0, 0, repeat, crc32(purpose.encode())], key=[self.seed, (epoch << 40) ^ index])
            for epoch, index, repeat in zip(self.epochs, self.indices, repeats, strict=True)
        ]
        rows = [np.random.Generator(generator).random(draws) for generator in generators]
        return np.stack(rows) if rows else np.empty((0, draws))


class PreparedShards(Protocol):
    """A split that was prepared; ``genai.data.prepared`` makes them."""

    @property
    def state(self) -> Mapping[str, Any]:
        """State of the modality that prepared it."""
        ...

    @property
    def is_local(self) -> bool:
        """Whether the shards lie on this machine."""
        ...

    def prompt(self, index: int) -> str:
        """Return the prompt of an item; "" if there is none."""
        ...

    def dataset(self, modality: Any) -> "PackedDataset":
        """Return the split as tensors for a modality. Raises ``UserError`` if another one prepared it."""
        ...


class PackedDataset(Protocol):
    """A split as memory-mapped tensors. A data set with prompts has the attribute ``prompts``, one for each item."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> Batch:
        """Return items ``indices`` with windows and crops drawn from ``random``; ``None``: no augmentation."""
        ...


def packed_prompts(packed: PackedDataset) -> Sequence[str]:
    """Return the prompts of all items; empty if the data set has none."""
    prompts: Sequence[str] = getattr(packed, "prompts", ())
    return prompts


def item_prompts(packed: PackedDataset, indices: Sequence[int]) -> Sequence[str]:
    """Return the prompts of items, also of shards that ``packed_prompts`` leaves out; "" for items without."""
    if hasattr(packed, "item_prompts"):
        found: Sequence[str] = packed.item_prompts(indices)
        return found
    prompts = packed_prompts(packed)
    return [prompts[index] for index in indices] if prompts else [""] * len(indices)


def packed_captions(packed: PackedDataset) -> Sequence[str]:
    """Return all texts that can be the prompts of items: of several captions all."""
    prompts = packed_prompts(packed)
    captions: Sequence[str] = getattr(prompts, "captions", prompts)
    return captions


__getattr__ = module_getattr(__name__)
