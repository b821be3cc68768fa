"""A stack of gated dilated convolutions, WaveNet's body (arXiv:1609.03499, section 2.3), with a hand-written backward
pass.

Most of a training step is spent here. The whole stack is one autograd function: it saves and moves less memory than
autograd would, and sums the skip connections of all layers in one matrix product.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RESIDUAL_SCALE = math.sqrt(0.5)
"""Factor of the residual sum ``x + output`` that keeps its variance."""


@dataclass
class WaveNetCache:
    """State of an incremental generation.

    Attributes:
        rings: per layer a ring buffer of its latest inputs, (batch, dilation, residual); time t is at t % dilation.
        biases: of the gates, (batch, frames, layers, gate).
        position: of the next input.
    """

    rings: list[Tensor]
    biases: Tensor
    position: int


class GatedLayer(nn.Module):
    """The weights of one gated dilated convolution, and a single step of it.

    Args:
        residual, gate, skip: numbers of channels.
        dilation: distance of the taps in steps.
        centered: three taps (before, now, after) instead of two (before, now).
    """

    def __init__(self, residual: int, gate: int, skip: int, dilation: int, centered: bool) -> None:
        super().__init__()
        self.dilation, self.residual = dilation, residual
        taps = (3 if centered else 2) * residual
        self.taps, self.mixed = nn.Linear(taps, gate), nn.Linear(gate // 2, residual + skip)
        nn.init.normal_(self.taps.weight, std=taps**-0.5)
        nn.init.normal_(self.mixed.weight, std=(gate // 2) ** -0.5)
        nn.init.zeros_(self.taps.bias)
        nn.init.zeros_(self.mixed.bias)

    def step(self, x: Tensor, past: Tensor, biases: Tensor) -> tuple[Tensor, Tensor]:
        """Compute one step.

        Args:
            x, past: (batch, residual), the input now and ``dilation`` steps ago.
            biases: (batch, gate).

        Returns:
            The input of the next layer (batch, residual), and the skip output (batch, skip).
        """
        filter_in, gate_in = (self.taps(torch.cat([past, x], -1)) + biases).chunk(2, -1)
        output = self.mixed(filter_in.tanh() * gate_in.sigmoid())
        return (x + output[..., : self.residual]) * RESIDUAL_SCALE, output[..., self.residual :]


class GatedStack(nn.ModuleList):
    """A sequence of ``GatedLayer``s; its output is the sum of their skip outputs.

    Args:
        residual, gate, skip: numbers of channels; half of ``gate`` is the filter, half the gate.
        dilations: of the layers, from first to last.
        centered: non-causal kernels of three taps instead of causal ones of two.
    """

    def __init__(self, residual: int, gate: int, skip: int, dilations: Sequence[int], centered: bool = False) -> None:
        super().__init__([GatedLayer(residual, gate, skip, dilation, centered) for dilation in dilations])
        self.dilations, self.centered = tuple(dilations), centered

    def forward(self, x: Tensor, biases: Tensor | None) -> Tensor:
        """Return the sum of the skip outputs, (batch, time, skip).

        Args:
            x: (batch, time, residual).
            biases: (batch, frames, layers, gate) of the gates; ``time`` is a multiple of ``frames``. ``None``: zeros.
        """
        total: Tensor = GatedStackFunction.apply(self.dilations, self.centered, *self._tensors(x, biases))
        return total

    @torch.no_grad()
    def inputs(self, x: Tensor, biases: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Return the sum of the skip outputs and the input of each layer, (batch, time, residual), without autograd."""
        total, saved = _forward(self.dilations, self.centered, *self._tensors(x, biases))
        return total, [taps[..., x.shape[-1] : 2 * x.shape[-1]] for taps in saved[1::2]]

    def _tensors(self, x: Tensor, biases: Tensor | None) -> list[Tensor]:
        """Collect the arguments of ``_forward`` with the layers' weights stacked; autocast applies to all of them."""
        layers = cast(list[GatedLayer], list(self))
        if biases is None:
            biases = x.new_zeros(len(x), 1, len(layers), layers[0].taps.out_features)
        linears = [(layer.taps, layer.mixed) for layer in layers]
        weights = [torch.stack([pair[index].weight for pair in linears]) for index in (0, 1)]
        layer_biases = [torch.stack([pair[index].bias for pair in linears]) for index in (0, 1)]
        tensors = [x, biases, weights[0], layer_biases[0], weights[1], layer_biases[1]]
        device = x.device.type
        if torch.is_autocast_enabled(device):
            tensors = [tensor.to(torch.get_autocast_dtype(device)) for tensor in tensors]
        return tensors


