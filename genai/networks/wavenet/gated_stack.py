"""A stack of gated dilated convolutions, WaveNet's body (arXiv:1609.03499, section 2.3), with a way back by hand.

Most of a training step is spent here. The whole stack is one autograd function: it keeps and moves less than autograd
would, and sums the skips of all layers in one matrix product.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SCALE = math.sqrt(0.5)
"""Of the sum of a layer's input and output, so that their variance stays."""


@dataclass
class Cache:
    """What generation keeps of the past.

    Attributes:
        rings: of each layer its newest inputs, (batch, dilation, residual); that of time t at t % dilation.
        biases: of the gates, (batch, frames, layers, gate).
        position: of the next input.
    """

    rings: list[Tensor]
    biases: Tensor
    position: int


class Layer(nn.Module):
    """The weights of one gated dilated convolution, its taps side by side; and one step of it."""

    def __init__(self, residual: int, gate: int, skip: int, dilation: int, centred: bool) -> None:
        super().__init__()
        self.dilation, self.residual = dilation, residual
        taps = (3 if centred else 2) * residual
        self.taps, self.mixed = nn.Linear(taps, gate), nn.Linear(gate // 2, residual + skip)
        nn.init.normal_(self.taps.weight, std=taps**-0.5)
        nn.init.normal_(self.mixed.weight, std=(gate // 2) ** -0.5)
        nn.init.zeros_(self.taps.bias)
        nn.init.zeros_(self.mixed.bias)

    def step(self, x: Tensor, past: Tensor, biases: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, residual) now and ``dilation`` ago, (batch, gate) -> the next x, and its skip."""
        filtered, gate = (self.taps(torch.cat([past, x], -1)) + biases).chunk(2, -1)
        made = self.mixed(filtered.tanh() * gate.sigmoid())
        return (x + made[..., : self.residual]) * SCALE, made[..., self.residual :]


class GatedStack(nn.ModuleList):
    """Layers one on the other; what leaves it is the sum of their skips.

    Args:
        residual, gate, skip: widths; half of ``gate`` is filter, half is gate.
        dilations: of the layers, from the first one up.
        centred: kernels of three that also look ahead, rather than of two that look back.
    """

    def __init__(self, residual: int, gate: int, skip: int, dilations: Sequence[int], centred: bool = False) -> None:
        super().__init__([Layer(residual, gate, skip, dilation, centred) for dilation in dilations])
        self.dilations, self.centred = tuple(dilations), centred

    def forward(self, x: Tensor, biases: Tensor | None) -> Tensor:
        """x (batch, time, residual), biases (batch, frames, layers, gate) of frames that divide time -> the skips."""
        total: Tensor = Gated.apply(self.dilations, self.centred, *self._tensors(x, biases))
        return total

    @torch.no_grad()
    def inputs(self, x: Tensor, biases: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """The sum of the skips, and the input of each layer (batch, time, residual); no gradients go back."""
        total, kept = _run(self.dilations, self.centred, *self._tensors(x, biases))
        return total, [taps[..., x.shape[-1] : 2 * x.shape[-1]] for taps in kept[1::2]]

    def _tensors(self, x: Tensor, biases: Tensor | None) -> list[Tensor]:
        layers = cast(list[Layer], list(self))
        if biases is None:
            biases = x.new_zeros(len(x), 1, len(layers), layers[0].taps.out_features)
        halves = [(layer.taps, layer.mixed) for layer in layers]
        weights = [torch.stack([half[side].weight for half in halves]) for side in (0, 1)]
        added = [torch.stack([half[side].bias for half in halves]) for side in (0, 1)]
        tensors = [x, biases, weights[0], added[0], weights[1], added[1]]
        device = x.device.type
        if torch.is_autocast_enabled(device):
            tensors = [tensor.to(torch.get_autocast_dtype(device)) for tensor in tensors]
        return tensors


class Gated(torch.autograd.Function):
    """What a ``GatedStack`` does."""

    @staticmethod
    def forward(ctx: Any, dilations: tuple[int, ...], centred: bool, *tensors: Tensor) -> Tensor:
        with torch.autocast(tensors[0].device.type, enabled=False):
            total, kept = _run(dilations, centred, *tensors)
        ctx.save_for_backward(tensors[2], tensors[4], *kept)
        ctx.dilations, ctx.centred, ctx.frames = dilations, centred, tensors[1].shape[1]
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        with torch.autocast(gradients[0].device.type, enabled=False):
            return None, None, *_back(ctx.dilations, ctx.centred, ctx.frames, gradients[0], *ctx.saved_tensors)


def _run(
    dilations: tuple[int, ...],
    centred: bool,
    x: Tensor,
    biases: Tensor,
    taps_weight: Tensor,
    taps_bias: Tensor,
    mixed_weight: Tensor,
    mixed_bias: Tensor,
) -> tuple[Tensor, list[Tensor]]:
    """The sum of skips (batch, time, skip); and what the way back needs: products of all layers, then taps and gates.

    tanh(x) is 2 sigmoid(2 x) - 1, which is several times faster: the weights of filters are doubled for it.
    """
    (batch, time, width), (layers, gate, _) = x.shape, taps_weight.shape
    half, last = gate // 2, layers - 1
    twice = taps_weight.new_ones(gate)
    twice[:half] = 2
    taps_weight, biases = taps_weight * twice[:, None], (biases + taps_bias) * twice
    products = x.new_empty(batch * time, layers * half)
    kept = [products]
    for layer, dilation in enumerate(dilations):
        taps = _gathered(x, dilation, centred)
        hidden = F.linear(taps, taps_weight[layer])
        hidden.unflatten(1, (biases.shape[1], -1)).add_(biases[:, :, layer, None])
        filtered, opened = hidden.sigmoid_().flatten(0, 1).chunk(2, -1)
        filtered.mul_(2).sub_(1)
        product = products[:, layer * half :][:, :half]
        torch.mul(filtered, opened, out=product)
        kept += [taps, hidden]
        if layer < last:
            through = (x + mixed_bias[layer, :width]).mul_(SCALE).flatten(0, 1)
            x = through.addmm_(product, mixed_weight[layer, :width].mT, alpha=SCALE).view_as(x)
    total = torch.addmm(mixed_bias[:, width:].sum(0), products, _skips(mixed_weight, width).mT)
    return total.view(batch, time, -1), kept


def _back(
    dilations: tuple[int, ...],
    centred: bool,
    frames: int,
    gradient: Tensor,
    taps_weight: Tensor,
    mixed_weight: Tensor,
    products: Tensor,
    *kept: Tensor,
) -> tuple[Tensor, ...]:
    """Gradients of x, biases, and the weights and biases of taps and mixtures."""
    (batch, time, _), (layers, gate, width) = kept[0].shape, taps_weight.shape
    half, width = gate // 2, width // (3 if centred else 2)
    gradient = gradient.flatten(0, 1)
    inner = gradient @ _skips(mixed_weight, width)
    taps_gradient, mixed_gradient = torch.empty_like(taps_weight), torch.zeros_like(mixed_weight)
    mixed_gradient[:, width:] = (gradient.mT @ products).unflatten(1, (layers, half)).transpose(0, 1)
    added = gradient.sum(0)
    mixed_bias = torch.cat([added.new_zeros(width), added]).repeat(layers, 1)
    steering = products.new_empty(len(products), gate)
    biases = taps_weight.new_empty(batch, frames, layers, gate)
    through = products.new_zeros(batch, time, width)
    for layer in reversed(range(layers)):
        taps, (filtered, opened) = kept[2 * layer], kept[2 * layer + 1].flatten(0, 1).chunk(2, -1)
        columns = slice(layer * half, (layer + 1) * half)
        if layer < layers - 1:
            flat = through.mul_(SCALE).flatten(0, 1)
            inner[:, columns].addmm_(flat, mixed_weight[layer, :width])
            torch.mm(flat.mT, products[:, columns], out=mixed_gradient[layer, :width])
            mixed_bias[layer, :width] = flat.sum(0)
        _through_gate(inner[:, columns], filtered, opened, *steering.chunk(2, -1))
        torch.mm(steering.mT, taps.flatten(0, 1), out=taps_gradient[layer])
        biases[:, :, layer] = steering.view(batch, frames, -1, gate).sum(2)
        _scattered((steering @ taps_weight[layer]).view_as(taps), through, dilations[layer], centred)
    return through, biases, taps_gradient, biases.sum((0, 1)), mixed_gradient, mixed_bias


def _through_gate(inner: Tensor, filtered: Tensor, opened: Tensor, to_filter: Tensor, to_gate: Tensor) -> None:
    """Gradients of what went into tanh and sigmoid, written to the last two."""
    torch.mul(inner, opened, out=to_filter)
    torch.mul(inner, filtered, out=to_gate)
    torch.ops.aten.tanh_backward.grad_input(to_filter, filtered, grad_input=to_filter)
    torch.ops.aten.sigmoid_backward.grad_input(to_gate, opened, grad_input=to_gate)


def _skips(mixed_weight: Tensor, width: int) -> Tensor:
    """(skip, layers * gate / 2): the readouts of all products, side by side."""
    return mixed_weight[:, width:].transpose(0, 1).flatten(1)


def _gathered(x: Tensor, dilation: int, centred: bool) -> Tensor:
    """(batch, time, width) -> (batch, time, taps * width): ``dilation`` before, now, and, centred, as much after."""
    batch, time, width = x.shape
    taps = x.new_empty(batch, time, 3 if centred else 2, width)
    back = min(dilation, time)
    taps[:, :back, 0], taps[:, back:, 0] = 0, x[:, : time - back]
    taps[:, :, 1] = x
    if centred:
        taps[:, : time - back, 2], taps[:, time - back :, 2] = x[:, back:], 0
    return taps.flatten(2)


def _scattered(taps: Tensor, through: Tensor, dilation: int, centred: bool) -> None:
    """Add the gradients of taps to ``through``, that of x."""
    time, width = through.shape[1:]
    back = min(dilation, time)
    parts = taps.unflatten(-1, (-1, width))
    through += parts[:, :, 1]
    through[:, : time - back] += parts[:, back:, 0]
    if centred:
        through[:, back:] += parts[:, : time - back, 2]
