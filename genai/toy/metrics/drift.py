"""Drift of long toy clips: whether later frames still have the shape, color and speed of the prompt, and move on."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from genai.metrics.base import EvalContext, Result, attribute_results
from genai.metrics.video.drift import WINDOW_FRAMES, Drift, frames_label
from genai.toy.data.video import ToyVideo
from genai.toy.metrics.video import check_clip_shape
from genai.toy.world.motion import Motion, parse_motion
from genai.toy.world.trajectories import render_clips
from genai.toy.world.video_oracle import detect_motions, match_motion

CONSTANT_ATTRIBUTES = ("shape", "color", "speed")
"""Attributes of a thing that do not change at a bounce."""
CHECKS = (*CONSTANT_ATTRIBUTES, "path")
"""Keys of ``match_motion`` that are measured; ``path`` is false for things that tremble, stand still or jump."""


class ToyDrift(Drift):
    """``Drift`` with a result for each of ``CHECKS``, such as ``drift_shape_16``, and the same for the later frames."""

    source = ToyVideo

    def attribute_results(
        self, context: EvalContext, prompts: Sequence[str], clips: Tensor, end_frames: Sequence[int]
    ) -> dict[str, Result]:
        motions = [parse_motion(prompt) for prompt in prompts]
        fps = context.model.modality.fps  # type: ignore[attr-defined]
        return drift_attribute_results(motions, clips, end_frames, context.seed, fps)


def drift_attribute_results(
    motions: Sequence[Motion], clips: Tensor, end_frames: Sequence[int], seed: int, fps: float
) -> dict[str, Result]:
    """Measure whether ``clips`` of ``motions`` pass ``CHECKS``; the reference is real clips of the same length.

    Raises:
        UserError: clips that the oracle cannot read.
    """
    samples = clips.cpu().numpy()
    check_clip_shape(samples)
    real, _ = render_clips(motions, np.random.default_rng(seed), samples.shape[-1], samples.shape[1], fps)
    targets = [Motion(tuple(replace(thing, direction=None) for thing in motion.things)) for motion in motions]
    results: dict[str, Result] = {}
    for end in end_frames:
        answers, real_answers = (
            [
                match_motion(*pair)
                for pair in zip(targets, detect_motions(pixels[:, end - WINDOW_FRAMES : end], fps), strict=True)
            ]
            for pixels in (samples, real)
        )
        label = frames_label(end, len(clips))
        descriptions = {name: f"share with the {name} right, {label}" for name in CONSTANT_ATTRIBUTES}
        descriptions["path"] = f"share that moves on a straight path between walls, {label}"
        end_results = attribute_results(answers, real_answers, descriptions)
        results |= {f"drift_{name}_{end}": end_results[name] for name in CHECKS}
    return results
