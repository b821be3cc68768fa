"""The block of a decoder-only transformer: attention, then a feed-forward layer, each added to the residual stream."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import rms_norm
from genai.networks.rotary import apply_partial_rotary

RotaryAngles = tuple[Tensor, Tensor]
QKNorm = Literal["none", "before_rotary", "after_rotary"]
Activation = Literal["relu2", "gelu", "gelu_tanh", "swiglu"]


class Norm(nn.Module):
    """RMSNorm or LayerNorm of the last dimension; its weights and biases start as ones and zeros."""

    def __init__(self, width: int, kind: str = "rms", affine: bool = False, eps: float | None = None) -> None:
        super().__init__()
        self.kind, self.eps = kind, eps
        self.weight = nn.Parameter(torch.ones(width)) if affine else None
        self.bias = nn.Parameter(torch.zeros(width)) if affine and kind == "layer" else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to the same shape."""
        if self.kind == "layer":
            return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, 1e-5 if self.eps is None else self.eps)
        return F.rms_norm(x, x.shape[-1:], self.weight, self.eps)


@dataclass(frozen=True)
class BlockShape:
    """The arguments of ``GPT`` that its blocks need."""

    width: int
    heads: int
    kv_heads: int
    head_width: int
    hidden: int
    activation: Activation
    norm: str
    affine: bool
    eps: float | None
    bias: str
    qk_norm: QKNorm
    qk_gain: float
    embedding_mix: bool
    parallel: bool
    dropout: float


class TransformerBlock(nn.Module):
    """Pre-norm attention and feed-forward; in two halves, so that ``GPT.step`` can update the KV cache in between."""

    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        self.shape, width = shape, shape.width
        norm = lambda: Norm(width, shape.norm, shape.affine, shape.eps)  # noqa: E731
        self.attention_norm, self.feed_forward_norm = norm(), norm()
        if shape.embedding_mix:
            self.mix = nn.Parameter(torch.tensor([1.0, 0.1]))  # weights of the residual stream and of the embedding x0
        bias = shape.bias == "all"
        self.qkv = nn.Linear(width, (shape.heads + 2 * shape.kv_heads) * shape.head_width, bias=shape.bias != "none")
        self.attention_out = nn.Linear(shape.heads * shape.head_width, width, bias=shape.bias in ("attention", "all"))
        self.up = nn.Linear(width, shape.hidden * (2 if shape.activation == "swiglu" else 1), bias=bias)
        self.down = nn.Linear(shape.hidden, width, bias=bias)
        if shape.qk_norm == "before_rotary":
            self.q_norm, self.k_norm = (Norm(shape.head_width, "rms", True, shape.eps) for _ in range(2))
        for layer, gain in ((self.qkv, 1.0), (self.up, 0.4)):
            nn.init.uniform_(layer.weight, -gain * (3 / width) ** 0.5, gain * (3 / width) ** 0.5)
        for layer in (self.attention_out, self.down):  # zero-init residual
            nn.init.zeros_(layer.weight)
        for layer in (self.qkv, self.attention_out, self.up, self.down):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, x0: Tensor, angles: RotaryAngles, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the output (batch, time, width), and keys and values (2, batch, kv_heads, time, head_width)."""
        q, k, v, x = self.project_qkv(x, x0, angles)
        return self.attend(x, q, k, v, mask, causal=mask is None), torch.stack([k, v])

    def project_qkv(self, x: Tensor, x0: Tensor, angles: RotaryAngles) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return queries, keys and values (batch, heads, time, head_width), and ``x`` with ``x0`` mixed in."""
        shape = self.shape
        if shape.embedding_mix:
            x = self.mix[0] * x + self.mix[1] * x0
        qkv = (
            self.qkv(self.attention_norm(x)).unflatten(-1, (-1, shape.head_width)).transpose(1, 2)
        )  # (B, H + 2 KV, T, D)
        qk, v = qkv.split([shape.heads + shape.kv_heads, shape.kv_heads], 1)
        if shape.qk_norm == "before_rotary":
            q, k = qk.split([shape.heads, shape.kv_heads], 1)
            qk = torch.cat([self.q_norm(q), self.k_norm(k)], 1)
        qk = apply_partial_rotary(qk, angles)
        if shape.qk_norm == "after_rotary":
            qk = rms_norm(qk, shape.eps) * shape.qk_gain
        q, k = qk.split([shape.heads, shape.kv_heads], 1)
        return q, k, v, x

    def attend(self, x: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool = False) -> Tensor:
        """Add attention and feed-forward to the residual stream ``x``: the block's output (batch, time, width)."""
        attention = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=self.shape.kv_heads != self.shape.heads
        )
        after_attention = x + self.attention_out(attention.transpose(1, 2).flatten(2))
        return after_attention + self._feed_forward(
            self.feed_forward_norm(x if self.shape.parallel else after_attention)
        )

    def _feed_forward(self, x: Tensor) -> Tensor:
        hidden = self.up(x)
        match self.shape.activation:
            case "relu2":
                hidden = F.relu(hidden).square()
            case "swiglu":
                gate, value = hidden.chunk(2, -1)
                hidden = F.silu(gate) * value
            case kind:
                hidden = F.gelu(hidden, approximate="tanh" if kind == "gelu_tanh" else "none")
        return self.down(F.dropout(hidden, self.shape.dropout, self.training))
