"""Corruptions of clips: to train a classifier that detects them, and to test metrics.

Each function maps floats in 0..1 (clips, time, channels, height, width) to the same shape. Random numbers come from
torch.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d


def shuffle_frames(clips: Tensor) -> Tensor:
    """Shuffle the frames of each clip."""
    order = torch.rand(clips.shape[:2], device=clips.device).argsort(1)
    return _select_frames(clips, order)


def repeat_frames(clips: Tensor) -> Tensor:
    """Repeat every second, third or fourth frame until the next of them."""
    times = torch.arange(clips.shape[1], device=clips.device)
    interval = torch.randint(2, 5, (len(clips), 1), device=clips.device)
    return _select_frames(clips, times // interval * interval)


def freeze(clips: Tensor) -> Tensor:
    """Repeat some frame of the first half until the end."""
    times = torch.arange(clips.shape[1], device=clips.device)
    last = torch.randint(0, max(1, clips.shape[1] // 2), (len(clips), 1), device=clips.device)
    return _select_frames(clips, torch.minimum(times, last))


def reverse(clips: Tensor) -> Tensor:
    """Reverse the order of the frames."""
    return clips.flip(1)


def switch_clips(clips: Tensor) -> Tensor:
    """Continue with the next clip from some frame in the middle half."""
    times = torch.arange(clips.shape[1], device=clips.device)
    margin = clips.shape[1] // 4
    start = torch.randint(max(1, margin), max(2, clips.shape[1] - margin), (len(clips), 1), device=clips.device)
    return torch.where((times < start)[..., None, None, None], clips, clips.roll(1, 0))


def add_noise(clips: Tensor) -> Tensor:
    """Add noise with a standard deviation of 0.02 to 0.15, independent in each frame."""
    level = 0.02 + 0.13 * torch.rand(len(clips), 1, 1, 1, 1, device=clips.device)
    return (clips + level * torch.randn_like(clips)).clamp(0, 1)


def blur(clips: Tensor) -> Tensor:
    """Blend each clip with its mean over 3 x 3 or 5 x 5 pixels, by a random amount."""
    flat = clips.flatten(0, 1)
    wide = torch.rand(len(clips), 1, 1, 1, 1, device=clips.device) < 0.5
    small, large = (avg_pool2d(flat, k, 1, k // 2, count_include_pad=False).view_as(clips) for k in (3, 5))
    weight = 0.5 + 0.5 * torch.rand_like(wide.float())
    return clips + weight * (torch.where(wide, large, small) - clips)


def flicker(clips: Tensor) -> Tensor:
    """Change the brightness of each frame by up to 20 %."""
    level = 0.2 * torch.rand(len(clips), 1, 1, 1, 1, device=clips.device)
    return (clips * (1 + level * (2 * torch.rand(*clips.shape[:2], 1, 1, 1, device=clips.device) - 1))).clamp(0, 1)


CORRUPTIONS: tuple[Callable[[Tensor], Tensor], ...] = (
    shuffle_frames,
    repeat_frames,
    freeze,
    reverse,
    switch_clips,
    add_noise,
    blur,
    flicker,
)


def _select_frames(clips: Tensor, times: Tensor) -> Tensor:
    """Select the frames ``times`` (clips, time) of each clip."""
    return clips[torch.arange(len(clips), device=clips.device)[:, None], times]