class GatedStackFunction(torch.autograd.Function):
    """The autograd function of ``GatedStack``."""

    @staticmethod
    def forward(ctx: Any, dilations: tuple[int, ...], centered: bool, *tensors: Tensor) -> Tensor:
        with torch.autocast(tensors[0].device.type, enabled=False):
            total, saved = _forward(dilations, centered, *tensors)
        ctx.save_for_backward(tensors[2], tensors[4], *saved)
        ctx.dilations, ctx.centered, ctx.frames = dilations, centered, tensors[1].shape[1]
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        with torch.autocast(gradients[0].device.type, enabled=False):
            return None, None, *_backward(ctx.dilations, ctx.centered, ctx.frames, gradients[0], *ctx.saved_tensors)


def _forward(
    dilations: tuple[int, ...],
    centered: bool,
    x: Tensor,
    biases: Tensor,
    taps_weight: Tensor,
    taps_bias: Tensor,
    mixed_weight: Tensor,
    mixed_bias: Tensor,
) -> tuple[Tensor, list[Tensor]]:
    """Compute the stack, and what its backward pass needs.

    tanh(x) is computed as 2 sigmoid(2 x) - 1, which is several times faster; the filter weights are doubled for it.

    Args:
        dilations, centered: of the stack.
        x: (batch, time, residual).
        biases: (batch, frames, layers, gate).
        taps_weight, taps_bias: (layers, gate, taps * residual), (layers, gate).
        mixed_weight, mixed_bias: (layers, residual + skip, gate / 2), (layers, residual + skip).

    Returns:
        The sum of the skip outputs (batch, time, skip), and a list: the products tanh * sigmoid of all layers
        (batch * time, layers * gate / 2), then for each layer its taps and its filter and gate activations.
    """
    (batch, time, width), (layers, gate, _) = x.shape, taps_weight.shape
    half, last = gate // 2, layers - 1
    factor = taps_weight.new_ones(gate)
    factor[:half] = 2
    taps_weight, biases = taps_weight * factor[:, None], (biases + taps_bias) * factor
    products = x.new_empty(batch * time, layers * half)
    saved = [products]
    for layer, dilation in enumerate(dilations):
        taps = _gather_taps(x, dilation, centered)
        hidden = F.linear(taps, taps_weight[layer])  # (B, T, gate)
        hidden.unflatten(1, (biases.shape[1], -1)).add_(biases[:, :, layer, None])
        filters, gates = hidden.sigmoid_().flatten(0, 1).chunk(2, -1)
        filters.mul_(2).sub_(1)
        product = products[:, layer * half :][:, :half]
        torch.mul(filters, gates, out=product)
        saved += [taps, hidden]
        if layer < last:
            residual = (x + mixed_bias[layer, :width]).mul_(RESIDUAL_SCALE).flatten(0, 1)
            x = residual.addmm_(product, mixed_weight[layer, :width].mT, alpha=RESIDUAL_SCALE).view_as(x)
    total = torch.addmm(mixed_bias[:, width:].sum(0), products, _skip_weights(mixed_weight, width).mT)
    return total.view(batch, time, -1), saved


