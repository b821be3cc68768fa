"""Drift of long clips of the toy world: the shape and the color that later frames still have."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from genai.metrics.base import EvalContext, Result, attributes
from genai.metrics.video.drift import PART, Drift, frames_label
from genai.toy.data.video import ToyVideo
from genai.toy.metrics.video import check_watchable
from genai.toy.world.motion import Motion, parse
from genai.toy.world.trajectories import draw
from genai.toy.world.video_oracle import fulfilled, watch

ATTRIBUTES = ("shape", "colour")
"""Attributes of a thing that stay the same wherever it bounces to."""


class ToyDrift(Drift):
    """``Drift``, with ``drift_shape_16``, ``drift_colour_16``, and the same of each further mark."""

    source = ToyVideo

    def attributes(
        self, study: EvalContext, prompts: Sequence[str], clips: Tensor, marks: Sequence[int]
    ) -> dict[str, Result]:
        motions = [parse(prompt) for prompt in prompts]
        fps = study.model.modality.fps  # type: ignore[attr-defined]
        return shares(motions, clips, marks, study.seed, fps)


def shares(motions: Sequence[Motion], clips: Tensor, marks: Sequence[int], seed: int, fps: float) -> dict[str, Result]:
    """Shares of the ``clips`` of ``motions`` that still have what lasts, beside real clips as long.

    Raises:
        UserError: clips that the toy world does not have.
    """
    ours = clips.cpu().numpy()
    check_watchable(ours)
    theirs, _ = draw(motions, np.random.default_rng(seed), ours.shape[-1], ours.shape[1], fps)
    asked = [Motion(tuple(replace(thing, direction=None, speed=None) for thing in motion.things)) for motion in motions]
    figures: dict[str, Result] = {}
    for mark in marks:
        answers, real_answers = (
            [fulfilled(*pair) for pair in zip(asked, watch(each[:, mark - PART : mark], fps), strict=True)]
            for each in (ours, theirs)
        )
        said = {name: f"share with the {name} right, {frames_label(mark, len(clips))}" for name in ATTRIBUTES}
        found = attributes(answers, real_answers, said)
        figures |= {f"drift_{name}_{mark}": found[name] for name in ATTRIBUTES}
    return figures
