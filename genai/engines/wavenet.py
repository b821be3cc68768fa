"""WaveNet's native generation on the CPU: its weights laid out for the loop, and the loop's memory between chunks."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from genai.engines.loop import Draw, Frames, Run, State, Weights, loop
from genai.engines.product import WIDTH, tile

if TYPE_CHECKING:
    from genai.networks.wavenet import Cache, WaveNet


class Native:
    """What ``Engine`` promises, for a WaveNet with classes and frames.

    Args:
        network, logits, cache: as they are after ``network.prefill``; the engine has its own copies.
        how: how classes are drawn.
    """

    def __init__(self, network: "WaveNet", logits: Tensor, cache: "Cache", how: Draw) -> None:
        rows, vectors, inputs = tile(len(logits))
        self.run: Run = loop(rows, vectors, inputs)
        self.block, self.how = vectors * WIDTH, how
        self.batch, self.padding = len(logits), -len(logits) % rows
        self.network, self.biases, self.position = network, cache.biases, cache.position
        with torch.inference_mode():
            self.weights = packed(network, self.block, self.batch + self.padding)
            self.rings = torch.cat([self._rows(wide(ring, self.block)).transpose(0, 1) for ring in cache.rings])
            self.logits = self._rows(wide(logits, self.block)).contiguous()
        self.state = State(self.rings.numpy(), self.logits.numpy())

    @torch.inference_mode()
    def draw(self, uniforms: Tensor) -> Tensor:
        classes = torch.zeros(uniforms.shape[1], self.batch + self.padding, dtype=torch.int64)
        self._go(uniforms.double().T.contiguous(), classes)
        return classes.T[: self.batch]

    @torch.inference_mode()
    def follow(self, classes: Tensor) -> Tensor:
        n = classes.shape[1]
        every = torch.empty(n, *self.logits.shape)
        self._go(torch.zeros(0, self.batch, dtype=torch.float64), self._rows(classes).T.contiguous(), every)
        return every.transpose(0, 1)[: self.batch, :, : self.network.classes]

    def _go(self, uniforms: Tensor, classes: Tensor, every: Tensor | None = None) -> None:
        """Run on over ``classes`` (n, batch)."""
        every = torch.empty(0, *self.logits.shape) if every is None else every
        frames = self._frames(len(classes))
        self.run(self.weights, self.state, frames, self.how, uniforms.numpy(), classes.numpy(), every.numpy())
        self.position += len(classes)

    def _frames(self, n: int) -> Frames:
        """Biases of the gates for the next ``n`` samples, those of the weights among them."""
        hop, last = self.network.hop, self.biases.shape[1] - 1
        first = min(self.position // hop, last)
        biases = self.biases[:, first : min((self.position + n - 1) // hop, last) + 1]
        biases = biases + torch.stack([layer.taps.bias for layer in self.network.stack])
        biases = self._rows(halves(biases, self.block)).permute(1, 2, 0, 3).contiguous()
        return Frames(biases.numpy(), hop, self.position - first * hop, self.position)

    def _rows(self, x: Tensor) -> Tensor:
        """Rows up to a whole tile, (batch, ...)."""
        return torch.cat([x, x.new_zeros(self.padding, *x.shape[1:])])


def packed(network: "WaveNet", block: int, batch: int) -> Weights:
    """The weights as the loop reads them."""
    matrices: list[Tensor] = []
    for layer in network.stack:
        older, newer = layer.taps.weight.chunk(2, 1)
        residual, skip = layer.mixed.weight.split([layer.residual, layer.mixed.out_features - layer.residual])
        matrices += [halves(older.T, block).T, halves(newer.T, block).T, residual, skip]
    matrices += [network.hidden.weight, network.out.weight]
    mixed = torch.stack([layer.mixed.bias for layer in network.stack])
    residual, skip = mixed.split([network.stack[0].residual, network.hidden.in_features], 1)
    biases = [bias.expand(batch, -1) for bias in (skip.sum(0), network.hidden.bias, network.out.bias)]
    return Weights(
        torch.cat([panels(matrix, block).flatten() for matrix in matrices]).numpy(),
        *(wide(part, block).contiguous().numpy() for part in (network.levels.weight, residual, *biases)),
        np.array(network.dilations, np.int64),
    )


def panels(matrix: Tensor, block: int) -> Tensor:
    """(outputs, inputs) -> (outputs / block, inputs, block), padded with zeros: the order of ``product.accumulate``."""
    return wide(wide(matrix, block).T, block).T.unflatten(0, (-1, block)).transpose(1, 2)


def halves(gates: Tensor, block: int) -> Tensor:
    """(..., gate) padded so that filter and gate begin and end with a block."""
    return wide(gates.unflatten(-1, (2, -1)), block).flatten(-2)


def wide(x: Tensor, block: int) -> Tensor:
    """The last dimension up to a multiple of ``block``, with zeros."""
    return F.pad(x.detach().float(), (0, -x.shape[-1] % block))
