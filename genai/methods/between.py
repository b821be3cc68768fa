"""What a sample begins with and is asked for: its own noise and prompt, or those on the way between two samples."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genai.batch import Request

Prompt = str | tuple[str, str, float]
"""A prompt; or two, and the share of the way from the first to the second."""


def noise(request: Request, size: Sequence[int]) -> Tensor:
    """(items, *size), normal, each item from its own seed and a CPU generator; between two, by ``slerp``."""
    drawn = _drawn(request.seeds, size)
    if request.between is None:
        return drawn
    shares = torch.tensor([way.share for way in request.between])
    return slerp(drawn, _drawn([way.seed for way in request.between], size), shares)


def prompts(request: Request) -> list[Prompt]:
    """One an item."""
    if request.between is None:
        return [*request.prompts]
    pairs = zip(request.prompts, request.between, strict=True)
    return [(prompt, way.prompt, way.share) for prompt, way in pairs]


def pooled(encoder: nn.Module | None, prompts: Sequence[Prompt]) -> Tensor | None:
    """(items, width): the pooled vectors of prompts, mixed between two; ``None`` without an encoder."""
    if encoder is None:
        return None
    own: Tensor = encoder([prompt if isinstance(prompt, str) else prompt[0] for prompt in prompts]).pooled
    if all(isinstance(prompt, str) for prompt in prompts):
        return own
    other: Tensor = encoder([prompt if isinstance(prompt, str) else prompt[1] for prompt in prompts]).pooled
    shares = [0.0 if isinstance(prompt, str) else prompt[2] for prompt in prompts]
    return torch.lerp(own, other, torch.tensor(shares, device=own.device, dtype=own.dtype)[:, None])


def slerp(start: Tensor, end: Tensor, shares: Tensor) -> Tensor:
    """(items, ...) at ``shares`` (items,) of the arc from ``start`` to ``end`` (Shoemake 1985).

    So noise on the way is as long as noise is; the straight line would cut across, where none ever is.
    """
    shares = shares.reshape(-1, *[1] * (start.ndim - 1))
    cosine = torch.cosine_similarity(start.flatten(1), end.flatten(1)).clamp(-1, 1)
    angle = cosine.acos().clamp(min=1e-4, max=math.pi - 1e-4).view_as(shares)  # equal ends have no arc between them
    return (torch.sin((1 - shares) * angle) * start + torch.sin(shares * angle) * end) / torch.sin(angle)


def _drawn(seeds: Sequence[int], size: Sequence[int]) -> Tensor:
    return torch.stack([torch.randn(tuple(size), generator=torch.Generator().manual_seed(seed)) for seed in seeds])
