"""How the tensors of other models are laid out, and the way to and from those of ``GPT``."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class HeadShape:
    """The heads in the rows of a layer of queries, keys and values.

    Attributes:
        counts: number of heads with queries, with keys, and with values.
        width: rows per head.
        rotary_width: rows per head that are rotated the other way than here, so both halves change places; 0: none.
        is_interleaved: whether each head has its queries, keys and values together, as in GPT-NeoX.
    """

    counts: tuple[int, ...]
    width: int
    rotary_width: int = 0
    is_interleaved: bool = False

    @classmethod
    def of(cls, arguments: Mapping[str, Any], is_rotated: bool = False, is_interleaved: bool = False) -> "HeadShape":
        """Return the heads of a ``GPT`` with these arguments."""
        heads = arguments["heads"]
        width = arguments.get("head_width") or arguments["width"] // heads
        kv_heads = arguments.get("kv_heads") or heads
        rotary_width = 2 * (int(width * arguments.get("rotary_fraction", 1.0)) // 2) if is_rotated else 0
        return cls((heads, kv_heads, kv_heads), width, rotary_width, is_interleaved)

    @property
    def single(self) -> "HeadShape":
        """The rows of one head with queries or keys, such as those of its norm."""
        return replace(self, counts=(1,), is_interleaved=False)

    @property
    def sizes(self) -> list[int]:
        """Numbers of rows of queries, keys and values."""
        return [count * self.width for count in self.counts]

    def convert(self, rows: Tensor, back: bool = False) -> Tensor:
        """Return the rows (all heads, ...) in the order of ``GPT``, or ``back`` in that of the other model."""
        if self.is_interleaved and not back:
            rows = rows.unflatten(0, (-1, 3, self.width)).transpose(0, 1).flatten(0, 2)
        heads = rows.unflatten(0, (-1, self.width))
        rotated = sum(self.counts[:2])
        half = self.rotary_width // 2
        order = [*range(half, 2 * half), *range(half), *range(2 * half, self.width)]
        rows = torch.cat([heads[:rotated, order], heads[rotated:]]).flatten(0, 1)
        if self.is_interleaved and back:
            rows = rows.unflatten(0, (3, -1, self.width)).transpose(0, 1).flatten(0, 2)
        return rows


@dataclass(frozen=True, init=False)
class Weight:
    """A tensor of a ``GPT``, and those of another model that it is made of.

    Attributes:
        name: of the tensor.
        sources: names of the others; several are joined along their first dimension.
        transposed: whether the other layer stores (inputs, outputs).
        heads: the heads in its rows, if their order differs.
    """

    name: str
    sources: tuple[str, ...]
    transposed: bool = False
    heads: HeadShape | None = None

    def __init__(self, name: str, *sources: str, transposed: bool = False, heads: HeadShape | None = None) -> None:
        for key, value in {"name": name, "sources": sources, "transposed": transposed, "heads": heads}.items():
            object.__setattr__(self, key, value)

    def read(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the tensor of ``GPT``. Raises ``KeyError`` with the name of a tensor that is missing."""
        parts = [tensors[source] for source in self.sources]
        tensor = torch.cat(parts) if len(parts) > 1 else parts[0]
        tensor = tensor.T if self.transposed else tensor
        return (self.heads.convert(tensor) if self.heads else tensor).contiguous()

    def write(self, tensor: Tensor) -> dict[str, Tensor]:
        """Return the tensors of the other model, by name."""
        tensor = self.heads.convert(tensor, back=True) if self.heads else tensor
        tensor = tensor.T if self.transposed else tensor
        if len(self.sources) == 1:
            return {self.sources[0]: tensor.contiguous()}
        equal = [len(tensor) // len(self.sources)] * len(self.sources)
        sizes = self.heads.sizes if self.heads else equal
        return {source: part.contiguous() for source, part in zip(self.sources, tensor.split(sizes), strict=True)}
