"""WaveNet: a stack of gated dilated convolutions over samples, steered by features of frames (arXiv:1609.03499).

What is known ahead (words of a prompt, a score, the time) changes a hundred times a second, not at each sample: a small
network turns it into biases of the gates, one set a frame. So it costs next to nothing per sample, and a fast
generation loop needs no more than weights, biases and rings of past samples.
"""

import math
from typing import TYPE_CHECKING, Annotated, cast

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import Context, Readout
from genai.networks.wavenet.conditioning import Frames
from genai.networks.wavenet.gated_stack import Cache, GatedStack, Layer

if TYPE_CHECKING:
    from genai.networks.wavenet.engine import Engine

Count = Annotated[int, Ge(1), Le(65_536)]


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
        if classes is not None and (centred or not frame):
            raise ValueError("classes are drawn in time, steered by frames: centred and frame=null are of classes=null")
        if patch > 1 and (classes is not None or frame):
            raise ValueError(f"patch={patch} is of waveforms without frames: classes and frame have to be null")
        self.hop, self.classes, self.centred, self.patch = hop, classes, centred, patch
        self.dilations = [2 ** (layer % cycle) for layer in range(layers)]
        self.levels = nn.Linear(patch, residual) if classes is None else nn.Embedding(classes, residual)
        self.frames = Frames(local, frame, context) if frame else None
        self.biases = nn.Linear(frame, layers * gate) if frame else None
        self.layers = GatedStack(residual, gate, skip, self.dilations, centred)
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
    def receptive_field(self) -> int:
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
        inner, biases = self._enter(x), self.condition(local, span, context)
        made = self._read(self.layers(*self._whole(inner, biases))[:, : inner.shape[1]])
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
        """Logits (batch, classes) of what follows ``x`` (batch, time), and the cache for the ``new`` ones behind it.

        Raises:
            ValueError: sounds of several lengths side by side (``valid``); no frames.
        """
        biases = self.condition(local, None, context)
        if biases is None or valid is not None:
            raise ValueError("a sound is continued with frames, and beside others of its own length")
        time = x.shape[1]
        first = max(0, time - self.receptive_field) // self.hop  # frames before it no longer matter
        x = x[:, first * self.hop :]
        total, inputs = self.layers.inputs(*self._whole(self._enter(x), biases[:, first:]))
        rings, newest = [], x.shape[1]
        for inner, dilation in zip(inputs, self.dilations, strict=True):
            ring = F.pad(inner[:, :newest], (0, 0, max(0, dilation - newest), 0))[:, -dilation:]
            rings.append(ring.roll(time % dilation, 1).contiguous())
        return self._read(total[:, newest - 1]), Cache(rings, biases, time)

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
        from genai.networks.wavenet.engine import engine_for

        return engine_for(self, logits, cache, (temperature, top_k, top_p, min_p, guidance))

    @property
    def stack(self) -> list["Layer"]:
        """The layers, from the first one up."""
        return cast(list[Layer], list(self.layers))

    def _enter(self, x: Tensor) -> Tensor:
        if self.classes is not None:
            return self.levels(x.long())
        return self.levels(F.pad(x, (0, -x.shape[-1] % self.patch)).unflatten(-1, (-1, self.patch)))

    def _whole(self, x: Tensor, biases: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """``x`` (batch, time, residual) up to a whole frame, and the biases of these frames."""
        if biases is None:
            return x, None
        biases = biases[:, : -(-x.shape[1] // self.hop)]
        return F.pad(x, (0, 0, 0, biases.shape[1] * self.hop - x.shape[1])), biases

    def _read(self, skips: Tensor) -> Tensor:
        return self.out(F.relu(self.hidden(F.relu(skips / math.sqrt(len(self.dilations))))))


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
    return features @ mixed * (0.6 * width**-0.5)
