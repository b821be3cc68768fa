"""What steers a network of sound: features of frames, a hundred a second, their time, and the words of the prompt."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import Context, attention, heads_for, rms_norm, zeroed

CLOCK = 14
_CLOCK_SCALE, _WORDS_SCALE = 0.3, 0.1
"""Of the time and the words beside the features of frames: Muon moves all weights alike, and where a score says all,
what else is heard is noise."""


class Frames(nn.Module):
    """What steers the gates: the features of each frame, its time, and the words of the prompt that it attends to."""

    def __init__(self, local: int, width: int, context: int | None) -> None:
        super().__init__()
        features = local + CLOCK
        self.features, self.mlp = nn.Linear(features, width), nn.Linear(width, width)
        self.heads = heads_for(width, 16)
        self.query = None if context is None else nn.Linear(features, width)
        self.keys = None if context is None else nn.Linear(context, width)
        self.values = None if context is None else zeroed(nn.Linear(context, width))  # no say until they are of use
        self.words_scale = _WORDS_SCALE if local else 1.0

    def forward(self, local: Tensor, span: Tensor | None, context: Context | None) -> Tensor:
        """(batch, frames, features) -> (batch, frames, width)"""
        time = clock(local.shape[0], local.shape[1], span, local.device).to(local.dtype)
        features = torch.cat([local, _CLOCK_SCALE * time], -1)
        x = self.features(features)
        if context is not None and self.query is not None and self.keys is not None and self.values is not None:
            words = torch.cat([context.pooled[:, None], context.tokens], 1)  # the prompt as a whole is one of them
            projected = self.query(features), self.keys(words), self.values(words)
            q, k, v = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in projected)
            heard = attention(q, k, v, F.pad(context.mask, (1, 0), value=True)[:, None, None])
            x = x + self.words_scale * heard.transpose(1, 2).flatten(2)
        x = F.silu(x)
        return x + F.silu(self.mlp(rms_norm(x)))


def clock(batch: int, frames: int, span: Tensor | None, device: torch.device) -> Tensor:
    """(batch, frames, CLOCK): where each frame stands in its clip, counted from both ends, and as a share of it."""
    start, total = (0.0, float(frames)) if span is None else span.float().unsqueeze(-1).unbind(1)
    at = torch.arange(frames, device=device) + torch.as_tensor(start, device=device)
    left, share = total - at, at / total
    decays = [torch.exp(-way.clamp(min=0) / length) for way in (at, left) for length in (1, 5, 20)]
    waves = [wave(math.pi * share * k) for k in (1, 2, 4) for wave in (torch.sin, torch.cos)]
    features = torch.stack([at / 100, share, *decays, *waves], -1)
    return features.expand(batch, frames, CLOCK)
