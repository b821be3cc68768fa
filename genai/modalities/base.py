"""What a modality is: media that people have on one side, tensors that networks learn on the other."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from torch import Tensor

from genai.core.batch import Request
from genai.core.data import PackedDataset, Split
from genai.core.errors import UserError
from genai.media.base import Growing, Media


class Decoder(Protocol):
    """Turns the growing tensor of one item into media, piece by piece."""

    given: Any
    """Media: the beginning that was given; empty where there was none."""

    done: bool
    """Nothing more is wanted, as after a stop string."""

    def push(self, start: int, x: Tensor) -> Media:
        """``x`` replaces all from ``start``. Returns the next part of a text or sound; the whole picture so far."""
        ...

    def result(self) -> Media:
        """The sample, with what was given as its beginning."""
        ...


class Modality(ABC):
    """Media <-> tensors, and how people see, hear and keep them."""

    media: ClassVar[type[Media]]
    animated: ClassVar[Any] = None
    """Of media that are seen as a whole: of several, such as all pieces of one item's stream, one that moves."""
    unit: ClassVar[str | None] = None
    """What people count the length of a sample in, where it is made bit by bit and cannot be read on a terminal."""
    per_unit: float = 1.0
    """Elements of a sample in one such unit."""
    needs: str = ""
    """What a request cannot do without, and names a file: ``init`` where that is mended, ``clip`` where it is heard."""
    kin: ClassVar[tuple[str, ...]] = ()
    """Other modalities, as configs name them, whose statistics it can take over, along with their weights."""
    Options: ClassVar[type]
    """A dataclass of what a request may say besides prompt and seed: ``length``, ``stop``, ``mask``, ..."""

    @property
    @abstractmethod
    def interface(self) -> dict[str, Any]:
        """The sizes that networks need, by the name of their argument: ``{"vocab_size": 2048, "block": 256}``."""

    @abstractmethod
    def fit(self, split: Split, cache: Path) -> None:
        """Learn from the training split what encoding needs: a tokenizer, statistics."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What ``fit`` learnt, in plain types and tensors."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state()`` gave. Raises ``ValueError`` where it is not such a state."""

    @abstractmethod
    def encode(self, media: Media) -> Tensor:
        """Storage type; ``decode`` is its exact inverse."""

    @abstractmethod
    def decode(self, x: Tensor) -> Media:
        """One item, without the batch dimension."""

    @abstractmethod
    def decoder(self, given: Tensor | None, options: Any) -> Decoder:
        """For one item of a stream; ``given`` is its part of ``Request.init``."""

    @abstractmethod
    def pack(self, split: Split, cache: Path) -> PackedDataset:
        """The split as tensors, made once and kept in the folder ``cache`` under the hash of its content."""

    @abstractmethod
    def request(self, prompts: list[str], seeds: list[int], init: Any, options: Any) -> Request:
        """What to ask of a method; ``init`` is media or ``None``. Raises ``UserError`` where they do not fit."""

    @abstractmethod
    def preview_prompts(self, split: Split) -> list[str]:
        """A few prompts from held-out data for the previews."""

    def remarks(self, prompts: Sequence[str], init: Any) -> list[str]:
        """What people should know before samples are made of these prompts and the media ``init``, a line each."""
        return []

    def check_sound(self, options: Any) -> None:
        """Raises ``UserError`` where samples made with these ``Options`` have no place for a sound besides."""
        raise UserError(f"sound=: it is made for clips, not for {type(self).__name__.lower()}. Leave it out.")

    def growing(self, path: Path, given: Any) -> Growing | None:
        """A file that can be seen or heard while a sample is made; it begins with what was ``given``."""
        return None

    def preview_inits(self, prompts: list[str], spoilt: Callable[[Tensor], Tensor | None]) -> list[Any] | None:
        """What previews start from, a medium a prompt; ``None``: from nothing. Comes after ``preview_prompts``.

        Args:
            spoilt: of a method that learns to undo it, what is done to (batch, ...); of others it gives ``None``.
        """
        return None

    def preview_options(self, prompts: list[str]) -> list[dict[str, Any]] | None:
        """What previews are asked for besides, options a prompt; ``None``: nothing. Comes after ``preview_prompts``."""
        return None

    def sheet(self, samples: Sequence[tuple[str, Any]]) -> Media | None:
        """All ``(prompt, media)`` pairs on one picture, where that is how people like to look at them."""
        return None

    def strip(self, samples: Sequence[tuple[str, Any]]) -> Media | None:
        """``(prompt, media)`` pairs in one row, where ``animated`` is of use."""
        return None

    @abstractmethod
    def show(self, writer: Any, tag: str, samples: Sequence[tuple[str, Any]], step: int) -> None:
        """Put ``(prompt, media)`` pairs into a TensorBoard ``SummaryWriter``."""
