"""Prompt accuracy of models of toy clips: the video oracle checks each sample exactly."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genai.core.errors import UserError
from genai.metrics.base import EvalContext, Metric, Result, attribute_results, proportion_result
from genai.metrics.judge import Judge
from genai.metrics.video.clips import stack_clips
from genai.toy.data.video import ToyVideo
from genai.toy.world.motion import DIRECTIONS, SPEEDS, Motion, MovingThing, caption_motion, parse_motion
from genai.toy.world.trajectories import render_clips
from genai.toy.world.video_oracle import (
    MAX_PATH_ERROR,
    MIN_CONSISTENCY,
    MotionDetection,
    detect_motions,
    is_motion_match,
    match_motion,
)

MIN_SIDE_PIXELS = 16
QUALITY_CHECKS = ("identity", "path")
"""Keys of ``match_motion`` that are no attributes of the prompt, but are true only for clean clips."""
_DESCRIPTIONS = {
    "direction": f"share with the direction right, of {len(DIRECTIONS)}",
    "speed": f"share with the speed right, of {len(SPEEDS)}, within the ranges of the toy world",
    "identity": f"share that keeps shape and color in {MIN_CONSISTENCY:.0%} of the frames",
    "path": f"share that moves all the time, within {MAX_PATH_ERROR:.0%} of the side of a straight path between walls",
}


class MotionPromptAccuracy(Metric):
    """Whether samples have the attributes that their prompts name; the reference is real clips of the same prompts.

    Prompts are new captions that name every attribute, of training combinations and, separately, of held-out ones.
    ``fulfilment`` requires all attributes at once, ``strict`` also identity and path.
    """

    source = ToyVideo

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``fulfilment`` and ``strict``, each also ``_held_out``, and results for training combinations only.

        These are one result per attribute, ``direction_45``, ``identity`` and ``path``.
        """
        results: dict[str, Result] = {}
        for suffix, (prompts, kind) in context.prompt_sets().items():
            motions = [parse_motion(prompt) for prompt in prompts]
            clips, real_clips, fps = sample_and_real_clips(context, prompts, motions)
            samples, real = detect_motions(clips, fps), detect_motions(real_clips, fps)
            kind_label = f"of {len(motions)} prompts of {kind}"
            results[f"fulfilment{suffix}"] = proportion_result(
                _attributes_match(motions, samples),
                f"share with every attribute right, {kind_label}",
                _attributes_match(motions, real),
            )
            results[f"strict{suffix}"] = proportion_result(
                [is_motion_match(*pair) for pair in zip(motions, samples, strict=True)],
                f"share that also keeps its identity and its path, {kind_label}",
                [is_motion_match(*pair) for pair in zip(motions, real, strict=True)],
            )
            if not suffix:
                results |= _attribute_results(motions, samples, real)
        return results

    def judge(self, context: EvalContext) -> "MotionJudge":
        return MotionJudge()


class MotionJudge(Judge):
    """The video oracle: all attributes of the prompt have to be right."""

    def matches(self, samples: list[Any], prompts: Sequence[str]) -> list[bool | None]:
        return [*_attributes_match([parse_motion(prompt) for prompt in prompts], _detect_samples(samples))]

    def caption(self, samples: list[Any]) -> list[str]:
        rng, motions = np.random.default_rng(0), [each.motion for each in _detect_samples(samples)]
        return [caption_motion(motion, rng) if motion and motion.is_complete else "" for motion in motions]


def _detect_samples(samples: list[Any]) -> list[MotionDetection]:
    """Return the detections in clips. Raises ``UserError`` for clips that the oracle cannot read."""
    clips = stack_clips(samples).numpy()
    check_clip_shape(clips)
    return detect_motions(clips, samples[0].fps)


def sample_and_real_clips(
    context: EvalContext, prompts: Sequence[str], motions: Sequence[Motion]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], float]:
    """Return samples, real clips of the same motions, both (clips, time, 3, side, side), and their frame rate.

    Raises:
        UserError: clips that the oracle cannot read.
    """
    samples = context.samples(prompts)
    clips, fps = stack_clips(samples).numpy(), samples[0].fps
    check_clip_shape(clips)
    real, _ = render_clips(motions, np.random.default_rng(context.seed), clips.shape[-1], clips.shape[1], fps)
    return clips, real, fps


def check_clip_shape(clips: NDArray[np.uint8]) -> None:
    """Raise ``UserError`` for ``clips`` (clips, time, channels, height, width) that the oracle cannot read."""
    frames, channels, height, width = clips.shape[1:]
    if channels != 3:
        raise UserError("the video oracle needs color clips; this model generates gray ones. Choose other metrics=.")
    if height != width or height < MIN_SIDE_PIXELS or frames < 2:
        raise UserError(
            f"the video oracle needs squares of {MIN_SIDE_PIXELS} pixels or more and 2 frames or more, not {frames} "
            f"frames of {width} x {height}. Choose other metrics=."
        )


def _attributes_match(motions: Sequence[Motion], detections: Sequence[MotionDetection]) -> list[bool]:
    answers = [match_motion(*pair) for pair in zip(motions, detections, strict=True)]
    return [all(right for name, right in answer.items() if name not in QUALITY_CHECKS) for answer in answers]


def _attribute_results(
    motions: Sequence[Motion], samples: Sequence[MotionDetection], real: Sequence[MotionDetection]
) -> dict[str, Result]:
    """Return one result per attribute of the prompts, ``identity``, ``path`` and ``direction_45``."""
    answers, real_answers = (
        [match_motion(*pair) for pair in zip(motions, detections, strict=True)] for detections in (samples, real)
    )
    within_45, real_within_45 = (
        [_direction_within_45(*pair) for pair in zip(motions, detections, strict=True)]
        for detections in (samples, real)
    )
    description = f"share with the direction right within 45 degrees, 3 of {len(DIRECTIONS)}"
    results = attribute_results(answers, real_answers, _DESCRIPTIONS)
    return results | {"direction_45": proportion_result(within_45, description, real_within_45)}


def _direction_within_45(target: Motion, detection: MotionDetection) -> bool:
    """Tell whether each direction is right or a neighboring one."""
    variants = product(*(_neighbor_directions(thing) for thing in target.things))
    return any(match_motion(Motion(things), detection)["direction"] for things in variants)


def _neighbor_directions(thing: MovingThing) -> list[MovingThing]:
    """Return ``thing`` with its direction and the two neighboring ones."""
    names = list(DIRECTIONS)
    index = names.index(thing.direction or "")
    return [replace(thing, direction=names[(index + step) % len(names)]) for step in (-1, 0, 1)]
