"""Noise and prompts of samples, and their interpolation between two samples."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from genai.core.batch import Interpolation, Request
from genai.networks.layers import PromptEmbedding

Prompt = str | tuple[str, str, float]
"""One prompt, or (first, second, weight of the second)."""


def initial_noise(request: Request, size: Sequence[int]) -> Tensor:
    """Draw normal noise (items, *size), each item from its own seed on the CPU; interpolated by ``slerp``."""
    noise = _noise_from_seeds(request.seeds, size)
    if request.interpolation is None:
        return noise
    end = _noise_from_seeds([target.seed for target in request.interpolation], size)
    return slerp(noise, end, _weights(request.interpolation))


def noise_sampler(request: Request) -> Callable[[Tensor], Tensor]:
    """Return a function that draws noise in the shape of its argument (items, ...), new at each call.

    It is independent of the initial noise.
    """
    start = _step_generators(request.seeds)
    if request.interpolation is None:
        return lambda x: _noise(start, x.shape[1:]).to(x)
    end = _step_generators([target.seed for target in request.interpolation])
    weights = _weights(request.interpolation)
    return lambda x: slerp(_noise(start, x.shape[1:]), _noise(end, x.shape[1:]), weights).to(x)


def interpolated_prompts(request: Request) -> list[Prompt]:
    """Return the prompt of each item, as a pair with a weight where the request interpolates."""
    if request.interpolation is None:
        return [*request.prompts]
    pairs = zip(request.prompts, request.interpolation, strict=True)
    return [(prompt, target.prompt, target.weight) for prompt, target in pairs]


def embed_prompts(encoder: nn.Module | None, prompts: Sequence[Prompt]) -> PromptEmbedding | None:
    """Encode prompts; ``None`` without an encoder.

    Between two prompts the pooled vector is interpolated linearly. Attention sees the words of both, whose scores get
    the logarithm of the prompt's weight.
    """
    if encoder is None:
        return None
    start: PromptEmbedding = encoder([prompt if isinstance(prompt, str) else prompt[0] for prompt in prompts])
    if all(isinstance(prompt, str) for prompt in prompts):
        return start
    end: PromptEmbedding = encoder([prompt if isinstance(prompt, str) else prompt[1] for prompt in prompts])
    weights = [0.0 if isinstance(prompt, str) else prompt[2] for prompt in prompts]
    weight = torch.tensor(weights, device=start.pooled.device, dtype=start.pooled.dtype)[:, None]
    log_weights = [
        each.log().expand_as(part.mask).masked_fill(~part.mask, -math.inf)
        for part, each in ((start, 1 - weight), (end, weight))
    ]
    return PromptEmbedding(
        torch.lerp(start.pooled, end.pooled, weight),
        torch.cat([start.tokens, end.tokens], 1),
        torch.cat(log_weights, 1),
    )


def pool_prompts(encoder: nn.Module | None, prompts: Sequence[Prompt]) -> Tensor | None:
    """Return the pooled vectors (items, width) of ``embed_prompts``; ``None`` without an encoder."""
    embedding = embed_prompts(encoder, prompts)
    return None if embedding is None else embedding.pooled


def slerp(start: Tensor, end: Tensor, weights: Tensor) -> Tensor:
    """Interpolate (items, ...) spherically from ``start`` to ``end`` by ``weights`` (items,) (Shoemake 1985).

    This keeps the norm that noise has; linear interpolation would shorten it.
    """
    weights = weights.reshape(-1, *[1] * (start.ndim - 1))
    cosine = torch.cosine_similarity(start.flatten(1), end.flatten(1)).clamp(-1, 1)
    angle = cosine.acos().clamp(min=1e-4, max=math.pi - 1e-4).view_as(weights)  # equal ends: no division by 0
    return (torch.sin((1 - weights) * angle) * start + torch.sin(weights * angle) * end) / torch.sin(angle)


def _noise_from_seeds(seeds: Sequence[int], size: Sequence[int]) -> Tensor:
    return _noise([torch.Generator().manual_seed(seed) for seed in seeds], size)


def _noise(generators: Sequence[torch.Generator], size: Sequence[int]) -> Tensor:
    return torch.stack([torch.randn(tuple(size), generator=generator) for generator in generators])


def _step_generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """Return generators for noise after the initial one, each with a seed derived from the item's own."""
    step_seeds = [torch.randint(2**32, (), generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return [torch.Generator().manual_seed(int(seed)) for seed in step_seeds]


def _weights(targets: Sequence[Interpolation]) -> Tensor:
    return torch.tensor([target.weight for target in targets])
