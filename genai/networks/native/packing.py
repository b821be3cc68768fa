"""Matrices of a network in the layout of ``products.multiply``: panels of outputs, in one of four formats."""

import torch
from torch import Tensor
from torch.nn import functional as F

from genai.networks.native.formats import GROUP, GroupedWeight, pad_inputs, quantize
from genai.networks.native.products import BLOCK


def pack_matrix(matrix: Tensor | GroupedWeight, kind: str) -> Tensor:
    """Return the bytes of a matrix (outputs, inputs), padded with zeros to whole panels and groups, as uint8.

    Args:
        matrix: the weights; ``GroupedWeight`` of this format are taken as they are.
        kind: of ``FORMATS``.
    """
    if kind in ("int8", "int4"):
        return _pack_groups(matrix if isinstance(matrix, GroupedWeight) else quantize(matrix, kind))
    dense = pad_inputs(matrix.dequantize() if isinstance(matrix, GroupedWeight) else matrix.detach().float())
    panels = _panels(dense if kind == "float32" else dense.bfloat16())
    return panels.flatten().view(torch.uint8)


def _panels(matrix: Tensor) -> Tensor:
    """Reorder (outputs, inputs) to (panels, inputs, BLOCK)."""
    padded = F.pad(matrix, (0, 0, 0, -len(matrix) % BLOCK))
    return padded.unflatten(0, (-1, BLOCK)).transpose(1, 2).contiguous()


def _pack_groups(matrix: GroupedWeight) -> Tensor:
    """Return for each panel and group: scales, minimums if there are any, values; two inputs of 4 bits in a byte."""
    groups = _panels(matrix.values).unflatten(1, (-1, GROUP))  # (panels, groups, GROUP, BLOCK)
    if matrix.minimums is not None:
        pairs = groups.unflatten(2, (-1, 2))
        groups = pairs[:, :, :, 0] | (pairs[:, :, :, 1] << 4)  # (panels, groups, GROUP / 2, BLOCK)
    halves = [x for x in (matrix.scales, matrix.minimums) if x is not None]
    headers = [_panels(x.float()).half().view(torch.uint8) for x in halves]
    return torch.cat([*headers, groups.flatten(2).view(torch.uint8)], 2).flatten()
