"""The interface of modalities, which convert between media and tensors."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from torch import Tensor

from genai.core.batch import Request
from genai.core.data import PackedDataset, Split
from genai.core.errors import UserError
from genai.core.renamed import module_getattr
from genai.media.base import Media, StreamWriter


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
    """Converts media to tensors and back, packs data sets, and presents samples."""

    media: ClassVar[type[Media]]
    animation_class: ClassVar[Any] = None
    """Class that animates a list of media, such as the states of one item's stream; ``None``: not supported."""
    unit: ClassVar[str | None] = None
    """Unit of a sample's length in progress messages, if samples grow over time and a terminal cannot show them."""
    elements_per_unit: float = 1.0
    """Tensor elements of a sample per ``unit``."""
    required_option: str = ""
    """Name of the required option: ``init`` for enhancement, ``clip`` for soundtracks; "": none."""
    compatible_modalities: ClassVar[tuple[str, ...]] = ()
    """Full class names of other modalities whose weights and statistics a new training can start from."""
    Options: ClassVar[type]
    """A dataclass of the options of a request besides prompt and seed: ``length``, ``stop``, ``mask``, ..."""

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
        """Load what ``state()`` returned. Raises ``ValueError`` if it does not fit."""

    @abstractmethod
    def encode(self, media: Media) -> Tensor:
        """Convert one medium to a tensor of the storage type; ``decode`` is the exact inverse."""

    @abstractmethod
    def decode(self, x: Tensor) -> Media:
        """Convert the tensor of one item, without batch dimension, to media."""

    @abstractmethod
    def decoder(self, init: Tensor | None, options: Any) -> Decoder:
        """Return a decoder for one item of a stream; ``init`` is the item's element of ``Request.init``."""

    @abstractmethod
    def pack(self, split: Split, cache: Path) -> PackedDataset:
        """Return the split as tensors, cached in the folder ``cache`` under the hash of the split's content."""

    @abstractmethod
    def request(self, prompts: list[str], seeds: list[int], init: Any, options: Any) -> Request:
        """Build the request for a method; ``init`` is media or ``None``. Raises ``UserError`` if they do not fit."""

    @abstractmethod
    def preview_prompts(self, split: Split) -> list[str]:
        """Choose a few prompts from held-out data for the previews."""

    def request_notes(self, prompts: Sequence[str], init: Any) -> list[str]:
        """Return notes for the user about these prompts and the media ``init``, a line each."""
        return []

    def check_soundtrack(self, options: Any) -> None:
        """Raise ``UserError`` if samples made with these ``Options`` cannot hold a soundtrack."""
        raise UserError(
            f"soundtrack=: only clips can have a soundtrack, not {type(self).__name__.lower()}. Leave it out."
        )

    def stream_writer(self, path: Path, initial: Any) -> StreamWriter | None:
        """Open a file that can be played during generation, starting with ``initial``; ``None``: unsupported."""
        return None

    def preview_inits(self, prompts: list[str], degrade: Callable[[Tensor], Tensor | None]) -> list[Any] | None:
        """Return the media that previews start from, one per prompt; ``None``: none. Call ``preview_prompts`` first.

        Args:
            prompts: of the previews.
            degrade: the method's degradation of clean data (batch, ...); returns ``None`` for other methods.
        """
        return None

    def preview_options(self, prompts: list[str]) -> list[dict[str, Any]] | None:
        """Return further options of the previews, a dict per prompt; ``None``: none. Call ``preview_prompts`` first."""
        return None

    def contact_sheet(self, samples: Sequence[tuple[str, Any]]) -> Media | None:
        """Return one picture of all ``(prompt, media)`` pairs; ``None``: unsupported."""
        return None

    def interpolation_strip(self, samples: Sequence[tuple[str, Any]]) -> Media | None:
        """Return one picture with ``(prompt, media)`` pairs in a row; ``None``: unsupported."""
        return None

    @abstractmethod
    def log_samples(self, writer: Any, tag: str, samples: Sequence[tuple[str, Any]], step: int) -> None:
        """Log ``(prompt, media)`` pairs to a TensorBoard ``SummaryWriter``."""


__getattr__ = module_getattr(__name__)
