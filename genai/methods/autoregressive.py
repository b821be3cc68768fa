"""One class after another: the next one's distribution is learnt, and samples are drawn from it step by step.

It knows nothing of text: the classes may be tokens, or levels of a waveform.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Protocol, cast

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.core.batch import Batch, Chunk, Request
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


@dataclass(frozen=True)
class GuidedOptions(AutoregressiveOptions):
    """How the next class is drawn by a model that was also trained without prompts.

    Attributes:
        guidance: how far to go from the unprompted logits to the prompted ones, and beyond (arXiv:2207.12598, in the
            manner of arXiv:2209.15352, section 2.3); 1 is the prompt alone, and costs half.
    """

    guidance: Annotated[float, Ge(0), Le(100)] = 1.0


class AutoregressiveNetwork(Protocol):
    """Logits of the next class: of whole sequences, and one step at a time with a cache; both agree.

    Where prompts are heard, both take ``local`` and ``context`` besides, and the whole sequence its ``span``.

    Attributes:
        chunk: classes that people want at once: one token, or a tenth of a second.
        classes: how many there are.
    """

    chunk: int
    classes: int

    def __call__(self, x: Tensor, valid: Tensor | None = None, **heard: Any) -> Tensor: ...

    def prefill(self, x: Tensor, valid: Tensor | None = None, new: int = 1, **heard: Any) -> tuple[Tensor, Any]: ...

    def step(self, x: Tensor, cache: Any) -> Tensor: ...

    def engine(self, logits: Tensor, cache: Any, **how: float) -> Any:
        """What draws chunks of classes by itself, or ``None``: it is then done step by step."""


class Prompted(nn.Module):
    """A network and the encoder of its prompts: what learns, is averaged, and samples."""

    def __init__(self, network: nn.Module, prompt: nn.Module) -> None:
        super().__init__()
        if getattr(prompt, "width", None) != getattr(prompt, "word_width", None):
            raise ValueError(
                "prompt.width and prompt.word_width have to be equal: a prompt is heard as one of its words"
            )
        self.network, self.prompt = network, prompt

    def forward(self, x: Tensor, prompts: Sequence[str], **heard: Tensor | None) -> Tensor:
        """Logits of what follows each of ``x`` (batch, time); ``heard``: what else the network takes."""
        logits: Tensor = self.network(x, None, context=self.prompt(list(prompts)), **heard)
        return logits


class Autoregressive(Method):
    """Next-class prediction.

    Args:
        network: an ``AutoregressiveNetwork``.
        prompt: the encoder of prompts; ``None``: they are not heard, or are a beginning to continue.
        prompt_drop: share of the prompts, with what they say about time, that are left out in training; samples can
            then be guided.
        jitter: share of the inputs that are moved by one or two classes in training, where classes are levels: a model
            that hears its own little mistakes learns to live with them.
        sampling: this model's own defaults among the ``Options``.
    """

    Options: type = AutoregressiveOptions

    def __init__(
        self,
        network: nn.Module,
        prompt: nn.Module | None = None,
        prompt_drop: Annotated[float, Ge(0), Le(1)] = 0.0,
        jitter: Annotated[float, Ge(0), Le(1)] = 0.0,
        sampling: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if getattr(network, "classes", 0) is None:
            raise ValueError("modality.classes=null is of model=enhancer: there are no classes to draw")
        self.sampled = network if prompt is None else Prompted(network, prompt)
        self.Options = GuidedOptions if prompt is not None and prompt_drop else AutoregressiveOptions
        self.prompt_drop, self.jitter = prompt_drop, jitter
        self.sampling = sampling or {}

    @property
    def network(self) -> AutoregressiveNetwork:
        return cast(AutoregressiveNetwork, getattr(self.sampled, "network", self.sampled))

    def loss(self, batch: Batch, player: str = "model") -> dict[str, Tensor]:
        """Cross-entropy in nats a class, over the valid targets ``x[:, 1:]``."""
        inputs, targets = batch.x[:, :-1], batch.x[:, 1:].long()
        prompts, local = list(batch.prompts) or [""] * len(inputs), batch.local
        if self.training and self.prompt_drop:
            kept = torch.rand(len(inputs)) >= self.prompt_drop
            prompts = [prompt if keep else "" for prompt, keep in zip(prompts, kept.tolist(), strict=True)]
            local = None if local is None else local * kept.to(local)[:, None, None]
        if self.training and self.jitter:
            inputs = self._jittered(inputs)
        heard = {} if local is None else {"local": local, "span": batch.span}
        logits = self.sampled(inputs, prompts, **heard) if self._prompted else self.sampled(inputs, **heard)
        losses = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
        if batch.valid is None:
            return {"loss": losses.mean()}
        valid = batch.valid.flatten()
        return {"loss": (losses * valid).sum() / valid.sum().clamp(min=1)}

    @torch.inference_mode()
    def stream(self, request: Request, options: AutoregressiveOptions) -> Iterator[Chunk]:
        """``network.chunk`` classes an item and piece, until ``request.size`` or until every item has ended."""
        start = 0
        for drawn in self._chunks(request, options):
            yield Chunk(start, drawn.cpu())
            start += drawn.shape[1]

    def sample(self, request: Request, options: AutoregressiveOptions) -> list[Tensor]:
        assert request.init is not None
        drawn = torch.cat([piece.x for piece in self.stream(request, options)], 1)
        return [torch.cat([given, new]) for given, new in zip(request.init, drawn, strict=True)]

    @property
    def _prompted(self) -> bool:
        return isinstance(self.sampled, Prompted)

    def _jittered(self, x: Tensor) -> Tensor:
        """Levels moved by -2, -1, 1 or 2: ``jitter`` of them."""
        moved = x.long() + torch.tensor([-2, -1, 1, 2], device=x.device)[torch.randint(4, x.shape, device=x.device)]
        return torch.where(
            torch.rand(x.shape, device=x.device) < self.jitter, moved.clamp(0, self.network.classes - 1), x
        )

    def _heard(self, request: Request, guided: bool) -> dict[str, Any]:
        """What the network hears of the prompts; where it is guided, all rows again without them."""
        heard: dict[str, Any] = {}
        prompts = [*request.prompts, *[""] * (len(request.prompts) * guided)]
        if request.local is not None:
            local = torch.stack(request.local).to(self.device)
            heard["local"] = torch.cat([local, torch.zeros_like(local)]) if guided else local
        if isinstance(self.sampled, Prompted):
            heard["context"] = self.sampled.prompt(prompts)
        return heard

    def _chunks(self, request: Request, options: AutoregressiveOptions) -> Iterator[Tensor]:
        """The next classes of each item (batch, n), again and again."""
        assert request.init is not None
        new, guidance = request.size[0], getattr(options, "guidance", 1.0)
        x, valid = left_padded(request.init * (1 if guidance == 1 else 2), self.device)
        noise = Uniforms(request.seeds, self.device)
        logits, cache = self.network.prefill(x, valid, new, **self._heard(request, guidance != 1))
        seen = _seen(x, valid, logits)[: len(request.init)] if options.repetition_penalty != 1 else None
        engine = None
        if seen is None and request.end is None:
            how = {name: getattr(options, name) for name in ("temperature", "top_k", "top_p", "min_p")}
            engine = self.network.engine(logits, cache, **how, guidance=guidance)
        if engine is not None:
            for start in range(0, new, self.network.chunk):
                yield engine.draw(noise.take(min(self.network.chunk, new - start)))
            return
        steps = self._steps(logits, cache, noise, seen, request, options)
        while drawn := list(islice(steps, self.network.chunk)):
            yield torch.stack(drawn, 1)

    def _steps(
        self, logits: Tensor, cache: Any, noise: "Uniforms", seen: Tensor | None, request: Request, options: Any
    ) -> Iterator[Tensor]:
        """The next class of each item (batch,), again and again, as any network can give it."""
        new, guidance = request.size[0], getattr(options, "guidance", 1.0)
        ended = torch.zeros(len(request.prompts), dtype=torch.bool, device=self.device)
        for position in range(new):
            if guidance != 1:
                prompted, free = logits.chunk(2)
                logits = free + guidance * (prompted - free)
            if seen is not None:
                logits = torch.where(seen, _penalised(logits, options.repetition_penalty), logits)
            drawn = draw(logits, noise.take(1)[:, 0], options)
            if request.end is not None:
                drawn = drawn.masked_fill(ended, request.end)
                ended |= drawn == request.end
            yield drawn
            if position + 1 == new or bool(ended.all()):
                return
            if seen is not None:
                seen.scatter_(1, drawn[:, None], True)
            logits = self.network.step(drawn if guidance == 1 else drawn.repeat(2), cache)


class Uniforms:
    """An endless row of uniform numbers for each item, from a generator of its own."""

    def __init__(self, seeds: list[int], device: torch.device, ahead: int = 256) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.device, self.ahead = device, ahead
        self.numbers = torch.empty(len(seeds), 0)

    def take(self, count: int) -> Tensor:
        """The next ``count`` of each, (items, count); made many at a time, which changes nothing but the speed."""
        while self.numbers.shape[1] < count:
            rows = [torch.rand(self.ahead, generator=generator) for generator in self.generators]
            self.numbers = torch.cat([self.numbers, torch.stack(rows)], 1)
        taken, self.numbers = self.numbers[:, :count], self.numbers[:, count:]
        return taken.to(self.device)


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
    x = torch.stack([F.pad(item, (time - len(item), 0)) for item in items]).to(device).long()
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
