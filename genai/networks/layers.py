"""Layers and functions that several networks share."""

import math
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genai.core.renamed import module_getattr

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class PromptEmbedding:
    """Encoded prompts.

    Attributes:
        pooled: (batch, width), one vector per prompt.
        tokens: (batch, words, word_width), one vector per word; the first is a begin token, also of an empty prompt.
        mask: (batch, words) bool, True at words, False at padding; or float, what is added to attention scores.
    """

    pooled: Tensor
    tokens: Tensor
    mask: Tensor


def choose_num_heads(width: int, size: int) -> int:
    """Return the largest number of heads that divides ``width`` and leaves each at least ``size`` channels."""
    return next(heads for heads in range(max(1, width // size), 0, -1) if width % heads == 0)


class Readout(nn.Linear):
    """The output layer of a network: features -> logits or samples.

    It is a class of its own because optimizers treat output layers differently: Muon is for hidden matrices.
    """


class FourierFeatures(nn.Module):
    """Sinusoidal features of a number in [0, 1] at log-spaced frequencies (Vaswani et al. 2017, arXiv:1706.03762, 3.5).

    Args:
        width: number of features, cosines and sines together.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch,) to (batch, width)."""
        steps = torch.linspace(0, math.log(1000), self.width // 2, device=x.device)
        angles = x[:, None].float() * (steps.exp() * 0.2 * math.pi)
        return torch.cat([angles.cos(), angles.sin()], -1)


MAX_EXPLICIT_PAIRS = 128**2
"""Query-key pairs up to which ``attention`` on a CPU computes the scores explicitly."""


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention over (..., positions, width) (Vaswani et al. 2017, arXiv:1706.03762, eq. 1).

    On a CPU, up to ``MAX_EXPLICIT_PAIRS`` query-key pairs are computed explicitly: torch's kernel takes twice as long
    for them in float32, and eight times as long in bfloat16. More pairs than that are computed in float32 on a CPU,
    whatever the dtype of the inputs.

    Args:
        mask: bool, True where a query may attend to a key; or float, is added to scores; ``None``: everywhere.
    """
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    if q.shape[-2] * k.shape[-2] <= MAX_EXPLICIT_PAIRS:
        scores = (q * q.shape[-1] ** -0.5) @ k.mT
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
        return scores.softmax(-1).to(v.dtype) @ v
    with torch.autocast("cpu", enabled=False):
        output = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask)
    return output.to(v.dtype)


@cache
def fast_bfloat16(device: str) -> bool:
    """Tell whether a device type (``"cpu"``, ``"cuda"``) multiplies bfloat16 matrices much faster than float32."""
    if device == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
    return device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def zero_module(module: M) -> M:
    """Initialize all parameters of ``module`` to zero and return it."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def rms_norm(x: Tensor, eps: float | None = None) -> Tensor:
    """RMSNorm of the last dimension, without weights (Zhang & Sennrich 2019, arXiv:1910.07467)."""
    return F.rms_norm(x, (x.shape[-1],), eps=eps)


def rotary_angles(positions: Tensor, head_width: int, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the rotary angles, each (positions, head_width / 2) (RoFormer, arXiv:2104.09864, eq. 15)."""
    exponents = torch.arange(0, head_width, 2, device=positions.device, dtype=torch.float32) / head_width
    angles = positions.float()[:, None] * base**-exponents
    return angles.cos(), angles.sin()


def apply_rotary(x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate channel pairs (i, i + head_width / 2) of ``x`` (..., positions, head_width) by ``angles``, (cos, sin)."""
    cos, sin = (angle.to(x.dtype) for angle in angles)
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos + second * sin, second * cos - first * sin], -1)


def append_dims(x: Tensor, ndim: int) -> Tensor:
    """Append dimensions of size 1 to ``x`` until it has ``ndim`` dimensions."""
    return x.reshape(*x.shape, *[1] * (ndim - x.ndim))


__getattr__ = module_getattr(__name__)
