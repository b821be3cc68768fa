"""Autoregressive models: next-class prediction, and sampling one class at a time.

Nothing here is specific to text: classes may be tokens, or levels of a waveform.
"""

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Annotated, Any, Protocol, cast

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.core.batch import Batch, Chunk, Request
from genai.core.errors import NonFiniteOutput, UserError
from genai.core.renamed import module_getattr
from genai.methods.base import Method, NetworkCall, call_each, check_output, map_steps
from genai.methods.categorical import AutoregressiveOptions, UniformSampler, sample_categorical
from genai.methods.logit_bias import LogitBias

MAX_CHUNK_SECONDS = 0.05
"""Time between two parts of a streamed text, if several tokens are made at once."""
MAX_SHARED_TOKENS = 4
"""Tokens that several requests get at once: another one can join after them."""


@dataclass(frozen=True)
class GuidedOptions(AutoregressiveOptions):
    """Options of sampling from a model that was also trained without prompts.

    Attributes:
        guidance: scale of classifier-free guidance on the logits (arXiv:2207.12598, as in arXiv:2209.15352, section
            2.3); 1 uses the conditional logits only and costs half.
    """

    guidance: Annotated[float, Ge(0), Le(100)] = 1.0


@dataclass(frozen=True)
class NextTokens(NetworkCall):
    """A request for the next tokens of some texts, at most ``size`` of each, with their random numbers."""

    batch: Any
    uniforms: UniformSampler
    size: int


class AutoregressiveNetwork(Protocol):
    """A network that gives logits of the next class, for whole sequences or step by step with a cache.

    If it is conditioned on prompts, both also take ``local`` and ``context``, and whole sequences take ``span``.

    Attributes:
        chunk: number of classes per streamed chunk: one token, or a tenth of a second.
        num_classes: number of classes.
    """

    chunk: int
    num_classes: int

    def __call__(self, x: Tensor, valid: Tensor | None = None, **conditioning: Any) -> Tensor: ...

    def prefill(
        self, x: Tensor, valid: Tensor | None = None, new: int = 1, **conditioning: Any
    ) -> tuple[Tensor, Any]: ...

    def step(self, x: Tensor, cache: Any) -> Tensor: ...

    def engine(self, logits: Tensor, cache: Any, **options: float) -> Any:
        """Return a native engine that samples chunks of classes, or ``None`` to sample step by step.

        A network of tokens may have ``token_engine`` instead, see ``networks.gpt.GPT``.
        """


class PromptConditionedNetwork(nn.Module):
    """A network with its prompt encoder."""

    def __init__(self, network: nn.Module, prompt: nn.Module) -> None:
        super().__init__()
        if getattr(prompt, "width", None) != getattr(prompt, "word_width", None):
            raise ValueError("prompt.width and prompt.word_width must be equal")
        self.network, self.prompt = network, prompt

    def forward(self, x: Tensor, prompts: Sequence[str], **conditioning: Tensor | None) -> Tensor:
        """Return the logits (batch, time, classes) of the classes that follow ``x`` (batch, time)."""
        logits: Tensor = self.network(x, None, context=self.prompt(list(prompts)), **conditioning)
        return logits


