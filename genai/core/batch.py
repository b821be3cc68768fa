"""What passes between modalities and methods: batches to learn from, requests for samples, pieces of samples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """What a method learns from in one step.

    Attributes:
        x: (batch, ...) in storage type; methods scale it on the device.
        prompts: one a row.
        valid: (batch, ...) bool, which targets count: padding does not. ``None``: all do.
        local: (batch, frames, features) that go along with x in time, such as a score's notes.
        span: (batch, 2), of parts of clips: the frame that x begins with, and the frames of the whole clip.
    """

    x: Tensor
    prompts: list[str] = field(default_factory=list)
    valid: Tensor | None = None
    local: Tensor | None = None
    span: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def weight(self) -> float:
        """How much its mean loss counts in a mean over batches: its rows, without what is padding of them."""
        return float(len(self.x) if self.valid is None else self.valid.float().flatten(1).mean(1).sum())

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """The same in page-locked memory, from which a copy to a GPU does not wait; ``DataLoader`` asks for it."""
        return self._each(Tensor.pin_memory)

    def split(self, parts: int) -> list["Batch"]:
        """At most ``parts`` batches of nearly equal length with the same rows, in order."""
        size = -(-len(self) // parts)
        present = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        starts = range(0, len(self), size)
        return [replace(self, **{name: v[start : start + size] for name, v in present.items()}) for start in starts]

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        changed: dict[str, Any] = {name: change(value) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **changed)


@dataclass(frozen=True)
class Interpolation:
    """From a sample to another one.

    Attributes:
        prompt, seed: of the other one.
        share: of the way, from 0 to 1, that is gone.
    """

    prompt: str
    seed: int
    share: float


@dataclass(frozen=True)
class Request:
    """What is asked of a method.

    Attributes:
        prompts: one an item; "" is no prompt.
        seeds: one an item; an item's noise depends on its own seed alone.
        size: of a new sample: ``(tokens,)``, ``(channels, height, width)``, ...
        init: what is given of each item: a beginning to continue, an image to start from.
        known: per item, which elements of ``init`` are kept as they are.
        local: per item, features along time.
        end: the class that ends an item of a discrete sequence.
        between: per item, how far it is on the way from its own prompt and seed to others. ``None``: not at all.
    """

    prompts: list[str]
    seeds: list[int]
    size: tuple[int, ...]
    init: list[Tensor] | None = None
    known: list[Tensor] | None = None
    local: list[Tensor] | None = None
    end: int | None = None
    between: list[Interpolation] | None = None


@dataclass(frozen=True)
class Chunk:
    """A part of the samples: ``x`` (batch, n, ...) replaces everything from ``start`` on.

    Positions count from the end of what was given as a beginning.

    Attributes:
        share: of the whole work that is done; ``None`` where the length of ``x`` tells.
    """

    start: int
    x: Tensor
    share: float | None = None


def batch_ranges(count: int, size: int) -> Iterator[range]:
    """``range(count)`` in pieces of at most ``size``."""
    for start in range(0, count, size):
        yield range(start, min(start + size, count))