def _backward(
    dilations: tuple[int, ...],
    centered: bool,
    frames: int,
    gradient: Tensor,
    taps_weight: Tensor,
    mixed_weight: Tensor,
    products: Tensor,
    *saved: Tensor,
) -> tuple[Tensor, ...]:
    """Return the gradients of ``x``, ``biases``, and the weights and biases of taps and mixed, as in ``_forward``.

    Args:
        dilations, centered, frames: of the forward pass.
        gradient: (batch, time, skip), of the loss with respect to the output.
        taps_weight, mixed_weight: as in ``_forward``.
        products, saved: the list that ``_forward`` returned.
    """
    (batch, time, _), (layers, gate, width) = saved[0].shape, taps_weight.shape
    half, width = gate // 2, width // (3 if centered else 2)
    gradient = gradient.flatten(0, 1)
    d_products = gradient @ _skip_weights(mixed_weight, width)
    d_taps_weight, d_mixed_weight = torch.empty_like(taps_weight), torch.zeros_like(mixed_weight)
    d_mixed_weight[:, width:] = (gradient.mT @ products).unflatten(1, (layers, half)).transpose(0, 1)
    d_skip_bias = gradient.sum(0)
    d_mixed_bias = torch.cat([d_skip_bias.new_zeros(width), d_skip_bias]).repeat(layers, 1)
    d_hidden = products.new_empty(len(products), gate)
    d_biases = taps_weight.new_empty(batch, frames, layers, gate)
    d_x = products.new_zeros(batch, time, width)
    for layer in reversed(range(layers)):
        taps, (filters, gates) = saved[2 * layer], saved[2 * layer + 1].flatten(0, 1).chunk(2, -1)
        columns = slice(layer * half, (layer + 1) * half)
        if layer < layers - 1:
            d_residual = d_x.mul_(RESIDUAL_SCALE).flatten(0, 1)
            d_products[:, columns].addmm_(d_residual, mixed_weight[layer, :width])
            torch.mm(d_residual.mT, products[:, columns], out=d_mixed_weight[layer, :width])
            d_mixed_bias[layer, :width] = d_residual.sum(0)
        _gate_backward(d_products[:, columns], filters, gates, *d_hidden.chunk(2, -1))
        torch.mm(d_hidden.mT, taps.flatten(0, 1), out=d_taps_weight[layer])
        d_biases[:, :, layer] = d_hidden.view(batch, frames, -1, gate).sum(2)
        _scatter_taps((d_hidden @ taps_weight[layer]).view_as(taps), d_x, dilations[layer], centered)
    return d_x, d_biases, d_taps_weight, d_biases.sum((0, 1)), d_mixed_weight, d_mixed_bias


def _gate_backward(d_product: Tensor, filters: Tensor, gates: Tensor, d_filter: Tensor, d_gate: Tensor) -> None:
    """Write the gradients of the inputs of tanh and sigmoid into ``d_filter`` and ``d_gate``."""
    torch.mul(d_product, gates, out=d_filter)
    torch.mul(d_product, filters, out=d_gate)
    torch.ops.aten.tanh_backward.grad_input(d_filter, filters, grad_input=d_filter)
    torch.ops.aten.sigmoid_backward.grad_input(d_gate, gates, grad_input=d_gate)


def _skip_weights(mixed_weight: Tensor, width: int) -> Tensor:
    """Return the weights from the products of all layers to the skip sum, (skip, layers * gate / 2)."""
    return mixed_weight[:, width:].transpose(0, 1).flatten(1)


def _gather_taps(x: Tensor, dilation: int, centered: bool) -> Tensor:
    """Concatenate ``x`` from ``dilation`` steps before, from now and, if ``centered``, from ``dilation`` steps after.

    (batch, time, width) -> (batch, time, taps * width); zeros outside of the sequence.
    """
    batch, time, width = x.shape
    taps = x.new_empty(batch, time, 3 if centered else 2, width)
    shift = min(dilation, time)
    taps[:, :shift, 0], taps[:, shift:, 0] = 0, x[:, : time - shift]
    taps[:, :, 1] = x
    if centered:
        taps[:, : time - shift, 2], taps[:, time - shift :, 2] = x[:, shift:], 0
    return taps.flatten(2)


def _scatter_taps(d_taps: Tensor, d_x: Tensor, dilation: int, centered: bool) -> None:
    """Add the gradients of the taps to ``d_x``: the backward pass of ``_gather_taps``."""
    time, width = d_x.shape[1:]
    shift = min(dilation, time)
    parts = d_taps.unflatten(-1, (-1, width))
    d_x += parts[:, :, 1]
    d_x[:, : time - shift] += parts[:, shift:, 0]
    if centered:
        d_x[:, shift:] += parts[:, : time - shift, 2]
