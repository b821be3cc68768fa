"""One class after another: the next one's distribution is learnt, and samples are drawn from it step by step.

It knows nothing of text: the classes may be tokens, or levels of a waveform.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, cast

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.batch import Batch, Piece, Request
from genai.methods.base import Method


@dataclass(frozen=True)
class AutoregressiveOptions:
    """How the next class is drawn.

    Attributes:
        temperature: below 1 sharper, above 1 flatter; 0 takes the most probable class.
        top_k: only the k most probable classes; 0: all.
        top_p: only the most probable classes that together reach p (nucleus sampling, arXiv:1904.09751).
        min_p: only classes at least so probable, relative to the most probable one (arXiv:2407.01082).
        repetition_penalty: divides the (positive) logits of classes seen before (CTRL, arXiv:1909.05858, sec. 4.1).
    """

    temperature: Annotated[float, Ge(0), Le(100)] = 1.0
    top_k: Annotated[int, Ge(0)] = 0
    top_p: Annotated[float, Gt(0), Le(1)] = 1.0
    min_p: Annotated[float, Ge(0), Le(1)] = 0.0
    repetition_penalty: Annotated[float, Gt(0), Le(100)] = 1.0


class AutoregressiveNetwork(Protocol):
    """Logits of the next class: of whole sequences, and one step at a time with a cache; both agree."""

    def __call__(self, x: Tensor, valid: Tensor | None = None) -> Tensor: ...

    def prefill(self, x: Tensor, valid: Tensor | None = None, new: int = 1) -> tuple[Tensor, Any]: ...

    def step(self, x: Tensor, cache: Any) -> Tensor: ...


class Autoregressive(Method):
    """Next-class prediction.

    Args:
        network: an ``AutoregressiveNetwork``.
        sampling: this model's own defaults among ``AutoregressiveOptions``.
    """

    Options = AutoregressiveOptions

    def __init__(self, network: nn.Module, sampling: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.sampled = network
        self.sampling = sampling or {}

    @property
    def network(self) -> AutoregressiveNetwork:
        return cast(AutoregressiveNetwork, self.sampled)

    def loss(self, batch: Batch, player: str = "model") -> dict[str, Tensor]:
        """Cross-entropy in nats a class, over the valid targets ``x[:, 1:]``."""
        logits = self.network(batch.x[:, :-1])
        losses = F.cross_entropy(logits.flatten(0, 1).float(), batch.x[:, 1:].flatten(), reduction="none")
        if batch.valid is None:
            return {"loss": losses.mean()}
        valid = batch.valid.flatten()
        return {"loss": (losses * valid).sum() / valid.sum().clamp(min=1)}

    @torch.inference_mode()
    def stream(self, request: Request, options: AutoregressiveOptions) -> Iterator[Piece]:
        """One class an item and piece, (batch, 1), until ``request.size`` or until every item has ended."""
        assert request.init is not None
        new = request.size[0]
        x, valid = left_padded(request.init, self.device)
        noise = Uniforms(request.seeds, self.device)
        logits, cache = self.network.prefill(x, valid, new)
        seen = _seen(x, valid, logits) if options.repetition_penalty != 1 else None
        ended = torch.zeros(len(x), dtype=torch.bool, device=self.device)
        for position in range(new):
            if seen is not None:
                logits = torch.where(seen, _penalised(logits, options.repetition_penalty), logits)
            drawn = draw(logits, next(noise), options)
            if request.end is not None:
                drawn = drawn.masked_fill(ended, request.end)
                ended |= drawn == request.end
            yield Piece(position, drawn[:, None].cpu())
            if position + 1 == new or bool(ended.all()):
                return
            if seen is not None:
                seen.scatter_(1, drawn[:, None], True)
            logits = self.network.step(drawn, cache)

    def sample(self, request: Request, options: AutoregressiveOptions) -> list[Tensor]:
        assert request.init is not None
        drawn = torch.cat([piece.x for piece in self.stream(request, options)], 1)
        return [torch.cat([given, new]) for given, new in zip(request.init, drawn, strict=True)]


class Uniforms:
    """An endless row of uniform numbers for each item, from a generator of its own: (items,) at each ``next``."""

    def __init__(self, seeds: list[int], device: torch.device, ahead: int = 256) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.device, self.ahead, self.used = device, ahead, ahead

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        if self.used == self.ahead:
            rows = [torch.rand(self.ahead, generator=generator) for generator in self.generators]
            self.numbers, self.used = torch.stack(rows, 1).to(self.device), 0
        self.used += 1
        return self.numbers[self.used - 1]


def draw(logits: Tensor, uniform: Tensor, options: AutoregressiveOptions) -> Tensor:
    """Classes (batch,) from ``logits`` (batch, classes) by inverting the distribution at ``uniform`` (batch,)."""
    if options.temperature < 1e-6:  # any lower, and float32 overflows
        return logits.argmax(-1)
    probabilities = (logits.float() / options.temperature).softmax(-1)
    probabilities = probabilities * kept(probabilities, options)
    exact = torch.float32 if logits.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
    cumulative = probabilities.to(exact).cumsum(-1)
    target = uniform.to(exact)[:, None] * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, target, right=True)[:, 0]
    last = logits.shape[-1] - 1 - (probabilities > 0).flip(-1).int().argmax(-1)  # rounding must not pass the last one
    return torch.minimum(drawn, last)


def kept(probabilities: Tensor, options: AutoregressiveOptions) -> Tensor:
    """Which classes top-k, top-p and min-p leave: bool (batch, classes). The best one always stays."""
    best = probabilities.amax(-1, keepdim=True)
    keep = probabilities >= options.min_p * best
    if 0 < options.top_k < probabilities.shape[-1]:
        keep &= probabilities >= probabilities.topk(options.top_k).values[:, -1:]
    if options.top_p < 1:
        ordered = probabilities.sort(-1, descending=True).values
        needed = ordered.cumsum(-1) - ordered < options.top_p
        smallest = ordered.masked_fill(~needed, 2).amin(-1, keepdim=True)
        keep &= probabilities >= smallest
    return keep | (probabilities == best)


def left_padded(items: list[Tensor], device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Sequences of unequal length side by side, (batch, time), ending together; and which elements are not padding."""
    time = max(len(item) for item in items)
    x = torch.stack([F.pad(item, (time - len(item), 0)) for item in items]).to(device)
    if all(len(item) == time for item in items):
        return x, None
    lengths = torch.tensor([len(item) for item in items], device=device)
    return x, torch.arange(time, device=device) >= time - lengths[:, None]


def _seen(x: Tensor, valid: Tensor | None, logits: Tensor) -> Tensor:
    """(batch, classes): which classes occur in ``x``."""
    counts = torch.zeros(logits.shape, dtype=torch.int32, device=logits.device)
    ones = torch.ones_like(x, dtype=torch.int32) if valid is None else valid.int()
    return counts.scatter_add_(1, x, ones) > 0


def _penalised(logits: Tensor, penalty: float) -> Tensor:
    return torch.where(logits > 0, logits / penalty, logits * penalty)
