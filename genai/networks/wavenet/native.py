"""WaveNet's native generation engine on the CPU: packs the weights for the loop and keeps its state between chunks."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import Readout
from genai.networks.wavenet.gated_stack import GatedLayer, WaveNetCache
from genai.networks.wavenet.loop import (
    GateBiases,
    LoopState,
    LoopWeights,
    SampleLoop,
    SamplingParams,
    compile_sample_loop,
)
from genai.networks.wavenet.matmul import VECTOR_FLOATS, tile_shape


class GatedNetwork(Protocol):
    """The parts of a ``WaveNet`` with classes and frames that the engine reads."""

    hop_length: int
    num_classes: int | None
    dilations: list[int]
    levels: nn.Embedding | nn.Linear
    hidden: nn.Linear
    out: Readout
    biases: nn.Linear | None

    @property
    def stack(self) -> list[GatedLayer]: ...


class NativeEngine:
    """An ``Engine`` for a WaveNet with classes and frames. It compiles the loop if that has not been done yet.

    Args:
        network: the WaveNet.
        logits, cache: as returned by ``network.prefill``; they are copied, not changed.
        sampling: how classes are sampled.
    """

    def __init__(self, network: GatedNetwork, logits: Tensor, cache: WaveNetCache, sampling: SamplingParams) -> None:
        rows, vectors, inputs = tile_shape(len(logits))
        self.loop: SampleLoop = compile_sample_loop(rows, vectors, inputs)
        self.block, self.sampling = vectors * VECTOR_FLOATS, sampling
        self.batch, self.padding = len(logits), -len(logits) % rows
        self.network, self.biases, self.position = network, cache.biases.float(), cache.position
        with torch.inference_mode():
            self.weights = pack_weights(network, self.block, self.batch + self.padding)
            rings = [self._pad_rows(pad_to_block(ring, self.block)).transpose(0, 1) for ring in cache.rings]
            logits = self._pad_rows(pad_to_block(logits, self.block))
            self.state = LoopState(torch.cat(rings).flatten(1).numpy(), logits.flatten().numpy())
            self._run(torch.zeros(0, self.batch), torch.zeros(0, len(logits), dtype=torch.int64))

    @torch.inference_mode()
    def sample(self, uniforms: Tensor) -> Tensor:
        classes = torch.zeros(uniforms.shape[1], self.batch + self.padding, dtype=torch.int64)
        self._run(uniforms.T, classes)
        return classes.T[: len(uniforms)]

    @torch.inference_mode()
    def teacher_force(self, classes: Tensor) -> Tensor:
        if classes.numel() and not 0 <= int(classes.min()) <= int(classes.max()) < len(self.weights.levels):
            raise IndexError(  # the loop would read out of bounds
                f"classes are from 0 to {len(self.weights.levels) - 1}"
            )
        logits = torch.empty(classes.shape[1], len(self.state.logits))
        self._run(torch.zeros(0, self.batch), self._pad_rows(classes.long()).T.contiguous(), logits)
        logits = logits.unflatten(1, (self.batch + self.padding, -1))
        return logits[:, : self.batch, : self.network.num_classes].transpose(0, 1)

    def _run(self, uniforms: Tensor, classes: Tensor, logits: Tensor | None = None) -> None:
        """Run the loop over ``classes`` (n, rows), with ``uniforms`` (n, batch) or empty; write ``logits`` if given."""
        frames, logits = self._frame_biases(len(classes)), torch.empty(0, 0) if logits is None else logits
        arrays = uniforms.double().contiguous().numpy(), classes.numpy(), logits.numpy()
        self.loop(self.weights, self.state, frames, self.sampling, *arrays)
        self.position += len(classes)

    def _frame_biases(self, n: int) -> GateBiases:
        """Return the gate biases for the next ``n`` samples, including those of the layers' weights."""
        hop_length, last = self.network.hop_length, self.biases.shape[1] - 1
        first = min(self.position // hop_length, last)
        biases = self.biases[:, first : min((self.position + max(n, 1) - 1) // hop_length, last) + 1]
        biases = biases + torch.stack([layer.taps.bias for layer in self.network.stack])
        biases = self._pad_rows(pad_gate_halves(biases, self.block)).permute(1, 2, 0, 3).flatten(2).contiguous()
        return GateBiases(biases.numpy(), hop_length, self.position - first * hop_length, self.position)

    def _pad_rows(self, x: Tensor) -> Tensor:
        """Append rows of zeros to ``x`` (batch, ...) up to a whole tile."""
        return torch.cat([x, x.new_zeros(self.padding, *x.shape[1:])])


def pack_weights(network: GatedNetwork, block: int, batch: int) -> LoopWeights:
    """Return the weights of ``network`` in the layout of the loop, for ``batch`` rows and blocks of that size."""
    matrices: list[Tensor] = []
    for layer in network.stack:
        older, newer = layer.taps.weight.chunk(2, 1)
        residual, skip = layer.mixed.weight.split([layer.residual, layer.mixed.out_features - layer.residual])
        matrices += [pad_gate_halves(older.T, block).T, pad_gate_halves(newer.T, block).T, residual, skip]
    matrices += [network.hidden.weight, network.out.weight]
    mixed_bias = torch.stack([layer.mixed.bias for layer in network.stack])
    residual, skip = mixed_bias.split([network.stack[0].residual, network.hidden.in_features], 1)

    def repeat_rows(bias: Tensor) -> np.ndarray:
        return pad_to_block(bias, block).repeat(*[1] * (bias.ndim - 1), batch).numpy()

    return LoopWeights(
        packed=torch.cat([pack_panels(matrix, block).flatten() for matrix in matrices]).numpy(),
        levels=pad_to_block(network.levels.weight, block).contiguous().numpy(),
        residual=repeat_rows(residual),
        skips=repeat_rows(skip.sum(0)),
        hidden=repeat_rows(network.hidden.bias),
        out=repeat_rows(network.out.bias),
        dilations=np.array(network.dilations, np.int64),
    )


def pack_panels(matrix: Tensor, block: int) -> Tensor:
    """Reorder (outputs, inputs) to (outputs / block, inputs, block), padded with zeros, for ``matmul.accumulate``."""
    return pad_to_block(pad_to_block(matrix, block).T, block).T.unflatten(0, (-1, block)).transpose(1, 2)


def pad_gate_halves(gates: Tensor, block: int) -> Tensor:
    """Pad both halves of (..., gate), filter and gate, to whole blocks."""
    return pad_to_block(gates.unflatten(-1, (2, -1)), block).flatten(-2)


def pad_to_block(x: Tensor, block: int) -> Tensor:
    """Pad the last dimension with zeros to a multiple of ``block``; the result is float32."""
    return F.pad(x.detach().float(), (0, -x.shape[-1] % block))
