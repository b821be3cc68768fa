"""Fast generation loops that a network may choose; without one, it steps as it always can."""

import logging
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from genai.networks.wavenet.gated_stack import Cache
    from genai.networks.wavenet.native import GatedNetwork


class Engine(Protocol):
    """A generation that goes on, chunk by chunk, with a memory of its own."""

    def draw(self, uniforms: Tensor) -> Tensor:
        """The next classes (batch, n) int64 for ``uniforms`` (batch, n) in [0, 1); guided, a batch of half the rows."""
        ...

    def follow(self, classes: Tensor) -> Tensor:
        """Go on with ``classes`` (batch, n) that are given: the logits after each, (batch, n, classes)."""
        ...


def engine_for(
    network: "GatedNetwork", logits: Tensor, cache: "Cache", how: tuple[float, int, float, float, float]
) -> Engine | None:
    """A native loop from where ``network.prefill`` ended, or ``None``: off the CPU, or where nothing can be compiled.

    Args:
        how: temperature, top-k, top-p, min-p, guidance.
    """
    if logits.device.type != "cpu" or network.classes is None or network.biases is None:
        return None
    try:
        from genai.networks.wavenet.loop import Draw
        from genai.networks.wavenet.native import Native

        return Native(network, logits, cache, Draw(*how))
    except Exception:  # no numba, or whatever its compiler stumbles over on a machine that we have not seen
        logging.getLogger(__name__).debug("no native engine", exc_info=True)
        return None
