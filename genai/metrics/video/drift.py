"""Drift of clips that are much longer than the training clips: statistics of later frames, compared with real clips."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from genai.core.errors import UserError
from genai.media.clip import Clip
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.video.clips import real_clips, sample_clips, shrink
from genai.metrics.video.motion import MAX_SIDE_PIXELS, change_and_warp_error, standard_error_of_mean

END_FRAMES = (16, 32, 64, 128)
"""Numbers of frames at whose end a clip is measured."""
WINDOW_FRAMES = 16
"""Frames that are measured at each end."""
MAX_CLIPS = 32
"""Maximum number of clips, whatever ``n`` is: they are long."""
_DESCRIPTIONS = {
    "contrast": "standard deviation of the pixels of a frame, in 0..1",
    "motion": "change from frame to frame, in 0..1",
    "warp": "warp error",
}


class Drift(Metric):
    """Contrast, motion and warp error of long clips, measured in the frames before each of ``END_FRAMES``.

    Clips that fade lose contrast, clips that freeze lose motion, and clips that fall apart gain warp error (see
    ``MotionStatistics``). The reference is held-out clips. Prompts are from the held-out split. ``frames=`` makes the
    clips shorter.
    """

    media = Clip

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``drift_contrast_16``, ``drift_motion_16``, ``drift_warp_16``, and the same for the later frames."""
        num_frames = int(context.options.get("frames") or END_FRAMES[-1])
        end_frames = [end for end in END_FRAMES if end <= num_frames]
        if len(end_frames) < 2:
            raise UserError(f"'drift' needs clips of {END_FRAMES[1]} frames or more, not {num_frames}: frames=.")
        modality: Any = context.model.modality
        device = context.model.method.device
        prompts = context.source.prompts(context.source.val, min(context.n, MAX_CLIPS), context.seed)
        options = {**context.options, "frames": num_frames}
        clips = sample_clips(replace(context, options=options, _sample_cache={}), prompts)
        held_out = real_clips(context.val, min(WINDOW_FRAMES, modality.frames), len(prompts))
        results = drift_results(clips.to(device), held_out.to(device), end_frames)
        return results | self.attribute_results(context, prompts, clips, end_frames)

    def attribute_results(
        self, context: EvalContext, prompts: Sequence[str], clips: Tensor, end_frames: Sequence[int]
    ) -> dict[str, Result]:
        """Return further results of the ``clips`` of ``prompts``; subclasses for special data override it."""
        return {}


def drift_results(clips: Tensor, held_out: Tensor, end_frames: Sequence[int]) -> dict[str, Result]:
    """Measure (clips, time, channels, height, width) before each of ``end_frames``; the reference is ``held_out``."""
    reference = _window_statistics(held_out)
    windows = {end: _window_statistics(clips[:, end - WINDOW_FRAMES : end]) for end in end_frames}
    return {
        f"drift_{name}_{end}": Result(
            float(statistics[name].mean()),
            f"{description}, {frames_label(end, len(clips))}",
            standard_error_of_mean(statistics[name]),
            float(reference[name].mean()),
        )
        for name, description in _DESCRIPTIONS.items()
        for end, statistics in windows.items()
    }


def _window_statistics(clips: Tensor) -> dict[str, Tensor]:
    """Return a value per clip (clips,) for each name in ``_DESCRIPTIONS``."""
    change, warp_error = change_and_warp_error(clips)
    contrast = shrink(clips, MAX_SIDE_PIXELS).flatten(3).std(3).mean((1, 2)).cpu()
    return {"contrast": contrast, "motion": change.mean(1), "warp": warp_error.mean(1)}


def frames_label(end: int, num_clips: int) -> str:
    """Describe the frames before ``end`` and the number of clips."""
    return f"frames {end - WINDOW_FRAMES + 1} to {end} of {num_clips} clips"
