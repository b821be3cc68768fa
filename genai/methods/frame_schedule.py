"""In which order the frames of a clip are made: window by window, and of each window from one frame to all."""

import torch
from torch import Tensor


def parts(known: Tensor, frames: int, keyframes: int, overlap: int | None) -> list[tuple[int, Tensor]]:
    """Which frames are made at once, one part after the other, each with the end of its window; none that has nothing
    new. ``known`` (total,): which there are already."""
    known, order = known.clone(), []
    for start, end in windows(len(known), frames, overlap):
        for part in (start + at for at in stages(end - start, keyframes)):
            if not known[part].all():
                order.append((end, part))
                known[part] = True
    return order


def windows(total: int, frames: int, overlap: int | None) -> list[tuple[int, int]]:
    """From where to where a clip of ``total`` frames is made at once, ``frames`` at most, ``overlap`` of them again.

    At least one of a window is new, however many should overlap.
    """
    again = frames // 2 if overlap is None else min(overlap, frames - 1)
    if total <= frames:
        return [(0, total)]
    starts = [*range(0, total - frames, frames - again), total - frames]
    return [(start, start + frames) for start in starts]


def stages(frames: int, keyframes: int) -> list[Tensor]:
    """Which frames of a window are made at once, one stage after the other: the first, some, all."""
    counts = [count for count in (1, keyframes) if keyframes and count < frames]
    return [spaced(frames, count) for count in (*dict.fromkeys(counts), frames)]


def spaced(frames: int, count: int) -> Tensor:
    """(count,) of ``frames``, the first and the last among them; of one the first."""
    return torch.linspace(0, frames - 1, count).round().long()
