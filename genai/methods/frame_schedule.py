"""Order in which the frames of a clip are generated: window by window, and within a window keyframes first."""

import torch
from torch import Tensor


def generation_order(known: Tensor, frames: int, keyframes: int, overlap: int | None) -> list[tuple[int, Tensor]]:
    """Return the groups of frames that are generated together, in order, as (end of the window, frame indices).

    Args:
        known: (total,) bool; a group without a new frame is left out.
        frames, keyframes, overlap: see ``clip_windows`` and ``keyframe_stages``.
    """
    known, order = known.clone(), []
    for start, end in clip_windows(len(known), frames, overlap):
        for group in (start + stage for stage in keyframe_stages(end - start, keyframes)):
            if not known[group].all():
                order.append((end, group))
                known[group] = True
    return order


def clip_windows(total: int, frames: int, overlap: int | None) -> list[tuple[int, int]]:
    """Split a clip of ``total`` frames into windows (start, end) of at most ``frames``.

    Consecutive windows share ``overlap`` frames (``None``: half), but at least one frame of each is new.
    """
    overlap = frames // 2 if overlap is None else min(overlap, frames - 1)
    if total <= frames:
        return [(0, total)]
    starts = [*range(0, total - frames, frames - overlap), total - frames]
    return [(start, start + frames) for start in starts]


def keyframe_stages(frames: int, keyframes: int) -> list[Tensor]:
    """Return the frame indices of each stage of a window: the first frame, evenly spaced keyframes, all frames."""
    counts = [count for count in (1, keyframes) if keyframes and count < frames]
    return [uniform_indices(frames, count) for count in (*dict.fromkeys(counts), frames)]


def uniform_indices(frames: int, count: int) -> Tensor:
    """Return ``count`` indices out of ``frames``, including the first and the last; for one the first."""
    return torch.linspace(0, frames - 1, count).round().long()
