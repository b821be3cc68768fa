"""Matrices of a network in the layout of ``products.multiply``: panels of outputs, in one of four formats."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from genai.networks.native.products import BFLOAT16, BLOCK, FLOAT32, GROUP, INT4, INT8


@dataclass(frozen=True)
class GroupedWeight:
    """A matrix in 4 bits: ``scales * values + minimums``, by groups of ``GROUP`` inputs.

    Attributes:
        values: (outputs, inputs) uint8, from 0 to 15.
        scales, minimums: (outputs, inputs / GROUP).
    """

    values: Tensor
    scales: Tensor
    minimums: Tensor

    def dequantize(self) -> Tensor:
        """Return the matrix in float32."""
        groups = self.values.unflatten(1, (-1, GROUP)).float()
        return (groups * self.scales.float()[..., None] + self.minimums.float()[..., None]).flatten(1)


def quantize_int4(matrix: Tensor) -> GroupedWeight:
    """Round (outputs, inputs) to 16 evenly spaced values between the extremes of each group of inputs."""
    groups = pad_inputs(matrix).unflatten(1, (-1, GROUP))
    low, high = groups.amin(-1).half().float(), groups.amax(-1)
    scales = ((high - low) / 15).half().float()
    values = ((groups - low[..., None]) / scales.clamp(min=1e-12)[..., None]).round().clamp(0, 15)
    return GroupedWeight(values.to(torch.uint8).flatten(1), scales, low)


def pack_matrix(matrix: Tensor | GroupedWeight, kind: int) -> Tensor:
    """Return the bytes of a matrix (outputs, inputs), padded with zeros to whole panels and groups, as uint8."""
    if kind == INT4:
        grouped = matrix if isinstance(matrix, GroupedWeight) else quantize_int4(matrix)
        return _pack_int4(grouped)
    dense = pad_inputs(matrix.dequantize() if isinstance(matrix, GroupedWeight) else matrix.detach().float())
    if kind == INT8:
        scales = (dense.abs().amax(1) / 127).clamp(min=1e-12)
        values = (dense / scales[:, None]).round().to(torch.int8)
        panels = _panels(values).flatten(1).view(torch.uint8)
        return torch.cat([panels, _panels(scales[:, None]).flatten(1).contiguous().view(torch.uint8)], 1).flatten()
    panels = _panels(dense if kind == FLOAT32 else dense.bfloat16())
    return panels.contiguous().flatten().view(torch.uint8)


def pad_inputs(matrix: Tensor) -> Tensor:
    """Pad (outputs, inputs) with zeros to a multiple of ``GROUP`` inputs."""
    return F.pad(matrix, (0, -matrix.shape[1] % GROUP))


def _panels(matrix: Tensor) -> Tensor:
    """Reorder (outputs, inputs) to (panels, inputs, BLOCK)."""
    padded = F.pad(matrix, (0, 0, 0, -len(matrix) % BLOCK))
    return padded.unflatten(0, (-1, BLOCK)).transpose(1, 2).contiguous()


def _pack_int4(matrix: GroupedWeight) -> Tensor:
    values = _panels(matrix.values)  # (panels, inputs, BLOCK)
    pairs = values.unflatten(1, (-1, GROUP // 2, 2))
    packed = pairs[:, :, :, 0] | (pairs[:, :, :, 1] << 4)  # (panels, groups, GROUP / 2, BLOCK)
    edges = [_panels(x.float()).half().view(torch.uint8) for x in (matrix.scales, matrix.minimums)]
    return torch.cat([*edges, packed.flatten(2)], 2).flatten()


KINDS = {"float32": FLOAT32, "bfloat16": BFLOAT16, "int8": INT8, "int4": INT4}
"""Formats by their names."""
