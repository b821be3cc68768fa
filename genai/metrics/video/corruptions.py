"""What goes wrong with clips, made on purpose: to learn to tell it, and to test who sees it.

Each takes (clips, time, channels, height, width) floats in 0..1 and gives the same. Random numbers come from torch.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d


def shuffled(clips: Tensor) -> Tensor:
    """The same frames in an order of chance."""
    order = torch.rand(clips.shape[:2], device=clips.device).argsort(1)
    return _frames(clips, order)


def stuttered(clips: Tensor) -> Tensor:
    """Every second or third frame, or fourth, stands until the next of them."""
    times = torch.arange(clips.shape[1], device=clips.device)
    every = torch.randint(2, 5, (len(clips), 1), device=clips.device)
    return _frames(clips, times // every * every)


def frozen(clips: Tensor) -> Tensor:
    """From some frame in the first half on nothing moves."""
    times = torch.arange(clips.shape[1], device=clips.device)
    last = torch.randint(0, max(1, clips.shape[1] // 2), (len(clips), 1), device=clips.device)
    return _frames(clips, torch.minimum(times, last))


def backwards(clips: Tensor) -> Tensor:
    """From the last frame to the first."""
    return clips.flip(1)


def switched(clips: Tensor) -> Tensor:
    """From some frame in the middle half on it is the next clip."""
    times = torch.arange(clips.shape[1], device=clips.device)
    quarter = clips.shape[1] // 4
    start = torch.randint(max(1, quarter), max(2, clips.shape[1] - quarter), (len(clips), 1), device=clips.device)
    return torch.where((times < start)[..., None, None, None], clips, clips.roll(1, 0))


def noisy(clips: Tensor) -> Tensor:
    """Noise of a standard deviation of 0.02 to 0.15, other in each frame."""
    level = 0.02 + 0.13 * torch.rand(len(clips), 1, 1, 1, 1, device=clips.device)
    return (clips + level * torch.randn_like(clips)).clamp(0, 1)


def blurred(clips: Tensor) -> Tensor:
    """Means over 3 x 3 pixels, of some clips over 5 x 5, as much of them as chance says."""
    flat = clips.flatten(0, 1)
    wide = torch.rand(len(clips), 1, 1, 1, 1, device=clips.device) < 0.5
    small, large = (avg_pool2d(flat, k, 1, k // 2, count_include_pad=False).view_as(clips) for k in (3, 5))
    share = 0.5 + 0.5 * torch.rand_like(wide.float())
    return clips + share * (torch.where(wide, large, small) - clips)


def flickering(clips: Tensor) -> Tensor:
    """Each frame brighter or darker, by a fifth at most."""
    level = 0.2 * torch.rand(len(clips), 1, 1, 1, 1, device=clips.device)
    return (clips * (1 + level * (2 * torch.rand(*clips.shape[:2], 1, 1, 1, device=clips.device) - 1))).clamp(0, 1)


DAMAGES: tuple[Callable[[Tensor], Tensor], ...] = (
    shuffled,
    stuttered,
    frozen,
    backwards,
    switched,
    noisy,
    blurred,
    flickering,
)


def _frames(clips: Tensor, times: Tensor) -> Tensor:
    """Frames ``times`` (clips, time) of each clip."""
    return clips[torch.arange(len(clips), device=clips.device)[:, None], times]
