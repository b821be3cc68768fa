"""Native generation engines: fast loops that replace step-by-step generation where they are available."""

import logging
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from genai.networks.wavenet.gated_stack import WaveNetCache
    from genai.networks.wavenet.native import GatedNetwork


class Engine(Protocol):
    """A running generation that produces its samples chunk by chunk and keeps its own state."""

    def sample(self, uniforms: Tensor) -> Tensor:
        """Sample the next classes (batch, n) int64.

        Args:
            uniforms: (batch, n) in [0, 1), one random number per class. With guidance, ``batch`` is half the rows that
                the engine was created with.
        """
        ...

    def teacher_force(self, classes: Tensor) -> Tensor:
        """Feed ``classes`` (batch, n) and return the logits after each of them, (batch, n, classes)."""
        ...


def create_engine(
    network: "GatedNetwork",
    logits: Tensor,
    cache: "WaveNetCache",
    sampling: tuple[float, int, float, float, float],
) -> Engine | None:
    """Create a native engine that continues from ``network.prefill``.

    Args:
        network: a WaveNet with classes and frames.
        logits, cache: as returned by ``network.prefill``.
        sampling: temperature, top-k, top-p, min-p, guidance scale.

    Returns:
        The engine; ``None`` on other devices than the CPU, or if compilation fails.
    """
    if logits.device.type != "cpu" or network.num_classes is None or network.biases is None:
        return None
    try:
        from genai.networks.wavenet.loop import SamplingParams
        from genai.networks.wavenet.native import NativeEngine

        return NativeEngine(network, logits, cache, SamplingParams(*sampling))
    except Exception:  # numba is missing, or its compiler fails on this machine
        logging.getLogger(__name__).debug("no native engine", exc_info=True)
        return None
