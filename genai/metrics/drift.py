"""What becomes of clips that are made much longer than those the model learnt from? Their parts beside real clips."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from genai.data.world_motion import WorldMotion
from genai.errors import Mistake
from genai.metrics.base import Figure, Metric, Study, attributes
from genai.metrics.films import made, real, smaller
from genai.metrics.motion import SIDE, looked_at, standard_error
from genai.metrics.moving import check_watchable
from genai.modalities.clip import Clip
from genai.world.motion import Motion, parse
from genai.world.moving import draw
from genai.world.watcher import fulfilled, watch

MARKS = (16, 32, 64, 128)
"""Frames at which a clip is looked at."""
PART = 16
"""Frames up to there that are looked at."""
MOST = 32
"""Clips, however many samples are wanted: they are long."""
LASTING = ("shape", "colour")
"""What a thing of the toy world keeps, wherever it bounces to."""
_SAID = {
    "contrast": "standard deviation of the pixels of a frame, in 0..1",
    "motion": "change from frame to frame, in 0..1",
    "warp": "warp error",
}


class Drift(Metric):
    """Long clips of prompts of the held-out split, looked at wherever they have as many frames as ``MARKS`` say.

    What fades loses contrast, what freezes loses motion, what falls apart gains warp error (see ``motion``). The first
    frames are those of any sample; the later ones should be like them. In the toy world it is also seen whether shape
    and colour are still those of the prompt. ``frames=`` makes the clips shorter.
    """

    media = Clip

    def measure(self, study: Study) -> dict[str, Figure]:
        """``drift_contrast_16``, ``drift_motion_16``, ``drift_warp_16``, and the same of each further mark.

        In the toy world also ``drift_shape_16`` and ``drift_colour_16``.
        """
        frames = int(study.options.get("frames") or MARKS[-1])
        marks = [mark for mark in MARKS if mark <= frames]
        if len(marks) < 2:
            raise Mistake(f"'drift' needs clips of {MARKS[1]} frames or more, not {frames}: frames=.")
        modality: Any = study.model.modality
        prompts = study.source.prompts(study.source.val, min(study.n, MOST), study.seed)
        clips = made(replace(study, options={**study.options, "frames": frames}, _drawn={}), prompts)
        held = real(study.val, min(PART, modality.frames), len(prompts))
        figures = looks(clips.to(study.model.method.device), held.to(study.model.method.device), marks)
        if isinstance(study.source, WorldMotion):
            motions = [parse(prompt) for prompt in prompts]
            figures |= lasting(motions, clips, marks, study.seed, modality.fps)
        return figures


def looks(clips: Tensor, held: Tensor, marks: Sequence[int]) -> dict[str, Figure]:
    """How (clips, time, channels, height, width) look up to each of ``marks``, beside the clips ``held``."""
    theirs, ours = _look(held), {mark: _look(clips[:, mark - PART : mark]) for mark in marks}
    return {
        f"drift_{name}_{mark}": Figure(
            float(values[name].mean()),
            f"{said}, {_where(mark, len(clips))}",
            standard_error(values[name]),
            float(theirs[name].mean()),
        )
        for name, said in _SAID.items()
        for mark, values in ours.items()
    }


def lasting(motions: Sequence[Motion], clips: Tensor, marks: Sequence[int], seed: int, fps: float) -> dict[str, Figure]:
    """Shares of the ``clips`` of ``motions`` that still have what lasts, beside real clips as long.

    Raises:
        Mistake: clips that the toy world does not have.
    """
    ours = clips.cpu().numpy()
    check_watchable(ours)
    theirs, _ = draw(motions, np.random.default_rng(seed), ours.shape[-1], ours.shape[1], fps)
    asked = [Motion(tuple(replace(thing, direction=None, speed=None) for thing in motion.things)) for motion in motions]
    figures: dict[str, Figure] = {}
    for mark in marks:
        answers, real_answers = (
            [fulfilled(*pair) for pair in zip(asked, watch(each[:, mark - PART : mark], fps), strict=True)]
            for each in (ours, theirs)
        )
        said = {name: f"share with the {name} right, {_where(mark, len(clips))}" for name in LASTING}
        found = attributes(answers, real_answers, said)
        figures |= {f"drift_{name}_{mark}": found[name] for name in LASTING}
    return figures


def _look(clips: Tensor) -> dict[str, Tensor]:
    """(clips,) of each name of ``_SAID``."""
    change, left = looked_at(clips)
    contrast = smaller(clips, SIDE).flatten(3).std(3).mean((1, 2)).cpu()
    return {"contrast": contrast, "motion": change.mean(1), "warp": left.mean(1)}


def _where(mark: int, count: int) -> str:
    return f"frames {mark - PART + 1} to {mark} of {count} clips"
