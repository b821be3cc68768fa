"""The interface of modalities, which convert between media and tensors."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from torch import Tensor

from genai.core.batch import Request
from genai.core.data import PackedDataset, Split
from genai.core.renamed import module_getattr
from genai.media.base import Media
from genai.modalities.preview import Preview


class Decoder(Protocol):
    """Converts the tensor of one item to media while it is generated."""

    initial: Any
    """Media before anything is generated: the beginning to continue; empty if there is none."""

    done: bool
    """The item needs no more input, as after a stop string."""

    def push(self, start: int, x: Tensor) -> Media:
        """Replace everything from position ``start`` on by ``x``.

        Returns:
            The next part of a text or sound; the whole picture or clip so far.
        """
        ...

    def result(self) -> Media:
        """Return the sample, including its given beginning."""
        ...


class Modality(ABC):
    """Converts media to tensors and back, and packs data sets.

    What only some modalities can do besides stands in ``genai.modalities.optional``.
    """

    media: ClassVar[type[Media]]

    has_voices: ClassVar[bool] = False
    """Whether its media can be voices of people: labels and cards then say what is known of their consent."""

    Options: ClassVar[type]
    """A dataclass of the options of a request besides prompt and seed: ``length``, ``stop``, ``mask``, ..."""

    @property
    def description(self) -> str:
        """What a sample is, for people: ``32 x 32 pixels``."""
        return ""

    @property
    def fitting(self) -> str:
        """How media that are not so are made to fit, for people: ``others are stretched``; "": they are not."""
        return ""

    @property
    @abstractmethod
    def interface(self) -> dict[str, Any]:
        """Sizes for networks, by the names of their arguments: ``{"vocab_size": 2048, "block": 256}``."""

    @abstractmethod
    def fit(self, split: Split, cache: Path) -> None:
        """Fit what encoding needs to the training split: a tokenizer, statistics."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return what ``fit`` determined, as plain types and tensors."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Load what ``state()`` returned. Raises ``ValueError`` or ``UserError`` if it does not fit."""

    @abstractmethod
    def encode(self, media: Media) -> Tensor:
        """Convert one medium to a tensor of the storage type; ``decode`` is the exact inverse."""

    @abstractmethod
    def decode(self, x: Tensor) -> Media:
        """Convert the tensor of one item, without batch dimension, to media."""

    @abstractmethod
    def decoder(self, init: Tensor | None, options: Any) -> Decoder:
        """Return a decoder for one item of a stream; ``init`` is the item's element of ``Request.init``."""

    def decoders(self, request: Request, options: Any) -> "list[Decoder]":
        """Return a decoder for each item of a request that ``request`` built with these options."""
        inits: Sequence[Tensor | None] = request.prefix or request.init or [None] * len(request.prompts)
        return [self.decoder(init, options) for init in inits]

    @abstractmethod
    def pack(self, split: Split, cache: Path) -> PackedDataset:
        """Return the split as tensors, cached in the folder ``cache`` under the hash of the split's content."""

    def fit_split(self, split: Split, cache: Path) -> None:
        """Fit to a training split, or take over what its shards were prepared with. Raises ``UserError``."""
        if split.shards:
            self.restore(split.shards.state)
        else:
            self.fit(split, cache)

    def pack_split(self, split: Split, cache: Path) -> PackedDataset:
        """Return the split as tensors: its shards if it was prepared. Raises ``UserError``."""
        return split.shards.dataset(self) if split.shards else self.pack(split, cache)

    @abstractmethod
    def request(self, prompts: list[str], seeds: list[int], init: Any, options: Any) -> Request:
        """Build the request for a method; ``init`` is media or ``None``. Raises ``UserError`` if they do not fit."""

    def preview(self) -> Preview:
        """Return a new object that presents samples to people."""
        return Preview()


__getattr__ = module_getattr(__name__)
