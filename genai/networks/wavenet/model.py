"""WaveNet (arXiv:1609.03499): gated dilated convolutions over audio samples, conditioned on features of frames.

What is known in advance (words of a prompt, notes, the time) changes 100 times per second, not at each sample. A small
network turns it into biases of the gates, one set per frame. So conditioning costs next to nothing per sample, and a
fast generation loop needs only weights, biases and ring buffers of past samples.
"""

import math
from typing import TYPE_CHECKING, Annotated, cast

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import PromptEmbedding, Readout
from genai.networks.wavenet.conditioning import FrameEncoder
from genai.networks.wavenet.gated_stack import GatedLayer, GatedStack, WaveNetCache

if TYPE_CHECKING:
    from genai.networks.wavenet.engine import Engine

Count = Annotated[int, Ge(1), Le(65_536)]


class WaveNet(nn.Module):
    """Predict logits of the next level of a waveform; or, with ``num_classes=None``, map a waveform to another one.

    Args:
        num_classes: number of levels; ``None``: input and output are waveforms.
        hop_length: samples per frame.
        local: local features per frame, such as notes; 0: only the time.
        layers: number of layers.
        cycle: dilations are 1, 2, 4, ..., and start again after ``cycle`` layers.
        residual, gate, skip: numbers of channels; half of ``gate`` is the filter, half the gate.
        frame: width of the network that turns frames into biases; ``None``: no conditioning.
        context: width of a prompt's pooled and word embeddings; ``None``: no prompts.
        centered: non-causal kernels of three taps instead of causal ones of two, for waveforms only.
        patch: samples per step of the stack, for waveforms without frames only: a patch of n makes the network n times
            cheaper and its receptive field n times longer.

    Raises:
        ValueError: ``gate`` is odd, or arguments exclude each other.
    """

    def __init__(
        self,
        num_classes: Annotated[int, Ge(2), Le(65_536)] | None,
        hop_length: Count,
        local: Annotated[int, Ge(0), Le(4096)] = 0,
        layers: Annotated[int, Ge(1), Le(512)] = 8,
        cycle: Annotated[int, Ge(1), Le(16)] = 8,
        residual: Count = 32,
        gate: Count = 64,
        skip: Count = 64,
        frame: Count | None = 64,
        context: Count | None = None,
        centered: bool = False,
        patch: Annotated[int, Ge(1), Le(1024)] = 1,
    ) -> None:
        super().__init__()
        if gate % 2:
            raise ValueError(f"gate={gate} has to be even: half of it is the filter, half the gate")
        if num_classes is not None and (centered or not frame):
            raise ValueError("centered=true and frame=null need num_classes=null: classes are generated causally")
        if patch > 1 and (num_classes is not None or frame):
            raise ValueError(f"patch={patch} needs num_classes=null and frame=null")
        self.hop_length, self.num_classes, self.centered, self.patch = hop_length, num_classes, centered, patch
        self.dilations = [2 ** (layer % cycle) for layer in range(layers)]
        self.levels = nn.Linear(patch, residual) if num_classes is None else nn.Embedding(num_classes, residual)
        self.frames = FrameEncoder(local, frame, context) if frame else None
        self.biases = nn.Linear(frame, layers * gate) if frame else None
        self.layers = GatedStack(residual, gate, skip, self.dilations, centered)
        self.hidden = nn.Linear(skip, skip)
        self.out = Readout(skip, num_classes or patch)
        if num_classes is not None and not self.out.weight.is_meta:
            with torch.no_grad():
                self.levels.weight.copy_(level_features(num_classes, residual))
                self.out.weight.copy_(smooth_readout(num_classes, skip))
        if self.biases is not None and frame:
            nn.init.normal_(self.biases.weight, std=0.3 / math.sqrt(frame))
            nn.init.zeros_(self.biases.bias)
        nn.init.zeros_(self.out.bias)

    @property
    def chunk(self) -> int:
        """Samples per chunk of a stream: a tenth of a second."""
        return 10 * self.hop_length

    @property
    def receptive_field(self) -> int:
        """Number of samples that one output depends on."""
        return self.patch * (1 + sum(self.dilations) * (2 if self.centered else 1))

    @property
    def reach(self) -> int:
        """Number of samples on either side of a patch that its output depends on."""
        return self.patch * sum(self.dilations)

    def forward(
        self,
        x: Tensor,
        valid: Tensor | None = None,
        local: Tensor | None = None,
        span: Tensor | None = None,
        context: PromptEmbedding | None = None,
    ) -> Tensor:
        """Return next-class logits (batch, time, classes), or a waveform (batch, time).

        Args:
            x: (batch, time), classes or samples in [-1, 1]; time t belongs to frame t // hop_length.
            valid: ignored: sounds are padded at their end, which a causal network does not see.
            local: (batch, frames, features).
            span: (batch, 2), the first frame of x, and the number of frames of the whole sound; ``None``: x is whole.
            context: the prompts.
        """
        inputs, biases = self._embed(x), self.gate_biases(local, span, context)
        output = self._head(self.layers(*self._pad_to_frames(inputs, biases))[:, : inputs.shape[1]])
        return output.flatten(1)[:, : x.shape[1]] if self.num_classes is None else output

    def gate_biases(self, local: Tensor | None, span: Tensor | None, context: PromptEmbedding | None) -> Tensor | None:
        """Return the biases of the gates (batch, frames, layers, gate); ``None``: no frames."""
        if self.frames is None or self.biases is None or local is None:
            return None
        return self.biases(self.frames(local, span, context)).unflatten(-1, (len(self.dilations), -1))

    def prefill(
        self,
        x: Tensor,
        valid: Tensor | None = None,
        new: int = 1,
        local: Tensor | None = None,
        context: PromptEmbedding | None = None,
    ) -> tuple[Tensor, WaveNetCache]:
        """Run the beginning ``x`` (batch, time) and fill the cache for the generation of ``new`` more samples.

        Returns:
            Logits (batch, classes) of the next class, and the cache.

        Raises:
            ValueError: the sounds have different lengths (``valid``), or there are no frames.
        """
        biases = self.gate_biases(local, None, context)
        if biases is None or valid is not None:
            raise ValueError("a WaveNet continues only sounds with frames, and all of one length")
        time = x.shape[1]
        first = max(0, time - self.receptive_field) // self.hop_length  # earlier frames cannot influence the output
        x = x[:, first * self.hop_length :]
        total, layer_inputs = self.layers.inputs(*self._pad_to_frames(self._embed(x), biases[:, first:]))
        rings, length = [], x.shape[1]
        for inputs, dilation in zip(layer_inputs, self.dilations, strict=True):
            ring = F.pad(inputs[:, :length], (0, 0, max(0, dilation - length), 0))[:, -dilation:]
            rings.append(ring.roll(time % dilation, 1).contiguous())
        return self._head(total[:, length - 1]), WaveNetCache(rings, biases, time)

    def step(self, x: Tensor, cache: WaveNetCache) -> Tensor:
        """Append one class per sound, ``x`` (batch,), and return the next logits (batch, classes).

        Updates ``cache`` in place.
        """
        time = cache.position
        biases = cache.biases[:, min(time // self.hop_length, cache.biases.shape[1] - 1)]
        inputs, total = self._embed(x), torch.zeros((), device=x.device)
        for number, (layer, ring) in enumerate(zip(self.stack, cache.rings, strict=True)):
            slot = time % layer.dilation
            past = ring[:, slot].clone()
            ring[:, slot] = inputs
            inputs, skip = layer.step(inputs, past, biases[:, number])
            total = total + skip
        cache.position += 1
        return self._head(total)

    def engine(
        self,
        logits: Tensor,
        cache: WaveNetCache,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        guidance: float = 1.0,
    ) -> "Engine | None":
        """Create a native engine that continues from ``prefill`` faster than ``step``; ``None``: not available.

        It samples as ``methods.autoregressive`` does. With ``guidance`` other than 1, the second half of the batch has
        to be the first half without its prompts.
        """
        from genai.networks.wavenet.engine import create_engine

        return create_engine(self, logits, cache, (temperature, top_k, top_p, min_p, guidance))

    @property
    def stack(self) -> list[GatedLayer]:
        """The layers, from first to last."""
        return cast(list[GatedLayer], list(self.layers))

    def _embed(self, x: Tensor) -> Tensor:
        """Embed classes (batch, time) or patches of a waveform: (batch, steps, residual)."""
        if self.num_classes is not None:
            return self.levels(x.long())
        return self.levels(F.pad(x, (0, -x.shape[-1] % self.patch)).unflatten(-1, (-1, self.patch)))

    def _pad_to_frames(self, x: Tensor, biases: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Pad ``x`` (batch, time, residual) to whole frames, and return the biases of these frames."""
        if biases is None:
            return x, None
        biases = biases[:, : -(-x.shape[1] // self.hop_length)]
        return F.pad(x, (0, 0, 0, biases.shape[1] * self.hop_length - x.shape[1])), biases

    def _head(self, skips: Tensor) -> Tensor:
        """Map the sum of the skip outputs to logits or samples."""
        return self.out(F.relu(self.hidden(F.relu(skips / math.sqrt(len(self.dilations))))))


def level_features(num_classes: int, width: int) -> Tensor:
    """Initial embeddings of the levels (classes, width): companded and linear (mu-law) value, and sines and cosines.

    Neighboring levels start with similar embeddings, which saves most of the early training.
    """
    level = torch.linspace(-1, 1, num_classes)
    linear = level.sign() * (torch.exp(level.abs() * math.log(num_classes)) - 1) / (num_classes - 1)
    waves = level[:, None] * (math.pi / 2) * torch.arange(1, max(2, (width + 1) // 2))
    return torch.cat([level[:, None], linear[:, None], waves.sin(), waves.cos()], 1)[:, :width]


def smooth_readout(num_classes: int, width: int) -> Tensor:
    """Initial output weights (classes, width): random smooth functions of the level.

    So a target also raises the probability of its neighbors.
    """
    features = level_features(num_classes, width)
    features = features / features.std(0, keepdim=True).clamp(min=0.1)
    rotation, _ = torch.linalg.qr(torch.randn(width, width))
    return features @ rotation * (0.6 * width**-0.5)
