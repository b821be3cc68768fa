"""What a sample begins with and is asked for: its own noise and prompt, or those on the way between two samples."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from genai.core.batch import Interpolation, Request

Prompt = str | tuple[str, str, float]
"""A prompt; or two, and the share of the way from the first to the second."""


def noise(request: Request, size: Sequence[int]) -> Tensor:
    """(items, *size), normal, each item from its own seed and a CPU generator; between two, by ``slerp``."""
    drawn = _drawn(request.seeds, size)
    if request.between is None:
        return drawn
    return slerp(drawn, _drawn([way.seed for way in request.between], size), _shares(request.between))


def fresh_noise(request: Request) -> Callable[[Tensor], Tensor]:
    """Each call gives more, in the shape of what it is given, (items, ...): never what they begin with."""
    own = _generators(request.seeds)
    if request.between is None:
        return lambda x: _drawn_by(own, x.shape[1:]).to(x)
    other, shares = _generators([way.seed for way in request.between]), _shares(request.between)
    return lambda x: slerp(_drawn_by(own, x.shape[1:]), _drawn_by(other, x.shape[1:]), shares).to(x)


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
    return _drawn_by([torch.Generator().manual_seed(seed) for seed in seeds], size)


def _drawn_by(generators: Sequence[torch.Generator], size: Sequence[int]) -> Tensor:
    return torch.stack([torch.randn(tuple(size), generator=generator) for generator in generators])


def _generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """For what comes after the beginning: each has a seed that was drawn with the item's own."""
    drawn = [torch.randint(2**32, (), generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return [torch.Generator().manual_seed(int(seed)) for seed in drawn]


def _shares(between: Sequence[Interpolation]) -> Tensor:
    return torch.tensor([way.share for way in between])
