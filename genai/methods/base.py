"""What a method is: how a network learns, and how it draws samples. A plain module that anyone's loop can train."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from genai.core.batch import Batch, Chunk, Request


class Method(nn.Module, ABC):
    """Wraps one network, or the several that take turns in learning."""

    Options: type
    """A dataclass of the knobs of sampling, with types, ranges and defaults."""

    sampling: dict[str, Any]
    """This model's own defaults among them."""

    metrics: Sequence[str] = ()
    """By name, what ``genai.evaluate`` measures of it where it is not told; empty: what the data say."""

    blends: bool = False
    """Whether it makes samples between two prompts, or two seeds (``Request.between``)."""

    edits: bool = True
    """Whether it can start from media that are given, or go on with them (``init``)."""

    sampled: nn.Module
    """What sampling uses, and so what is averaged over training."""

    def players(self) -> dict[str, nn.Module]:
        """The modules that take turns, each with an optimizer of its own, by name."""
        return {"model": self.sampled}

    @property
    def partial(self) -> bool:
        """Whether a loss may have no use for some parameters, and for others in each process."""
        return False

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @abstractmethod
    def loss(self, batch: Batch, player: str) -> dict[str, Tensor]:
        """``"loss"``, the scalar that ``player`` minimises, and its named parts, each a mean over the batch."""

    def held_out(self, batch: Batch) -> dict[str, Tensor]:
        """What validation says of held-out examples: ``"loss"``, which ``best`` is lowest in, and named parts, each a
        mean over the batch. The first player's loss, where a method knows nothing better."""
        return self.loss(batch, next(iter(self.players())))

    def spoilt(self, x: Tensor) -> Tensor | None:
        """Of a method that learns to undo a damage: ``x`` (batch, ...) with such damage. ``None``: it undoes none."""
        return None

    def complaint(self, held_out: Mapping[str, float]) -> str | None:
        """What a person should be told, in a line, of the means of ``held_out``; ``None``: nothing."""
        return None

    @abstractmethod
    def stream(self, request: Request, options: Any) -> Iterator[Chunk]:
        """Draw samples, piece by piece. An item's noise comes from its own seed and a CPU generator."""

    @abstractmethod
    def sample(self, request: Request, options: Any) -> list[Tensor]:
        """The drained stream, one tensor an item, with what was given as its beginning."""
