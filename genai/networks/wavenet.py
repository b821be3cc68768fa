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
        local: features that a frame comes with, such as a score's; 0: none but the time.
        layers, cycle: dilations are 1, 2, 4, ..., and begin again after ``cycle`` layers.
        residual, gate, skip: widths; half of ``gate`` is filter, half is gate.
        frame: width of the network that turns frames into biases; ``None``: there is none, all frames are the same.
        context: width of a prompt and of its words; ``None``: it hears no prompt.
        centred: kernels of three that also look ahead, for what is not generated in time.
        patch: samples that are one step of the stack, where the input is a waveform: as much cheaper, and a field as
            much longer.
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
        frame: Count | None = 64,
        context: Count | None = None,
        centred: bool = False,
        patch: Annotated[int, Ge(1), Le(1024)] = 1,
    ) -> None:
        super().__init__()
        if gate % 2:
            raise ValueError(f"gate={gate} is not even: half of it is filter, half is gate")
        if patch > 1 and (classes is not None or frame):
            raise ValueError(f"patch={patch} is of waveforms without frames: classes and frame have to be null")
        self.hop, self.classes, self.centred, self.patch = hop, classes, centred, patch
        self.dilations = [2 ** (layer % cycle) for layer in range(layers)]
        self.levels = nn.Linear(patch, residual) if classes is None else nn.Embedding(classes, residual)
        self.frames = Frames(local, frame, context) if frame else None
        self.biases = nn.Linear(frame, layers * gate) if frame else None
        self.layers = nn.ModuleList(Layer(residual, gate, skip, dilation, centred) for dilation in self.dilations)
        self.hidden = nn.Linear(skip, skip)
        self.out = Readout(skip, classes or patch)
        if classes is not None:
            with torch.no_grad():
                self.levels.weight.copy_(level_features(classes, residual))
                self.out.weight.copy_(smooth_readout(classes, skip))
        if self.biases is not None and frame:
            nn.init.normal_(self.biases.weight, std=0.3 / math.sqrt(frame))
            nn.init.zeros_(self.biases.bias)
        nn.init.zeros_(self.out.bias)

    @property
    def chunk(self) -> int:
        """Samples that a stream gives at once: a tenth of a second."""
        return 10 * self.hop

    @property
    def field(self) -> int:
        """Samples that one output depends on."""
        return self.patch * (1 + sum(self.dilations) * (2 if self.centred else 1))

    @property
    def reach(self) -> int:
        """Samples on either side of a patch that its output depends on."""
        return self.patch * sum(self.dilations)

    def forward(
        self,
        x: Tensor,
        valid: Tensor | None = None,
        local: Tensor | None = None,
        span: Tensor | None = None,
        context: Context | None = None,
    ) -> Tensor:
        """Logits (batch, time, classes) of what follows each of ``x`` (batch, time); of a waveform (batch, time).

        Args:
            x: classes, or samples in [-1, 1]; time t belongs to frame t // hop.
            valid: has no say here: sounds are padded behind their end.
            local: (batch, frames, features).
            span: (batch, 2), the frame that x begins with, and the frames of its whole clip; ``None``: x is all of it.
            context: the prompts.
        """
        made = self._read(self._run(self._enter(x), self.condition(local, span, context))[0])
        return made.flatten(1)[:, : x.shape[1]] if self.classes is None else made

    def condition(self, local: Tensor | None, span: Tensor | None, context: Context | None) -> Tensor | None:
        """Biases of the gates (batch, frames, layers, gate); ``None``: there are no frames."""
        if self.frames is None or self.biases is None or local is None:
            return None
        return self.biases(self.frames(local, span, context)).unflatten(-1, (len(self.dilations), -1))

    def prefill(
        self,
        x: Tensor,
        valid: Tensor | None = None,
        new: int = 1,
        local: Tensor | None = None,
        context: Context | None = None,
    ) -> tuple[Tensor, Cache]:
        """Logits (batch, classes) of what follows ``x`` (batch, time), and the cache for the ``new`` ones behind it."""
        biases = self.condition(local, None, context)
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
            inner, skip = layer.step(inner, past, biases[:, number])
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
        if self.classes is not None:
            return self.levels(x.long())
        return self.levels(F.pad(x, (0, -x.shape[-1] % self.patch)).unflatten(-1, (-1, self.patch)))

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
        steering = x.new_zeros(len(x), 1, self.taps.out_features) if biases is None else biases
        tensors = x, steering, self.taps.weight, self.taps.bias, self.mixed.weight, self.mixed.bias
        device = x.device.type
        if torch.is_autocast_enabled(device):
            tensors = tuple(tensor.to(torch.get_autocast_dtype(device)) for tensor in tensors)  # type: ignore[assignment]
        with torch.autocast(device, enabled=False):
            made: tuple[Tensor, Tensor] = Gated.apply(self.dilation, self.centred, *tensors)
        return made

    def step(self, x: Tensor, past: Tensor, biases: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, residual) now and ``dilation`` ago, (batch, gate) -> the next x, and its skip."""
        filtered, gate = (self.taps(torch.cat([past, x], -1)) + biases).chunk(2, -1)
        made = self.mixed(filtered.tanh() * gate.sigmoid())
        return (x + made[..., : self.residual]) * SCALE, made[..., self.residual :]


SCALE = math.sqrt(0.5)
"""Of the sum of a layer's input and output, so that their variance stays."""


