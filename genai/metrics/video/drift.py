"""What becomes of clips that are made much longer than those the model learnt from? Their parts beside real clips."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from genai.core.errors import UserError
from genai.media.clip import Clip
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.video.clips import made, real, smaller
from genai.metrics.video.motion import SIDE, looked_at, standard_error

MARKS = (16, 32, 64, 128)
"""Frames at which a clip is looked at."""
PART = 16
"""Frames up to there that are looked at."""
MOST = 32
"""Clips, however many samples are wanted: they are long."""
_SAID = {
    "contrast": "standard deviation of the pixels of a frame, in 0..1",
    "motion": "change from frame to frame, in 0..1",
    "warp": "warp error",
}


class Drift(Metric):
    """Long clips of prompts of the held-out split, looked at wherever they have as many frames as ``MARKS`` say.

    What fades loses contrast, what freezes loses motion, what falls apart gains warp error (see ``motion``). The first
    frames are those of any sample; the later ones should be like them. ``frames=`` makes the clips shorter.
    """

    media = Clip

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``drift_contrast_16``, ``drift_motion_16``, ``drift_warp_16``, and the same of each further mark."""
        frames = int(study.options.get("frames") or MARKS[-1])
        marks = [mark for mark in MARKS if mark <= frames]
        if len(marks) < 2:
            raise UserError(f"'drift' needs clips of {MARKS[1]} frames or more, not {frames}: frames=.")
        modality: Any = study.model.modality
        prompts = study.source.prompts(study.source.val, min(study.n, MOST), study.seed)
        clips = made(replace(study, options={**study.options, "frames": frames}, _drawn={}), prompts)
        held = real(study.val, min(PART, modality.frames), len(prompts))
        figures = looks(clips.to(study.model.method.device), held.to(study.model.method.device), marks)
        return figures | self.attributes(study, prompts, clips, marks)

    def attributes(
        self, study: EvalContext, prompts: Sequence[str], clips: Tensor, marks: Sequence[int]
    ) -> dict[str, Result]:
        """Further figures of the ``clips`` of ``prompts`` at each mark, where the data can tell more."""
        return {}


def looks(clips: Tensor, held: Tensor, marks: Sequence[int]) -> dict[str, Result]:
    """How (clips, time, channels, height, width) look up to each of ``marks``, beside the clips ``held``."""
    theirs, ours = _look(held), {mark: _look(clips[:, mark - PART : mark]) for mark in marks}
    return {
        f"drift_{name}_{mark}": Result(
            float(values[name].mean()),
            f"{said}, {frames_label(mark, len(clips))}",
            standard_error(values[name]),
            float(theirs[name].mean()),
        )
        for name, said in _SAID.items()
        for mark, values in ours.items()
    }


def _look(clips: Tensor) -> dict[str, Tensor]:
    """(clips,) of each name of ``_SAID``."""
    change, left = looked_at(clips)
    contrast = smaller(clips, SIDE).flatten(3).std(3).mean((1, 2)).cpu()
    return {"contrast": contrast, "motion": change.mean(1), "warp": left.mean(1)}


def frames_label(mark: int, count: int) -> str:
    """Which frames of how many clips a figure is of."""
    return f"frames {mark - PART + 1} to {mark} of {count} clips"