class Autoregressive(Method):
    """Next-class prediction.

    Args:
        network: an ``AutoregressiveNetwork``.
        prompt: prompt encoder; ``None``: unconditional, or the prompt is a beginning to continue.
        prompt_drop: fraction of prompts, with their ``local`` features, that are dropped in training; needed for
            guidance.
        jitter: fraction of inputs that are shifted by one or two classes in training, where classes are levels: the
            model learns to tolerate its own small errors.
        sampling: this model's own defaults for ``Options``.
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
        if getattr(network, "num_classes", 0) is None:
            raise ValueError("modality.num_classes=null is for model=enhancer: there are no classes to sample")
        self.ema_module = network if prompt is None else PromptConditionedNetwork(network, prompt)
        self.Options = GuidedOptions if prompt is not None and prompt_drop else AutoregressiveOptions
        self.prompt_drop, self.jitter = prompt_drop, jitter
        self.sampling = sampling or {}
        self.shared_engine: Any = None  # of the requests that are sampled by ``steps``

    @property
    def network(self) -> AutoregressiveNetwork:
        return cast(AutoregressiveNetwork, getattr(self.ema_module, "network", self.ema_module))

    def loss(self, batch: Batch, network_name: str = "model") -> dict[str, Tensor]:
        """Return the mean cross-entropy, in nats per class, over the valid targets ``x[:, 1:]``."""
        inputs, targets = batch.x[:, :-1], batch.x[:, 1:].long()
        prompts, local = list(batch.prompts) or [""] * len(inputs), batch.local
        if self.training and self.prompt_drop:
            keep_mask = torch.rand(len(inputs)) >= self.prompt_drop
            prompts = [prompt if keep else "" for prompt, keep in zip(prompts, keep_mask.tolist(), strict=True)]
            local = None if local is None else local * keep_mask.to(local)[:, None, None]
        if self.training and self.jitter:
            inputs = self._jitter_levels(inputs)
        conditioning = {} if local is None else {"local": local, "span": batch.span}
        if batch.segments is not None:
            conditioning["segments"] = batch.segments[:, :-1]
        arguments = (inputs, prompts) if isinstance(self.ema_module, PromptConditionedNetwork) else (inputs,)
        logits = self.ema_module(*arguments, **conditioning)
        losses = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
        if batch.valid is None:
            return {"loss": losses.mean()}
        valid = batch.valid.flatten()
        return {"loss": (losses * valid).sum() / valid.sum().clamp(min=1)}

    @torch.inference_mode()
    def stream(self, request: Request, options: AutoregressiveOptions) -> Iterator[Chunk]:
        """Yield ``network.chunk`` classes per item and chunk, until ``request.size`` or until every item has ended."""
        if (engine := self._token_engine(request, options)) is not None:
            yield from call_each(self._text_steps(engine, request, options), self.call_network)
            return
        start = 0
        for classes, log_probs in self._generate_chunks(self._within_positions(request), options):
            yield Chunk(start, classes.cpu(), log_probs=None if log_probs is None else log_probs.cpu())
            start += classes.shape[1]

    @torch.inference_mode()
    def steps(self, request: Request, options: AutoregressiveOptions) -> Generator[Chunk | NetworkCall, Any, None]:
        """Yield what ``stream`` does; texts in a native engine share it with those of other requests."""
        if self.shared_engine is None or not self.shared_engine.is_current:
            self.shared_engine = self._token_engine(request, options)
        if self.shared_engine is None or not self._can_use_tokens(request, options):
            yield from self.stream(request, options)
        else:
            yield from self._text_steps(self.shared_engine, request, options)

    def sample(self, request: Request, options: AutoregressiveOptions) -> list[Tensor]:
        assert request.init is not None
        classes = torch.cat([chunk.x for chunk in self.stream(request, options)], 1)
        return [torch.cat([init, new]) for init, new in zip(request.init, classes, strict=True)]

    def _jitter_levels(self, x: Tensor) -> Tensor:
        """Shift a fraction ``jitter`` of levels by -2, -1, 1 or 2."""
        shifted = x.long() + torch.tensor([-2, -1, 1, 2], device=x.device)[torch.randint(4, x.shape, device=x.device)]
        return torch.where(
            torch.rand(x.shape, device=x.device) < self.jitter, shifted.clamp(0, self.network.num_classes - 1), x
        )

    def _conditioning(self, request: Request, guided: bool) -> dict[str, Any]:
        """Return the network's conditioning; with guidance all rows are repeated without prompts."""
        conditioning: dict[str, Any] = {}
        prompts = [*request.prompts, *[""] * (len(request.prompts) * guided)]
        if request.local is not None:
            local = torch.stack(request.local).to(self.device)
            conditioning["local"] = torch.cat([local, torch.zeros_like(local)]) if guided else local
        if isinstance(self.ema_module, PromptConditionedNetwork):
            conditioning["context"] = self.ema_module.prompt(prompts)
        return conditioning

    def _generate_chunks(
        self, request: Request, options: AutoregressiveOptions
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield the next classes (batch, n) of all items, with a native engine of classes if there is one, and
        log-probabilities (batch, n, classes) if they are requested."""
        init = request.init
        assert init is not None
        length, guidance = request.size[0], getattr(options, "guidance", 1.0)
        uniforms = UniformSampler(request.seeds, self.device)
        x, valid = left_pad(init * (1 if guidance == 1 else 2), self.device)
        logits, cache = self.network.prefill(x, valid, length, **self._conditioning(request, guidance != 1))
        check_output(logits.logsumexp(-1))  # single classes may have a logit of minus infinity
        history = None
        if options.repetition_penalty != 1 or options.presence_penalty:
            prompt_mask = _class_mask(x, valid, logits)[: len(init), : request.num_classes]
            history = torch.stack([prompt_mask, torch.zeros_like(prompt_mask)])
        has_bias = request.bias is not None or request.constraints or request.class_biases
        engine, changes_logits = None, has_bias or request.log_probs
        if history is None and not request.end_tokens and not changes_logits:
            filters = {name: getattr(options, name) for name in ("temperature", "top_k", "top_p", "min_p")}
            engine = self.network.engine(logits, cache, **filters, guidance=guidance)
        if engine is not None:
            for start in range(0, length, self.network.chunk):
                yield engine.sample(uniforms.take(min(self.network.chunk, length - start))), None
            return
        steps = self._generate_steps(logits, cache, uniforms, history, request, options)
        while chunk := list(islice(steps, self.network.chunk)):
            classes, log_probs = zip(*chunk, strict=True)
            yield torch.stack(classes, 1), torch.stack(log_probs, 1) if request.log_probs else None

    def _text_steps(
        self, engine: Any, request: Request, options: AutoregressiveOptions
    ) -> Generator[Chunk | NetworkCall, Any, None]:
        """Yield the chunks of texts in a native engine of tokens, and the calls of its loop."""
        request = self._within_positions(request)
        batch = self._begin_texts(engine, request, options)
        start = 0

        def chunk(output: tuple[Tensor, Tensor | None]) -> Chunk:
            nonlocal start
            start += output[0].shape[1]
            return Chunk(start - output[0].shape[1], output[0], log_probs=output[1])

        try:
            yield from map_steps(_token_steps(batch, UniformSampler(request.seeds, self.device), request), chunk)
        finally:
            batch.remove()

    def call_network(self, inputs: Sequence[NextTokens]) -> list[Tensor]:
        """Sample the next tokens (rows, n) of each input, as many as all of them want."""
        size = min(each.size for each in inputs)
        size = size if len(inputs) == 1 else min(size, MAX_SHARED_TOKENS)
        outputs: dict[int, Tensor] = {}
        for engine in {id(each.batch.engine): each.batch.engine for each in inputs}.values():  # two after a change
            numbers = [number for number, each in enumerate(inputs) if each.batch.engine is engine]
            slots = [slot for number in numbers for slot in inputs[number].batch.slots]
            uniforms = torch.cat([inputs[number].uniforms.take(size) for number in numbers])
            parts = engine.sample(slots, uniforms).split([len(inputs[number].batch.slots) for number in numbers])
            outputs.update(zip(numbers, parts, strict=True))
        return [outputs[number] for number in range(len(inputs))]

    def _within_positions(self, request: Request) -> Request:
        """Return the request with no more tokens than the network has positions for. Raises ``UserError``."""
        limit = getattr(self.network, "max_positions", None)
        if limit is None or request.init is None:
            return request
        longest = max(len(tokens) for tokens in request.init)
        if longest >= limit:
            raise UserError(f"a prompt of {longest:,} tokens: this model has {limit:,} positions in all.")
        return replace(request, size=(min(request.size[0], limit - longest),))

    def _can_use_tokens(self, request: Request, options: AutoregressiveOptions) -> bool:
        """Return whether the network is one of tokens, without conditioning."""
        is_plain = not isinstance(self.ema_module, PromptConditionedNetwork) and request.local is None
        return is_plain and getattr(options, "guidance", 1.0) == 1

    def _token_engine(self, request: Request, options: AutoregressiveOptions) -> Any:
        """Return a new native engine of tokens, or ``None``."""
        create = getattr(self.network, "token_engine", None)
        return create() if create is not None and self._can_use_tokens(request, options) else None

    def _begin_texts(self, engine: Any, request: Request, options: AutoregressiveOptions) -> Any:
        """Begin the texts of a request in an engine, and return them."""
        values = {field.name: getattr(options, field.name) for field in fields(AutoregressiveOptions)}
        classes = {"num_tokens": request.num_classes, "end_tokens": request.end_tokens}
        batch = engine.begin(request.init, request.size[0], **values, **classes)
        try:
            check_output(batch.logits.logsumexp(-1))
        except NonFiniteOutput:
            batch.remove()
            raise
        return batch

    def _generate_steps(
        self,
        logits: Tensor,
        cache: Any,
        uniforms: UniformSampler,
        history: Tensor | None,
        request: Request,
        options: Any,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the next class (batch,) of all items, for any network, and log-probabilities (batch, classes); these
        are empty if they are not requested.

        Args:
            history: (2, batch, classes) bool, the classes that occurred before, and those that were generated;
                ``None``: no penalties.
        """
        length, guidance = request.size[0], getattr(options, "guidance", 1.0)
        ended = torch.zeros(len(request.prompts), dtype=torch.bool, device=self.device)
        ends = torch.tensor(request.end_tokens, dtype=torch.long, device=self.device)
        bias = LogitBias.of(request, request.num_classes or logits.shape[1], self.device)
        for position in range(length):
            if guidance != 1:
                conditional, unconditional = logits.chunk(2)
                logits = unconditional + guidance * (conditional - unconditional)
            logits = logits[:, : request.num_classes]  # reserved ids are never sampled
            log_probs = logits.float().log_softmax(-1) if request.log_probs else logits[:, :0]
            if history is not None:
                logits = torch.where(history[0], _apply_repetition_penalty(logits, options.repetition_penalty), logits)
                logits = logits - options.presence_penalty * history[1]
            if bias is not None:
                logits = logits + bias.rows()
            classes = sample_categorical(logits, uniforms.take(1)[:, 0], options)
            if request.end_tokens:
                classes = classes.masked_fill(ended, request.end_tokens[0])
                ended |= torch.isin(classes, ends)
            yield classes, log_probs
            if position + 1 == length or bool(ended.all()):
                return
            if bias is not None:
                bias.advance(classes[:, None])
            if history is not None:
                history.scatter_(2, classes.expand(2, -1)[..., None], True)
            logits = self.network.step(classes if guidance == 1 else classes.repeat(2), cache)


def _token_steps(batch: Any, uniforms: UniformSampler, request: Request) -> Generator[Any, Any, None]:
    """Yield tokens (batch, n) of an engine's texts until ``request.size`` or the end of all: one first, then more at
    once as long as that takes a moment. A bias that changes, and log-probabilities (batch, n, classes), need one at a
    time."""
    start, size = 0, 1
    bias = LogitBias.of(request, request.num_classes or batch.logits.shape[1], torch.device("cpu"))
    one_by_one = request.log_probs or (bias is not None and not bias.is_constant)
    if bias is not None and bias.is_constant:
        batch.set_bias(bias.rows())
    while start < request.size[0] and not batch.has_ended:
        start_time, count = time.perf_counter(), min(size, request.size[0] - start)
        if bias is not None and not bias.is_constant:
            batch.set_bias(bias.rows())
        log_probs = batch.logits[:, None, : request.num_classes].log_softmax(-1) if request.log_probs else None
        tokens = yield NextTokens(batch, uniforms, count)
        yield tokens, log_probs
        if bias is not None:
            bias.advance(tokens)
        start += tokens.shape[1]
        is_short = time.perf_counter() - start_time < MAX_CHUNK_SECONDS / 2
        size = 2 * size if is_short and not one_by_one else size


def left_pad(items: list[Tensor], device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Pad sequences on the left to (batch, time), and return the mask of what is not padding; ``None``: no padding."""
    time = max(len(item) for item in items)
    x = torch.stack([F.pad(item, (time - len(item), 0)) for item in items]).to(device).long()
    if all(len(item) == time for item in items):
        return x, None
    lengths = torch.tensor([len(item) for item in items], device=device)
    return x, torch.arange(time, device=device) >= time - lengths[:, None]


def _class_mask(x: Tensor, valid: Tensor | None, logits: Tensor) -> Tensor:
    """Return the mask (batch, classes) of the classes that occur in ``x``."""
    counts = torch.zeros(logits.shape, dtype=torch.int32, device=logits.device)
    ones = torch.ones_like(x, dtype=torch.int32) if valid is None else valid.int()
    return counts.scatter_add_(1, x, ones) > 0


def _apply_repetition_penalty(logits: Tensor, penalty: float) -> Tensor:
    return torch.where(logits > 0, logits / penalty, logits * penalty)


__getattr__ = module_getattr(__name__)
