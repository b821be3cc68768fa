"""WaveNet: a stack of gated dilated convolutions over samples, steered by features of frames (arXiv:1609.03499).

What is known ahead (words of a prompt, a score, the time) changes a hundred times a second, not at each sample: a small
network turns it into biases of the gates, one set a frame. So it costs next to nothing per sample, and a fast
generation loop needs no more than weights, biases and rings of past samples.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import Context, Readout, rms_norm

if TYPE_CHECKING:
    from genai.engines import Engine

Count = Annotated[int, Ge(1), Le(65_536)]


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


class WaveNet(nn.Module):
    """Logits of the next level of a waveform; or, with centred kernels and no classes, another waveform.

    Args:
        classes: levels; ``None``: the input is a waveform, and so is the output.
        hop: samples a frame.
        local: features that a frame comes with; 0: none, and all frames are the same.
        layers, cycle: dilations are 1, 2, 4, ..., and begin again after ``cycle`` layers.
        residual, gate, skip: widths; half of ``gate`` is filter, half is gate.
        frame: width of the network that turns frames into biases.
        context: width of a prompt's words; ``None``: it hears no prompt.
        centred: kernels of three that also look ahead, for what is not generated in time.
    """

    def __init__(
        self,
        classes: Annotated[int, Ge(2), Le(65_536)] | None,
        hop: Count,
        local: Annotated[int, Ge(0), Le(4096)] = 0,
        layers: Annotated[int, Ge(1), Le(512)] = 8,
        cycle: Annotated[int, Ge(1), Le(16)] = 8,
        residual: Count = 32,
        gate: Count = 64,
        skip: Count = 64,
        frame: Count = 64,
        context: Count | None = None,
        centred: bool = False,
    ) -> None:
        super().__init__()
        if gate % 2:
            raise ValueError(f"gate={gate} is not even: half of it is filter, half is gate")
        self.hop, self.classes, self.centred = hop, classes, centred
        self.dilations = [2 ** (layer % cycle) for layer in range(layers)]
        self.levels = nn.Linear(1, residual) if classes is None else nn.Embedding(classes, residual)
        self.frames = Frames(local, frame, context) if local else None
        self.biases = nn.Linear(frame, layers * gate) if local else None
        self.layers = nn.ModuleList(Layer(residual, gate, skip, dilation, centred) for dilation in self.dilations)
        self.hidden = nn.Linear(skip, skip)
        self.out = Readout(skip, classes or 1)
        if classes is not None:
            with torch.no_grad():
                self.levels.weight.copy_(level_features(classes, residual))
        if self.biases is not None:
            nn.init.normal_(self.biases.weight, std=0.3 / math.sqrt(frame))
            nn.init.zeros_(self.biases.bias)
        nn.init.zeros_(self.out.bias)

    @property
    def field(self) -> int:
        """Samples that one output depends on."""
        return 1 + sum(self.dilations) * (2 if self.centred else 1)

    def forward(
        self, x: Tensor, valid: Tensor | None = None, local: Tensor | None = None, context: Context | None = None
    ) -> Tensor:
        """Logits (batch, time, classes) of what follows each of ``x`` (batch, time); of a waveform (batch, time).

        Args:
            x: classes, or samples in [-1, 1]; time t belongs to frame t // hop.
            valid: has no say here: sounds are padded behind their end.
            local: (batch, frames, features).
            context: the prompts.
        """
        made = self._read(self._run(self._enter(x), self.condition(local, context))[0])
        return made[..., 0] if self.classes is None else made

    def condition(self, local: Tensor | None, context: Context | None) -> Tensor | None:
        """Biases of the gates (batch, frames, layers, gate); ``None``: there are no frames."""
        if self.frames is None or self.biases is None or local is None:
            return None
        return self.biases(self.frames(local, context)).unflatten(-1, (len(self.dilations), -1))

    def prefill(
        self,
        x: Tensor,
        valid: Tensor | None = None,
        new: int = 1,
        local: Tensor | None = None,
        context: Context | None = None,
    ) -> tuple[Tensor, Cache]:
        """Logits (batch, classes) of what follows ``x`` (batch, time), and the cache for the ``new`` ones behind it."""
        biases = self.condition(local, context)
        assert biases is not None
        total, inputs = self._run(self._enter(x), biases)
        time, rings = x.shape[1], []
        for inner, dilation in zip(inputs, self.dilations, strict=True):
            newest = F.pad(inner, (0, 0, max(0, dilation - time), 0))[:, -dilation:]
            rings.append(newest.roll(time % dilation, 1).contiguous())
        return self._read(total[:, -1]), Cache(rings, biases, time)

    def step(self, x: Tensor, cache: Cache) -> Tensor:
        """Logits (batch, classes) of what follows ``x`` (batch,), the next input."""
        time = cache.position
        biases = cache.biases[:, min(time // self.hop, cache.biases.shape[1] - 1)]
        inner, total = self._enter(x), torch.zeros((), device=x.device)
        for number, (layer, ring) in enumerate(zip(self.stack, cache.rings, strict=True)):
            slot = time % layer.dilation
            past = ring[:, slot].clone()
            ring[:, slot] = inner
            inner, skip = layer.mix(torch.cat([past, inner], -1), inner, biases[:, number])
            total = total + skip
        cache.position += 1
        return self._read(total)

    def engine(
        self,
        logits: Tensor,
        cache: Cache,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        guidance: float = 1.0,
    ) -> "Engine | None":
        """A faster way on from ``prefill`` than ``step``, where there is one; draws as ``methods.autoregressive`` does.

        With ``guidance`` other than 1, the second half of the batch is the first one without its prompts.
        """
        from genai.engines import engine_for

        return engine_for(self, logits, cache, (temperature, top_k, top_p, min_p, guidance))

    @property
    def stack(self) -> list["Layer"]:
        """The layers, from the first one up."""
        return cast(list[Layer], list(self.layers))

    def _enter(self, x: Tensor) -> Tensor:
        return self.levels(x[..., None] if self.classes is None else x.long())

    def _run(self, x: Tensor, biases: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """The sum of skips (batch, time, skip), and the input of each layer (batch, time, residual)."""
        time = x.shape[1]
        if biases is not None:  # whole frames, so that biases can be added to views of them
            biases = biases[:, : -(-time // self.hop)]
            x = F.pad(x, (0, 0, 0, biases.shape[1] * self.hop - time))
        total, inputs = torch.zeros((), device=x.device, dtype=x.dtype), []
        for number, layer in enumerate(self.layers):
            inputs.append(x[:, :time])
            x, skip = layer(x, None if biases is None else biases[:, :, number])
            total = total + skip
        return total[:, :time], inputs

    def _read(self, skips: Tensor) -> Tensor:
        return self.out(F.relu(self.hidden(F.relu(skips / math.sqrt(len(self.dilations))))))


class Layer(nn.Module):
    """One gated dilated convolution (section 2.3), its taps side by side in one matrix product."""

    def __init__(self, residual: int, gate: int, skip: int, dilation: int, centred: bool = False) -> None:
        super().__init__()
        self.dilation, self.residual, self.centred = dilation, residual, centred
        taps = (3 if centred else 2) * residual
        self.taps, self.mixed = nn.Linear(taps, gate), nn.Linear(gate // 2, residual + skip)
        nn.init.normal_(self.taps.weight, std=taps**-0.5)
        nn.init.normal_(self.mixed.weight, std=(gate // 2) ** -0.5)
        nn.init.zeros_(self.taps.bias)
        nn.init.zeros_(self.mixed.bias)

    def forward(self, x: Tensor, biases: Tensor | None) -> tuple[Tensor, Tensor]:
        """(batch, time, residual), (batch, frames, gate) of frames that divide time -> the next x, and its skip."""
        time, d = x.shape[1], self.dilation
        parts = [F.pad(x, (0, 0, d, 0))[:, :time], x]
        if self.centred:
            parts.append(F.pad(x, (0, 0, 0, d))[:, -time:])
        return self.mix(torch.cat(parts, -1), x, biases)

    def mix(self, taps: Tensor, x: Tensor, biases: Tensor | None) -> tuple[Tensor, Tensor]:
        """The same from its taps (batch, [time,] taps * residual), earliest first."""
        hidden = self.taps(taps)
        if biases is not None:
            frames = biases.shape[1] if hidden.ndim == 3 else 1
            hidden = hidden.unflatten(-2, (frames, -1)) + biases[:, :, None] if hidden.ndim == 3 else hidden + biases
            hidden = hidden.flatten(1, 2) if hidden.ndim == 4 else hidden
        residual, skip = self.mixed(Gate.apply(hidden)).split(
            [self.residual, self.mixed.out_features - self.residual], -1
        )
        return (x + residual) * math.sqrt(0.5), skip


class Gate(torch.autograd.Function):
    """tanh(filter) * sigmoid(gate) of the two halves (equation 2); keeps two tensors for the way back, not four."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor) -> Tensor:
        filtered, gate = hidden.chunk(2, -1)
        filtered, gate = filtered.tanh(), gate.sigmoid()
        ctx.save_for_backward(filtered, gate)
        return filtered * gate

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        filtered, gate = ctx.saved_tensors
        scaled = gradient * gate
        return torch.cat([scaled * (1 - filtered * filtered), scaled * filtered * (1 - gate)], -1)


