"""How do samples move, beside real clips? How much, how smoothly, and whether they jump where they begin."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from genai.core.batch import batch_ranges
from genai.core.errors import UserError
from genai.media.clip import Clip
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.video.clips import made, real, smaller

SIDE = 64
"""Pixels: larger frames are shrunk to it."""
BLOCK = 8
"""Pixels of a side of what moves as one."""
REACH = 1 / 8
"""Of the longer side: the farthest that something is looked for in the next frame."""
AT_ONCE = 16


class Motion(Metric):
    """Change from frame to frame, and what of it no movement explains, of samples beside held-out clips.

    The warp error (after Lai et al. 2018, arXiv:1808.00449) is what is left of the next frame when each of its blocks
    is taken from where in this frame it fits best (full search: Jain and Jain 1981, doi:10.1109/TCOM.1981.1094950),
    as a share of the contrast of the frames: things that teleport, change or flicker leave much, still ones nothing. So
    it means nothing without the amount of motion beside it.
    """

    media = Clip

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``motion_ratio``, ``warp_error`` and ``first_jump``."""
        clips = made(study)
        if clips.shape[1] < 3:
            raise UserError(f"'motion' needs clips of 3 frames or more, not {clips.shape[1]}: frames=.")
        held = real(study.val, clips.shape[1], study.n)
        (ours, left), (theirs, real_left) = (looked_at(each.to(study.model.method.device)) for each in (clips, held))
        return {
            "motion_ratio": _ratio(ours, theirs),
            "warp_error": Result(
                float(left.mean()),
                "what moving blocks do not explain of the next frame, as a share of the contrast",
                standard_error(left.mean(1)),
                float(real_left.mean()),
            ),
            "first_jump": Result(
                _jump(left),
                "warp error of the first step over that of the others: 1 is no jump",
                beside=_jump(real_left),
            ),
        }


def looked_at(clips: Tensor) -> tuple[Tensor, Tensor]:
    """Of (clips, time, channels, height, width) uint8: change and warp error of each step, (clips, time - 1) both.

    The change is the mean absolute difference in 0..1.
    """
    changes, errors = [], []
    for rows in batch_ranges(len(clips), AT_ONCE):
        frames = smaller(clips[rows.start : rows.stop], SIDE)
        changes.append((frames[:, 1:] - frames[:, :-1]).abs().mean((2, 3, 4)))
        contrast = (frames - frames.mean((3, 4), keepdim=True)).abs().mean((1, 2, 3, 4))
        errors.append(_unexplained(frames) / contrast.clamp(min=1e-3)[:, None])
    return torch.cat(changes).cpu(), torch.cat(errors).cpu()


def _unexplained(frames: Tensor) -> Tensor:
    """(clips, time - 1): mean absolute difference of the blocks of a frame to what fits best in the one before."""
    before, after = (part.flatten(0, 1) for part in (frames[:, :-1], frames[:, 1:]))
    height, width = after.shape[-2:]
    reach = max(1, round(REACH * max(height, width)))
    ground = pad(before, (reach,) * 4, mode="replicate")
    best = None
    for y in range(2 * reach + 1):
        for x in range(2 * reach + 1):
            there = ground[..., y : y + height, x : x + width]
            found = avg_pool2d((there - after).abs().mean(1, keepdim=True), BLOCK, ceil_mode=True)
            best = found if best is None else torch.minimum(best, found)
    assert best is not None
    return best.mean((1, 2, 3)).view(len(frames), -1)


def _ratio(ours: Tensor, theirs: Tensor) -> Result:
    """Change of samples over that of real clips, beside that of half of these over the other half."""
    about = "change from frame to frame over that of held-out clips: 1 is as much motion as theirs"
    least = 1e-6
    scale = max(least, float(theirs.mean()))
    halves = float(theirs[::2].mean()) / max(least, float(theirs[1::2].mean())) if len(theirs) > 1 else None
    error = standard_error(ours.mean(1))
    return Result(float(ours.mean()) / scale, about, None if error is None else error / scale, halves)


def _jump(errors: Tensor) -> float | None:
    others = float(errors[:, 1:].mean())
    return float(errors[:, 0].mean()) / others if others > 1e-6 else None


def standard_error(values: Tensor) -> float | None:
    """Of the mean of ``values``; ``None`` of a single one."""
    return float(values.std() / len(values) ** 0.5) if len(values) > 1 else None
