"""Formats of weights, and matrices whose weights are whole numbers with a scale for each group of inputs."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

FLOAT32, BFLOAT16, INT8, INT4 = range(4)
"""Formats of weights."""
FORMATS = {"float32": FLOAT32, "bfloat16": BFLOAT16, "int8": INT8, "int4": INT4}
GROUP = 32
"""Inputs that share a scale, as in the formats of llama.cpp."""


@dataclass(frozen=True)
class GroupedWeight:
    """A matrix ``scales * values + minimums``, by groups of ``GROUP`` inputs; Q8_0 and Q4_1 of llama.cpp.

    Attributes:
        values: (outputs, inputs), int8, or uint8 from 0 to 15.
        scales, minimums: (outputs, inputs / GROUP), numbers that float16 holds; int8 has no minimums.
    """

    values: Tensor
    scales: Tensor
    minimums: Tensor | None = None

    @property
    def format(self) -> str:
        """Name of the format: ``int8`` or ``int4``."""
        return "int8" if self.minimums is None else "int4"

    def dequantize(self) -> Tensor:
        """Return the matrix in float32."""
        groups = self.values.unflatten(1, (-1, GROUP)).float() * self.scales.float()[..., None]
        return (groups if self.minimums is None else groups + self.minimums.float()[..., None]).flatten(1)


def quantize(matrix: Tensor, kind: str) -> GroupedWeight:
    """Round (outputs, inputs) to whole numbers, ``int8`` or ``int4``; inputs are padded with zeros to whole groups."""
    groups = pad_inputs(matrix.detach().float()).unflatten(1, (-1, GROUP))
    if kind == "int8":
        scales = (groups.abs().amax(-1) / 127).half().float()
        values = (groups / scales.clamp(min=1e-12)[..., None]).round().clamp(-127, 127)
        return GroupedWeight(values.to(torch.int8).flatten(1), scales)
    low, high = groups.amin(-1).half().float(), groups.amax(-1)
    scales = ((high - low) / 15).half().float()
    values = ((groups - low[..., None]) / scales.clamp(min=1e-12)[..., None]).round().clamp(0, 15)
    return GroupedWeight(values.to(torch.uint8).flatten(1), scales, low)


def round_weights(matrix: Tensor, kind: str) -> Tensor:
    """Return (outputs, inputs) in float32 with the values that a format has."""
    if kind == "float32":
        return matrix.detach().float()
    if kind == "bfloat16":
        return matrix.detach().bfloat16().float()
    return quantize(matrix, kind).dequantize()[:, : matrix.shape[1]]


def pad_inputs(matrix: Tensor) -> Tensor:
    """Pad (outputs, inputs) with zeros to a multiple of ``GROUP`` inputs."""
    return F.pad(matrix, (0, -matrix.shape[1] % GROUP))
