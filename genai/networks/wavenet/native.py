"""WaveNet's native generation on the CPU: its weights laid out for the loop, and the loop's memory between chunks."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import Readout
from genai.networks.wavenet.gated_stack import Cache, Layer
from genai.networks.wavenet.loop import Draw, Frames, Run, State, Weights, loop
from genai.networks.wavenet.matmul import WIDTH, tile


class GatedNetwork(Protocol):
    """The parts of a ``WaveNet`` with classes and frames that the loop reads."""

    hop: int
    classes: int | None
    dilations: list[int]
    levels: nn.Embedding | nn.Linear
    hidden: nn.Linear
    out: Readout
    biases: nn.Linear | None

    @property
    def stack(self) -> list[Layer]: ...


class Native:
    """What ``Engine`` promises, for a WaveNet with classes and frames. Compiles where that has not been done yet.

    Args:
        network, logits, cache: as they are after ``network.prefill``; what changes is copied.
        how: how classes are drawn.
    """

    def __init__(self, network: GatedNetwork, logits: Tensor, cache: Cache, how: Draw) -> None:
        rows, vectors, inputs = tile(len(logits))
        self.loop: Run = loop(rows, vectors, inputs)
        self.block, self.how = vectors * WIDTH, how
        self.batch, self.padding = len(logits), -len(logits) % rows
        self.network, self.biases, self.position = network, cache.biases.float(), cache.position
        with torch.inference_mode():
            self.weights = packed(network, self.block, self.batch + self.padding)
            rings = [self._rows(wide(ring, self.block)).transpose(0, 1) for ring in cache.rings]
            logits = self._rows(wide(logits, self.block))
            self.state = State(torch.cat(rings).flatten(1).numpy(), logits.flatten().numpy())
            self._run(torch.zeros(0, self.batch), torch.zeros(0, len(logits), dtype=torch.int64))

    @torch.inference_mode()
    def draw(self, uniforms: Tensor) -> Tensor:
        classes = torch.zeros(uniforms.shape[1], self.batch + self.padding, dtype=torch.int64)
        self._run(uniforms.T, classes)
        return classes.T[: len(uniforms)]

    @torch.inference_mode()
    def follow(self, classes: Tensor) -> Tensor:
        if classes.numel() and not 0 <= int(classes.min()) <= int(classes.max()) < len(self.weights.levels):
            raise IndexError(
                f"classes are from 0 to {len(self.weights.levels) - 1}"
            )  # the loop would read past the end
        logits = torch.empty(classes.shape[1], len(self.state.logits))
        self._run(torch.zeros(0, self.batch), self._rows(classes.long()).T.contiguous(), logits)
        logits = logits.unflatten(1, (self.batch + self.padding, -1))
        return logits[:, : self.batch, : self.network.classes].transpose(0, 1)

    def _run(self, uniforms: Tensor, classes: Tensor, logits: Tensor | None = None) -> None:
        """Go on over ``classes`` (n, rows), with ``uniforms`` (n, batch) or none, and ``logits`` to write or none."""
        frames, logits = self._frames(len(classes)), torch.empty(0, 0) if logits is None else logits
        arrays = uniforms.double().contiguous().numpy(), classes.numpy(), logits.numpy()
        self.loop(self.weights, self.state, frames, self.how, *arrays)
        self.position += len(classes)

    def _frames(self, n: int) -> Frames:
        """Biases of the gates for the next ``n`` samples, those of the weights among them."""
        hop, last = self.network.hop, self.biases.shape[1] - 1
        first = min(self.position // hop, last)
        biases = self.biases[:, first : min((self.position + max(n, 1) - 1) // hop, last) + 1]
        biases = biases + torch.stack([layer.taps.bias for layer in self.network.stack])
        biases = self._rows(halves(biases, self.block)).permute(1, 2, 0, 3).flatten(2).contiguous()
        return Frames(biases.numpy(), hop, self.position - first * hop, self.position)

    def _rows(self, x: Tensor) -> Tensor:
        """Rows up to a whole tile, (batch, ...)."""
        return torch.cat([x, x.new_zeros(self.padding, *x.shape[1:])])


def packed(network: GatedNetwork, block: int, batch: int) -> Weights:
    """The weights as the loop reads them."""
    matrices: list[Tensor] = []
    for layer in network.stack:
        older, newer = layer.taps.weight.chunk(2, 1)
        residual, skip = layer.mixed.weight.split([layer.residual, layer.mixed.out_features - layer.residual])
        matrices += [halves(older.T, block).T, halves(newer.T, block).T, residual, skip]
    matrices += [network.hidden.weight, network.out.weight]
    mixed = torch.stack([layer.mixed.bias for layer in network.stack])
    residual, skip = mixed.split([network.stack[0].residual, network.hidden.in_features], 1)

    def rows(bias: Tensor) -> np.ndarray:
        return wide(bias, block).repeat(*[1] * (bias.ndim - 1), batch).numpy()

    return Weights(
        packed=torch.cat([panels(matrix, block).flatten() for matrix in matrices]).numpy(),
        levels=wide(network.levels.weight, block).contiguous().numpy(),
        residual=rows(residual),
        skips=rows(skip.sum(0)),
        hidden=rows(network.hidden.bias),
        out=rows(network.out.bias),
        dilations=np.array(network.dilations, np.int64),
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
