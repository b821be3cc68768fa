"""Values that modalities and methods exchange: training batches, requests for samples, chunks of samples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Examples of one training step.

    Attributes:
        x: (batch, ...) in storage type; methods scale it on the device.
        prompts: one per row.
        valid: (batch, ...) bool, False for targets that are padding. ``None``: all count.
        local: (batch, frames, features), local conditioning aligned with x in time, such as notes.
        span: (batch, 2), for parts of clips: index of the first frame of x, number of frames of the whole clip.
        segments: (batch, ...) int64, where a row of x holds several texts: the number of the text that each element
            belongs to, rising from left to right. ``None``: a row is one text.
        loss_mask: (batch, 1, height, width) in [0, 1], weight of the loss of each pixel. ``None``: 1 everywhere.
        kind: plural noun for the rows, where batches of a data set have several kinds, such as ``single_frames`` of
            clips. Their speed is measured apart.
    """

    x: Tensor
    prompts: list[str] = field(default_factory=list)
    valid: Tensor | None = None
    local: Tensor | None = None
    span: Tensor | None = None
    segments: Tensor | None = None
    loss_mask: Tensor | None = None
    kind: str = "samples"

    def __len__(self) -> int:
        return len(self.x)

    @property
    def weight(self) -> float:
        """Weight of the batch's mean loss in a mean over batches: the number of rows, less the padded fraction."""
        return float(len(self.x) if self.valid is None else self.valid.float().flatten(1).mean(1).sum())

    def to(self, device: torch.device) -> "Batch":
        """Move the tensors to a device."""
        return self._map_tensors(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Copy the tensors to page-locked memory for asynchronous copies to a GPU; called by ``DataLoader``."""
        return self._map_tensors(Tensor.pin_memory)

    def split(self, count: int) -> list["Batch"]:
        """Split the rows, in order, into at most ``count`` batches of nearly equal length."""
        size = -(-len(self) // count)
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        values: dict[str, Any] = {name: v for name, v in columns.items() if isinstance(v, Tensor | list)}
        starts = range(0, len(self), size)
        return [replace(self, **{name: v[start : start + size] for name, v in values.items()}) for start in starts]

    def _map_tensors(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        tensors: dict[str, Any] = {name: function(value) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **tensors)


@dataclass(frozen=True)
class PromptBatch(Batch):
    """Prompts whose answers a method samples itself.

    ``x`` is (batch, time), their tokens, padded on the right; ``valid`` (batch, time) is False at the padding. Each
    prompt has the same weight. ``prompts`` are ``media.chat.Question``.
    """

    @property
    def weight(self) -> float:
        return float(len(self.x))


@dataclass(frozen=True)
class PairBatch(Batch):
    """Pairs of answers to the same prompts.

    ``x`` is (batch, 2, time): a prompt with its chosen and with its rejected answer; ``valid`` (batch, 2, time - 1) is
    True for the targets ``x[..., 1:]`` that belong to the answers. Each pair has the same weight.

    Attributes:
        reference: (batch, ...), what ``Method.reference`` returned for the model that training begins with.
    """

    reference: Tensor | None = None

    @property
    def weight(self) -> float:
        return float(len(self.x))


@dataclass(frozen=True)
class Interpolation:
    """Target and weight of an interpolation between two samples.

    Attributes:
        prompt, seed: of the second sample.
        weight: of the second sample, from 0 to 1.
    """

    prompt: str
    seed: int
    weight: float


@dataclass(frozen=True)
class Request:
    """A request for samples.

    Attributes:
        prompts: one per item; "" is no prompt.
        seeds: one per item; an item's noise depends on its own seed alone.
        size: of a new sample: ``(tokens,)``, ``(channels, height, width)``, ...
        init: per item, a beginning to continue or an image to start from.
        init_mask: per item, True where elements of ``init`` are kept unchanged.
        local: per item, (frames, features), local conditioning aligned with time.
        end_tokens: classes that end an item of a discrete sequence; the first one fills what follows.
        num_classes: only the first ``num_classes`` classes are sampled; ``None``: all.
        prefix: per item, the beginning of the sample where ``init`` is in another order: what stands before a gap.
        interpolation: per item, a second prompt and seed to interpolate to. ``None``: no interpolation.
        bias: (classes,), is added to the logits of classes; minus infinity forbids one. ``None``: nothing is added.
        constraints: per item, a ``methods.logit_bias.Constraint`` on its classes. ``None``: none.
        class_biases: per item, a ``methods.logit_bias.ClassBias``, is added to the logits of classes. ``None``: none.
        log_probs: whether chunks tell the log-probabilities of classes.
    """

    prompts: list[str]
    seeds: list[int]
    size: tuple[int, ...]
    init: list[Tensor] | None = None
    init_mask: list[Tensor] | None = None
    local: list[Tensor] | None = None
    end_tokens: tuple[int, ...] = ()
    num_classes: int | None = None
    prefix: list[Tensor] | None = None
    interpolation: list[Interpolation] | None = None
    bias: Tensor | None = None
    constraints: list[Any] | None = None
    class_biases: list[Any] | None = None
    log_probs: bool = False


@dataclass(frozen=True)
class Chunk:
    """A part of the samples: ``x`` (batch, n, ...) replaces everything from ``start`` on.

    Positions count from the end of ``Request.init``.

    Attributes:
        progress: completed fraction of the work, from 0 to 1; ``None`` if the length of ``x`` shows it.
        log_probs: (batch, n, classes), of the model itself, before temperature, filters, penalties and bias; ``None``:
            not requested.
    """

    start: int
    x: Tensor
    progress: float | None = None
    log_probs: Tensor | None = None


def batch_ranges(count: int, size: int) -> Iterator[range]:
    """Split ``range(count)`` into ranges of at most ``size``."""
    for start in range(0, count, size):
        yield range(start, min(start + size, count))


def spaced_indices(count: int, limit: int) -> list[int]:
    """Return all of ``range(count)``, or ``limit`` of them at even distances."""
    selected = min(count, limit)
    return [position * count // selected for position in range(selected)]