class Gated(torch.autograd.Function):
    """What a layer does (equation 2), with a way back by hand that keeps and moves less than autograd's."""

    @staticmethod
    def forward(
        ctx: Any,
        dilation: int,
        centred: bool,
        x: Tensor,
        biases: Tensor,
        taps_weight: Tensor,
        taps_bias: Tensor,
        mixed_weight: Tensor,
        mixed_bias: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """x (batch, time, residual), biases (batch, frames, gate) -> the next x, and skip (batch, time, skip)."""
        taps = _gathered(x, dilation, centred)
        hidden = F.linear(taps, taps_weight, taps_bias)
        hidden.unflatten(1, (biases.shape[1], -1)).add_(biases[:, :, None])
        filtered, gate = hidden.chunk(2, -1)
        filtered.mul_(2)
        hidden.sigmoid_()  # tanh(x) = 2 sigmoid(2 x) - 1, several times faster
        filtered.mul_(2).sub_(1)
        product = filtered * gate
        made = F.linear(product, mixed_weight, mixed_bias)
        residual, skip = made.split([x.shape[-1], made.shape[-1] - x.shape[-1]], -1)
        ctx.save_for_backward(taps, hidden, product, taps_weight, mixed_weight)
        ctx.dilation, ctx.centred, ctx.frames = dilation, centred, biases.shape[1]
        return (x + residual).mul_(SCALE), skip.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        taps, hidden, product, taps_weight, mixed_weight = ctx.saved_tensors
        through = gradients[0] * SCALE
        made = torch.cat([through, gradients[1]], -1).flatten(0, 1)
        inner = (made @ mixed_weight).view_as(product)
        filtered, gate = hidden.chunk(2, -1)
        gated = inner * gate
        steering = torch.empty_like(hidden)
        torch.mul(gated, 1 - filtered * filtered, out=steering[..., : filtered.shape[-1]])
        torch.mul(gated.mul_(filtered), 1 - gate, out=steering[..., filtered.shape[-1] :])
        flat = steering.flatten(0, 1)
        before = _scattered((flat @ taps_weight).view_as(taps), through, ctx.dilation, ctx.centred)
        biases = steering.unflatten(1, (ctx.frames, -1)).sum(2)
        return (
            None,
            None,
            before,
            biases,
            flat.mT @ taps.flatten(0, 1),
            biases.sum((0, 1)),
            made.mT @ product.flatten(0, 1),
            made.sum(0),
        )


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


def _scattered(taps: Tensor, through: Tensor, dilation: int, centred: bool) -> Tensor:
    """The gradient of x: ``through`` it, changed in place, and through its taps."""
    time, width = through.shape[1:]
    back = min(dilation, time)
    parts = taps.unflatten(-1, (-1, width))
    through += parts[:, :, 1]
    through[:, : time - back] += parts[:, back:, 0]
    if centred:
        through[:, back:] += parts[:, : time - back, 2]
    return through


class Frames(nn.Module):
    """What steers the gates: the features of each frame, its time, and the words of the prompt that it attends to."""

    def __init__(self, local: int, width: int, context: int | None) -> None:
        super().__init__()
        features = local + CLOCK
        self.features, self.mlp = nn.Linear(features, width), nn.Linear(width, width)
        self.heads = max(1, width // 16)
        self.query = None if context is None else nn.Linear(features, width)
        self.keys = None if context is None else nn.Linear(context, width)
        self.values = None if context is None else nn.Linear(context, width)
        if self.values is not None:  # words and time steer nothing until they are found to be of use
            nn.init.zeros_(self.values.weight)
            nn.init.zeros_(self.values.bias)
        with torch.no_grad():
            self.features.weight[:, local:] *= 0.3

    def forward(self, local: Tensor, span: Tensor | None, context: Context | None) -> Tensor:
        """(batch, frames, features) -> (batch, frames, width)"""
        features = torch.cat([local, clock(local.shape[0], local.shape[1], span, local.device).to(local.dtype)], -1)
        x = self.features(features)
        if context is not None and self.query is not None and self.keys is not None and self.values is not None:
            words = torch.cat([context.pooled[:, None], context.tokens], 1)  # the prompt as a whole is one of them
            projected = self.query(features), self.keys(words), self.values(words)
            q, k, v = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in projected)
            heard = F.scaled_dot_product_attention(
                q, k, v, attn_mask=F.pad(context.mask, (1, 0), value=True)[:, None, None]
            )
            x = x + heard.transpose(1, 2).flatten(2)
        x = F.silu(x)
        return x + F.silu(self.mlp(rms_norm(x)))


CLOCK = 14


def clock(batch: int, frames: int, span: Tensor | None, device: torch.device) -> Tensor:
    """(batch, frames, CLOCK): where each frame stands in its clip, counted from both ends, and as a share of it."""
    start, total = (0.0, float(frames)) if span is None else span.float().unsqueeze(-1).unbind(1)
    at = torch.arange(frames, device=device) + torch.as_tensor(start, device=device)
    left, share = total - at, at / total
    decays = [torch.exp(-way.clamp(min=0) / length) for way in (at, left) for length in (1, 5, 20)]
    waves = [wave(math.pi * share * k) for k in (1, 2, 4) for wave in (torch.sin, torch.cos)]
    features = torch.stack([at / 100, share, *decays, *waves], -1)
    return features.expand(batch, frames, CLOCK)


def level_features(classes: int, width: int) -> Tensor:
    """(classes, width): the level itself, companded and linear (mu-law), and sines and cosines of it.

    Levels that are near each other begin with vectors that are near each other, which saves most of an early training.
    """
    level = torch.linspace(-1, 1, classes)
    linear = level.sign() * (torch.exp(level.abs() * math.log(classes)) - 1) / (classes - 1)
    waves = level[:, None] * (math.pi / 2) * torch.arange(1, max(2, (width + 1) // 2))
    return torch.cat([level[:, None], linear[:, None], waves.sin(), waves.cos()], 1)[:, :width]


def smooth_readout(classes: int, width: int) -> Tensor:
    """(classes, width): random smooth functions of the level, so that a target teaches its neighbours, too."""
    features = level_features(classes, width)
    features = features / features.std(0, keepdim=True).clamp(min=0.1)
    mixed, _ = torch.linalg.qr(torch.randn(width, width))
    return features @ mixed[: features.shape[1]] * (0.6 * width**-0.5)