class Frames(nn.Module):
    """What steers the gates: features of each frame, and the words of the prompt that it attends to."""

    def __init__(self, local: int, width: int, context: int | None) -> None:
        super().__init__()
        self.local, self.mlp = nn.Linear(local, width), nn.Linear(width, width)
        self.keys_values = None if context is None else nn.Linear(context, 2 * width)
        self.query, self.heads = nn.Linear(local, width), max(1, width // 16)

    def forward(self, local: Tensor, context: Context | None) -> Tensor:
        """(batch, frames, features) -> (batch, frames, width)"""
        x = self.local(local)
        if self.keys_values is not None and context is not None:
            q = self.query(local).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            k, v = self.keys_values(context.tokens).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
            heard = F.scaled_dot_product_attention(q, k, v, attn_mask=context.mask[:, None, None])
            x = x + heard.transpose(1, 2).flatten(2)
        x = F.silu(x)
        return x + F.silu(self.mlp(rms_norm(x)))


def level_features(classes: int, width: int) -> Tensor:
    """(classes, width): the level itself, companded and linear (mu-law), and sines and cosines of it.

    Levels that are near each other begin with vectors that are near each other, which saves most of an early training.
    """
    level = torch.linspace(-1, 1, classes)
    linear = level.sign() * (torch.exp(level.abs() * math.log(classes)) - 1) / (classes - 1)
    waves = level[:, None] * (math.pi / 2) * torch.arange(1, max(2, (width + 1) // 2))
    return torch.cat([level[:, None], linear[:, None], waves.sin(), waves.cos()], 1)[:, :width]
