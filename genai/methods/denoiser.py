"""A denoising network with what belongs to it: a prompt encoder, and a network that refines its samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from genai.methods.base import NetworkCall
from genai.methods.interpolation import Prompt, embed_prompts
from genai.networks.layers import PromptEmbedding


@dataclass(frozen=True)
class NetworkInput(NetworkCall):
    """Input of the denoiser.

    Attributes:
        x: (rows, ...), noisy data.
        time: noise levels, of the leading dimensions of x.
        prompts: one per row.
        conditioning: further inputs of the network, (rows, ...).
        step_size: (rows,) if the network knows the size of a step.
    """

    x: Tensor
    time: Tensor
    prompts: Sequence[Prompt]
    conditioning: tuple[Tensor, ...] = ()
    step_size: Tensor | None = None

    @property
    def shapes(self) -> tuple[Any, ...]:
        """What has to be equal in a batch."""
        return tuple(each.shape[1:] for each in (self.x, self.time, *self.conditioning))


class Denoiser(nn.Module):
    """A denoising network with its prompt encoder, and with what refines its samples."""

    def __init__(self, network: nn.Module, prompt: nn.Module | None, refiner: nn.Module | None = None) -> None:
        super().__init__()
        self.network, self.prompt, self.refiner = network, prompt, refiner

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        prompts: Sequence[Prompt],
        *conditioning: Tensor,
        step_size: Tensor | None = None,
    ) -> Tensor:
        """Return the network's output in float32.

        Args:
            x: (batch, ...).
            time: noise levels, of the leading dimensions of x.
            prompts: one per row.
            conditioning: further inputs of the network.
            step_size: (batch,) for a network that knows the size of a step.
        """
        return self.predict(x, time, embed_prompts(self.prompt, prompts), *conditioning, step_size=step_size)

    def predict(
        self,
        x: Tensor,
        time: Tensor,
        embedding: PromptEmbedding | None,
        *conditioning: Tensor,
        step_size: Tensor | None = None,
    ) -> Tensor:
        """Return what ``forward`` does, from encoded prompts."""
        pooled = None if embedding is None else embedding.pooled
        named: dict[str, Any] = {"words": embedding} if getattr(self.network, "word_width", 0) else {}
        if step_size is not None:
            named["step_size"] = step_size
        return self.network(x, time, pooled, *conditioning, **named).float()


def add_step_size(network: nn.Module) -> None:
    """Let a network know the size of a step. Raises ``ValueError`` if it cannot."""
    add = getattr(network, "add_step_size", None)
    if add is None:
        raise ValueError(f"shortcut=true: {type(network).__name__} cannot know the size of a step (add_step_size).")
    add()
