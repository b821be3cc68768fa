"""Base class of methods: a loss to train networks with, and a way to sample from them. Any training loop can use it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from genai.core.batch import Batch, Chunk, Request
from genai.core.errors import NonFiniteOutput, UserError
from genai.methods.preservation import Preservation


class NetworkCall:
    """Input of a network, from a request in progress that goes on with the output."""


def call_each(steps: Generator[Any, Any, Any], call_network: Callable[[list[Any]], list[Any]]) -> Iterator[Any]:
    """Yield what ``steps`` yields, but answer each ``NetworkCall`` at once, alone."""
    answer = None
    while True:
        try:
            value = steps.send(answer)
        except StopIteration:
            return
        answer = None
        if isinstance(value, NetworkCall):
            (answer,) = call_network([value])
        else:
            yield value


def map_steps(
    steps: Generator[Any, Any, None], function: Callable[[Any], Any], is_done: Callable[[], bool] = lambda: False
) -> Generator[Any, Any, None]:
    """Yield ``function`` of what ``steps`` yields, but each ``NetworkCall`` as it is, and send its answer back.

    Args:
        is_done: whether no more steps are needed; they are closed then.
    """
    answer = None
    try:
        while not is_done():
            value = steps.send(answer)
            answer = yield value if isinstance(value, NetworkCall) else function(value)
    except StopIteration:
        return
    finally:
        steps.close()


def check_output(x: Tensor) -> Tensor:
    """Return what a network computed for samples. Raises ``NonFiniteOutput`` if a number is NaN or infinite."""
    if not x.isfinite().all():
        raise NonFiniteOutput(
            "the model computes numbers that are not finite: its training failed or its file changed."
        )
    return x


class Method(nn.Module, ABC):
    """A network, or several that are trained in turns, with a loss and a sampler."""

    Options: type
    """A dataclass of sampling options with types, ranges and defaults."""

    sampling: dict[str, Any]
    """This model's own defaults for ``Options``."""

    metrics: Sequence[str] = ()
    """Names of the metrics that ``genai.evaluate`` computes by default; empty: the defaults of the data."""

    supports_interpolation: bool = False
    """Whether it can sample between two prompts or two seeds (``Request.interpolation``)."""

    supports_init: bool = True
    """Whether it can start from given media or continue them (``init``)."""

    supports_masks: bool = False
    """Whether its loss is weighted by ``Batch.loss_mask``."""

    restores_init: bool = False
    """Whether it makes a better version of given media (``init``), without which it makes nothing."""

    is_iterative: bool = True
    """Whether it samples in several steps, each of which shows the sample so far."""

    handles_overfit: bool = False
    """Whether ``health_warning`` tells overfitting; if not, a run does, by the validation loss."""

    skips_zero_gradients: bool = False
    """Whether a step with a gradient of exactly 0 updates nothing: it had nothing to learn from. Otherwise weight decay
    and the moments of earlier steps change the weights."""

    progress_metrics: Sequence[str] = ()
    """Names of the step's metrics that the progress of a run shows besides the losses."""

    prompt_drop: float = 0.0
    """Fraction of prompts that training drops: above 0, it learns to sample without a prompt."""

    needs_consent: bool = False
    """Whether its samples are voices of people: its data need records of their consent, and its files always say that
    the voice is synthetic."""

    can_sample: bool = True
    """Whether it samples at all: a reward model does not."""

    @property
    def has_previews(self) -> bool:
        """Whether a run shows what the method makes, as samples or of held-out data."""
        return self.can_sample

    batch_types: tuple[type[Batch], ...] = (Batch,)
    """Classes of batches that ``loss`` takes; the first is the one that it is for."""

    replaces: "type[Method] | None" = None
    """Class of the methods whose network it trains further (``method=``), and subclasses with the same ``Options``;
    ``None``: it trains networks of its own."""

    ema_module: nn.Module
    """The module that samples; its weights are averaged over training."""

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks that are trained in turns, by name; each has its own optimizer."""
        return {"model": self.ema_module}

    @property
    def uses_average(self) -> bool:
        """Whether the loss compares the network with the moving average of ``ema_module``."""
        return False

    def set_average(self, average: nn.Module) -> None:
        """Take the moving average of ``ema_module``, if ``uses_average``."""
        raise NotImplementedError

    def unused_options(self, request: Request, options: Any) -> dict[str, str]:
        """Return the options that change nothing in this request, with the reason."""
        return {}

    def compile_networks(self) -> None:
        """Compile the networks with torch.compile, but not prompt encoders, whose inputs are texts."""
        for network in self.networks().values():
            getattr(network, "network", network).compile()

    @property
    def has_unused_parameters(self) -> bool:
        """Whether a loss may leave some parameters unused, possibly others in each process."""
        return False

    @property
    def needs_reference(self) -> bool:
        """Whether the loss compares the network with the one that training begins with."""
        return False

    def reference(self, batch: Batch) -> Tensor:
        """Return what the loss needs of the network that training begins with: (batch, ...), a part of the batch."""
        raise NotImplementedError

    def matching_modules(self, base: "Method") -> tuple[nn.Module, nn.Module]:
        """Return the part of this method that begins with weights of ``base``, and that part of ``base``."""
        return self, base

    @contextmanager
    def evaluation_mode(self) -> Iterator[None]:
        """Disable dropout."""
        is_training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(is_training)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @abstractmethod
    def loss(self, batch: Batch, network_name: str) -> dict[str, Tensor]:
        """Return ``"loss"``, the scalar that ``network_name`` minimizes, and its named parts, as batch means."""

    def validation_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of held-out examples, all means over the batch: ``"loss"``, by which the best checkpoint
        is chosen, and named parts. By default the loss of the first network."""
        return self.loss(batch, next(iter(self.networks())))

    def item_loss(self, batch: Batch) -> Tensor | None:
        """Return a number that is lower for items that the method remembers, as the mean over the batch; ``None``: it
        has none. By default ``validation_loss``."""
        return self.validation_loss(batch)["loss"]

    def preserve_outputs(self, preservation: Preservation) -> None:
        """Keep the answers to other prompts while an adapter is trained. Raises ``UserError`` if it cannot."""
        raise UserError("adapter.preserve= is for diffusion models and voices. Leave it out.")

    def degrade(self, x: Tensor) -> Tensor | None:
        """Return ``x`` (batch, ...) with the degradation that the method learns to remove, or ``None``."""
        return None

    def health_warning(self, losses: Mapping[str, float]) -> str | None:
        """Return a one-line warning about the mean ``validation_loss`` values, or ``None``."""
        return None

    def validation_summary(self, losses: Mapping[str, float]) -> str:
        """Return a line for people about the mean ``validation_loss`` values; "": the loss says it all."""
        return ""

    def step_warnings(self, metrics: Mapping[str, float]) -> list[str]:
        """Return one-line warnings about the numbers of a training step. A run calls it after each step."""
        return []

    @abstractmethod
    def stream(self, request: Request, options: Any) -> Iterator[Chunk]:
        """Yield samples chunk by chunk. An item's noise depends on its own seed and a CPU generator."""

    @abstractmethod
    def sample(self, request: Request, options: Any) -> list[Tensor]:
        """Return the final samples of ``stream``, one tensor per item, including the beginning that was given."""

    def steps(self, request: Request, options: Any) -> Generator[Chunk | NetworkCall, Any, None]:
        """Yield the chunks of ``stream``, and each ``NetworkCall`` that requests in progress can share.

        What ``call_network`` returns for it is sent back. By default a method has none.
        """
        yield from self.stream(request, options)

    def call_network(self, inputs: Sequence[Any]) -> list[Any]:
        """Return what the network computes for each of ``inputs``, in one pass where they fit together."""
        raise NotImplementedError
