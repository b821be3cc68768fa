"""Conditioning of a WaveNet: features of each frame (100 per second), its time, and the words of the prompt."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import PromptEmbedding, attention, choose_num_heads, rms_norm, zero_module

NUM_TIME_FEATURES = 14
_TIME_SCALE, _WORDS_SCALE = 0.3, 0.1
"""Scales of the time features and of the words relative to local features. Muon updates all weights by the same amount,
so where local features such as notes say everything, other inputs are noise."""


class FrameEncoder(nn.Module):
    """Encode the local features of each frame, its time, and the prompt, whose words it attends to.

    Args:
        local: local features per frame.
        width: size of the encoding.
        context: width of a prompt's pooled and word embeddings; ``None``: no prompts.
    """

    def __init__(self, local: int, width: int, context: int | None) -> None:
        super().__init__()
        features = local + NUM_TIME_FEATURES
        self.features, self.mlp = nn.Linear(features, width), nn.Linear(width, width)
        self.heads = choose_num_heads(width, 16)
        self.query = None if context is None else nn.Linear(features, width)
        self.keys = None if context is None else nn.Linear(context, width)
        self.values = None if context is None else zero_module(nn.Linear(context, width))  # zero-init residual
        self.words_scale = _WORDS_SCALE if local else 1.0

    def forward(self, local: Tensor, span: Tensor | None, context: PromptEmbedding | None) -> Tensor:
        """Map ``local`` (batch, frames, features) to (batch, frames, width); for ``span`` see ``time_features``."""
        time = time_features(local.shape[0], local.shape[1], span, local.device).to(local.dtype)
        features = torch.cat([local, _TIME_SCALE * time], -1)
        x = self.features(features)
        if context is not None and self.query is not None and self.keys is not None and self.values is not None:
            words = torch.cat([context.pooled[:, None], context.tokens], 1)  # the pooled prompt acts as a word, too
            projections = self.query(features), self.keys(words), self.values(words)
            q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in projections)  # (B, H, T, D)
            output = attention(q, k, v, F.pad(context.mask, (1, 0), value=True)[:, None, None])
            x = x + self.words_scale * output.transpose(1, 2).flatten(2)
        x = F.silu(x)
        return x + F.silu(self.mlp(rms_norm(x)))


def time_features(batch: int, frames: int, span: Tensor | None, device: torch.device) -> Tensor:
    """Position of each frame in its sound, from either end and as a fraction: (batch, frames, NUM_TIME_FEATURES).

    Args:
        batch, frames: the size of the result.
        span: (batch, 2), the first frame, and the number of frames of the whole sound; ``None``: all of it.
        device: of the result.
    """
    start, total = (0.0, float(frames)) if span is None else span.float().unsqueeze(-1).unbind(1)
    position = torch.arange(frames, device=device) + torch.as_tensor(start, device=device)
    remaining, fraction = total - position, position / total
    decays = [torch.exp(-distance.clamp(min=0) / length) for distance in (position, remaining) for length in (1, 5, 20)]
    waves = [function(math.pi * fraction * k) for k in (1, 2, 4) for function in (torch.sin, torch.cos)]
    features = torch.stack([position / 100, fraction, *decays, *waves], -1)
    return features.expand(batch, frames, NUM_TIME_FEATURES)
