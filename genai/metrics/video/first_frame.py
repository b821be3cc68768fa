"""Clips that start from a given first frame: whether the second one jumps or blurs, and whether they move."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from genai.core.errors import UserError
from genai.media.clip import Clip
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.video.clips import check_frame_rate, clip_prompts, continue_clips, real_clips, shrink
from genai.metrics.video.motion import MAX_SIDE_PIXELS, change_and_warp_error, first_jump, motion_ratio

MAX_CLIPS = 32
"""Maximum number of clips, whatever ``n`` is: each is generated separately."""
LATER_FRAMES = 8
"""Frames after the given one at which the detail is measured again."""


class FirstFrame(Metric):
    """Samples that start from the first frames of held-out clips, with their prompts; the reference is these clips.

    A model can keep the given frame exactly, and lose it at the next: with a jump, which ``first_jump_i2v`` shows, or
    with a blur, which ``detail_kept_i2v`` shows. A clip that stands still has neither; ``motion_ratio_i2v`` shows that.
    """

    media = Clip

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``first_jump_i2v``, ``detail_kept_i2v``, ``detail_later_i2v`` and ``motion_ratio_i2v``."""
        check_frame_rate(context)
        modality: Any = context.model.modality
        num_frames = int(context.options.get("frames") or modality.frames)
        if num_frames < 3:
            raise UserError(f"'first_frame' needs clips of 3 frames or more, not {num_frames}: frames=.")
        limit = min(context.n, MAX_CLIPS)
        clips = real_clips(context.val, num_frames, limit)
        predicted = continue_clips(context, clips, clip_prompts(context.val, num_frames, limit), 1)
        if predicted.shape[1] < 2:
            raise UserError("'first_frame' needs a model that continues clips by two frames or more.")
        samples = torch.cat([clips[:, :1], predicted], 1)
        return first_frame_results(samples, clips[:, : samples.shape[1]], context.model.method.device)


def first_frame_results(samples: Tensor, clips: Tensor, device: torch.device) -> dict[str, Result]:
    """Measure ``samples``, whose first frames are those of ``clips``: (clips, time, channels, height, width) uint8."""
    samples, clips = samples.to(device), clips.to(device)
    change, warp_error = change_and_warp_error(samples)
    real_change, real_warp_error = change_and_warp_error(clips)
    later = min(LATER_FRAMES, samples.shape[1] - 1)
    details, real_details = frame_details(samples), frame_details(clips)
    number = f"of {len(samples)} clips from their first frame"
    motion = motion_ratio(change, real_change)
    return {
        "first_jump_i2v": Result(
            first_jump(warp_error),
            f"warp error of the step from the given frame over that of the later steps, {number}: 1 is no jump",
            reference=first_jump(real_warp_error),
        ),
        "detail_kept_i2v": _detail_ratio(details, real_details, 1, f"detail of the second frame {number}"),
        "detail_later_i2v": _detail_ratio(details, real_details, later, f"detail {later} frames later {number}"),
        "motion_ratio_i2v": Result(motion.value, f"{motion.description}, {number}", motion.standard_error),
    }


def frame_details(clips: Tensor) -> Tensor:
    """Return the contrast of the fine details of each frame, in 0..1: (clips, time).

    It is the root mean square difference to the mean of the 3 x 3 pixels around. Motion keeps it, a blur lowers it.

    Args:
        clips: (clips, time, channels, height, width) uint8.
    """
    frames = shrink(clips, MAX_SIDE_PIXELS)
    smooth = avg_pool2d(pad(frames.flatten(0, 1), (1,) * 4, mode="replicate"), 3, stride=1)
    return (frames - smooth.view_as(frames)).square().mean((2, 3, 4)).sqrt().cpu()


def _detail_ratio(details: Tensor, real_details: Tensor, frame: int, description: str) -> Result:
    """Return the detail of a frame over that of the first one, of all clips together."""
    values = [
        float(each[:, frame].mean()) / first if (first := float(each[:, 0].mean())) > 1e-4 else None
        for each in (details, real_details)
    ]
    return Result(values[0], f"{description}, over that of the given one: 1 is as sharp", reference=values[1])
