"""Motion of samples, compared with real clips: amount, smoothness, and whether they jump at the first step."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from genai.core.batch import batch_ranges
from genai.core.errors import UserError
from genai.media.clip import Clip
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.video.clips import real_clips, sample_clips, shrink

MAX_SIDE_PIXELS = 64
"""Larger frames are downscaled to this side."""
BLOCK_PIXELS = 8
"""Side of the blocks that are matched between frames."""
MAX_RELATIVE_MOTION = 1 / 8
"""Search radius for a block in the next frame, relative to the longer side."""
BATCH_SIZE = 16


class MotionStatistics(Metric):
    """Change from frame to frame, and the part of it that motion does not explain; the reference is held-out clips.

    The warp error (after Lai et al. 2018, arXiv:1808.00449) is the difference between the next frame and its blocks,
    each taken from where it fits best in this frame (full search: Jain and Jain 1981, doi:10.1109/TCOM.1981.1094950),
    relative to the contrast of the frames. It is large for things that teleport, change or flicker, and zero for still
    clips. So it is meaningful only together with the amount of motion.
    """

    media = Clip

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``motion_ratio``, ``warp_error`` and ``first_jump``."""
        device = context.model.method.device
        clips = sample_clips(context)
        if clips.shape[1] < 3:
            raise UserError(f"'motion' needs clips of 3 frames or more, not {clips.shape[1]}: frames=.")
        held_out = real_clips(context.val, clips.shape[1], context.n)
        change, warp_error = change_and_warp_error(clips.to(device))
        real_change, real_warp_error = change_and_warp_error(held_out.to(device))
        return {
            "motion_ratio": motion_ratio(change, real_change),
            "warp_error": Result(
                float(warp_error.mean()),
                "difference to the next frame after block motion, as a share of the contrast",
                standard_error_of_mean(warp_error.mean(1)),
                float(real_warp_error.mean()),
            ),
            "first_jump": Result(
                first_jump(warp_error),
                "warp error of the first step over that of the others: 1 is no jump",
                reference=first_jump(real_warp_error),
            ),
        }


def change_and_warp_error(clips: Tensor) -> tuple[Tensor, Tensor]:
    """Return the change and the warp error of each step, (clips, time - 1) both.

    The change is the mean absolute difference in 0..1.

    Args:
        clips: (clips, time, channels, height, width) uint8.
    """
    changes, warp_errors = [], []
    for rows in batch_ranges(len(clips), BATCH_SIZE):
        frames = shrink(clips[rows.start : rows.stop], MAX_SIDE_PIXELS)
        changes.append((frames[:, 1:] - frames[:, :-1]).abs().mean((2, 3, 4)))
        contrast = (frames - frames.mean((3, 4), keepdim=True)).abs().mean((1, 2, 3, 4))
        warp_errors.append(_block_matching_error(frames) / contrast.clamp(min=1e-3)[:, None])
    return torch.cat(changes).cpu(), torch.cat(warp_errors).cpu()


def _block_matching_error(frames: Tensor) -> Tensor:
    """Mean absolute difference of the blocks of a frame to their best match in the previous one: (clips, time - 1)."""
    previous, current = (part.flatten(0, 1) for part in (frames[:, :-1], frames[:, 1:]))
    height, width = current.shape[-2:]
    radius = max(1, round(MAX_RELATIVE_MOTION * max(height, width)))
    padded = pad(previous, (radius,) * 4, mode="replicate")
    best = None
    for y in range(2 * radius + 1):
        for x in range(2 * radius + 1):
            shifted = padded[..., y : y + height, x : x + width]
            error = avg_pool2d((shifted - current).abs().mean(1, keepdim=True), BLOCK_PIXELS, ceil_mode=True)
            best = error if best is None else torch.minimum(best, error)
    assert best is not None
    return best.mean((1, 2, 3)).view(len(frames), -1)


def motion_ratio(change: Tensor, real_change: Tensor) -> Result:
    """Return the change of samples over that of real clips; the reference is the ratio of two halves of real clips."""
    description = "change from frame to frame over that of held-out clips: 1 is the same amount of motion"
    min_change = 1e-6
    scale = max(min_change, float(real_change.mean()))
    reference = None
    if len(real_change) > 1:
        reference = float(real_change[::2].mean()) / max(min_change, float(real_change[1::2].mean()))
    error = standard_error_of_mean(change.mean(1))
    return Result(float(change.mean()) / scale, description, None if error is None else error / scale, reference)


def first_jump(warp_error: Tensor) -> float | None:
    """Return the warp error of the first step over that of the later ones; ``None`` if these have none.

    Args:
        warp_error: (clips, time - 1).
    """
    later_steps = float(warp_error[:, 1:].mean())
    return float(warp_error[:, 0].mean()) / later_steps if later_steps > 1e-6 else None


def standard_error_of_mean(values: Tensor) -> float | None:
    """Standard error of the mean of ``values``; ``None`` for a single value."""
    return float(values.std() / len(values) ** 0.5) if len(values) > 1 else None
