"""Pieces that several networks share, and in which precision a device computes them fast."""

import math
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Context:
    """What a network hears of its prompts.

    Attributes:
        pooled: (batch, width), the whole prompt.
        tokens: (batch, words, word_width), in order; the first one begins every prompt, the empty one too.
        mask: (batch, words) bool, which of them are words rather than padding.
    """

    pooled: Tensor
    tokens: Tensor
    mask: Tensor


def heads_for(width: int, size: int) -> int:
    """How many heads of ``size`` or more there are in ``width``, which they divide."""
    return next(heads for heads in range(max(1, width // size), 0, -1) if width % heads == 0)


class Readout(nn.Linear):
    """The last layer of a network: features -> logits or samples.

    A class of its own because optimizers treat it apart: Muon is for hidden matrices.
    """


class FourierFeatures(nn.Module):
    """Cosines and sines of a number in [0, 1] at log-spaced frequencies (Vaswani et al. 2017, arXiv:1706.03762, 3.5).

    Args:
        width: how many, cosines and sines together.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """(batch,) -> (batch, width)"""
        steps = torch.linspace(0, math.log(1000), self.width // 2, device=x.device)
        angles = x[:, None].float() * (steps.exp() * 0.2 * math.pi)
        return torch.cat([angles.cos(), angles.sin()], -1)


FEW = 128**2
"""Pairs of positions."""


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention over (..., positions, width) (Vaswani et al. 2017, arXiv:1706.03762, eq. 1).

    On a CPU few pairs of positions are written out: torch's kernel takes twice as long for them in float32, and eight
    times as long in bfloat16. So many pairs are computed in float32 there, whatever comes in.

    Args:
        mask: bool, true where a position is seen.
    """
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    if q.shape[-2] * k.shape[-2] <= FEW:
        scores = (q * q.shape[-1] ** -0.5) @ k.mT
        scores = scores if mask is None else scores.masked_fill(~mask, -math.inf)
        return scores.softmax(-1).to(v.dtype) @ v
    with torch.autocast("cpu", enabled=False):
        attended = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask)
    return attended.to(v.dtype)


@cache
def fast_bfloat16(device: str) -> bool:
    """Whether this kind of device (``"cpu"``, ``"cuda"``) multiplies bfloat16 matrices much faster than float32."""
    if device == "cpu":
        able = torch.cpu.get_capabilities()
        return any(able.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
    return device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def zeroed(layer: M) -> M:
    """The layer, starting at zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def rms_norm(x: Tensor) -> Tensor:
    """Root-mean-square norm of the last dimension, without weights (Zhang & Sennrich 2019, arXiv:1910.07467)."""
    return F.rms_norm(x, (x.shape[-1],))


def rotary_angles(positions: Tensor, head_width: int, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Cosine and sine of rotary angles, each (positions, head_width / 2) (Su et al. 2021, arXiv:2104.09864, eq. 15)."""
    exponents = torch.arange(0, head_width, 2, device=positions.device, dtype=torch.float32) / head_width
    angles = positions.float()[:, None] * base**-exponents
    return angles.cos(), angles.sin()


def rotate(x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """Turn ``x`` (..., positions, head_width) by its positions' angles; a head's halves are the coordinates."""
    cos, sin = (angle.to(x.dtype) for angle in angles)
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos + second * sin, second * cos - first * sin], -1)


def append_dims(x: Tensor, ndim: int) -> Tensor:
    """``x`` with dimensions of size 1 behind its own, up to ``ndim`` of them."""
    return x.reshape(*x.shape, *[1] * (ndim - x.ndim))
