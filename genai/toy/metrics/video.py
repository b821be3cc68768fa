"""Does a model of the toy world show what it is asked for, moving as it is asked? The oracle watches each sample."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from genai.core.errors import UserError
from genai.metrics.base import EvalContext, Metric, Result, attributes, share
from genai.metrics.video.clips import stacked
from genai.toy.data.video import ToyVideo
from genai.toy.world.motion import DIRECTIONS, SPEEDS, Motion, Mover, parse
from genai.toy.world.trajectories import draw
from genai.toy.world.video_oracle import LEAST_AGREEMENT, MOST_STRAY, Seen, all_right, fulfilled, watch

LEAST_SIDE = 16
BESIDES = ("identity", "path")
"""What is no attribute of a prompt, and right only of what is cleanly made."""
_SAID = {
    "direction": f"share with the direction right, of {len(DIRECTIONS)}",
    "speed": f"share with the speed right, of {len(SPEEDS)}, and one that the world has",
    "identity": f"share that keeps shape and colour in {LEAST_AGREEMENT:.0%} of the frames",
    "path": f"share that moves all the time, {MOST_STRAY:.0%} of the side or less from a straight way between walls",
}


class Moving(Metric):
    """Whether samples have the attributes that their prompts name, beside real clips of the same prompts.

    Prompts are fresh captions that name every attribute: of combinations that were trained on and, apart, of those
    that were held out. ``fulfilment`` asks for all attributes at once, ``strict`` also for identity and path.
    """

    source = ToyVideo

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``fulfilment`` and ``strict``, each also ``_held_out``; one figure an attribute, ``direction_45``,
        ``identity``, ``path``.
        """
        figures: dict[str, Result] = {}
        for suffix, (prompts, kind) in study.asked().items():
            motions = [parse(prompt) for prompt in prompts]
            ours, theirs = _watched(study, prompts, motions)
            about = f"of {len(motions)} prompts of {kind}"
            figures[f"fulfilment{suffix}"] = share(
                _fulfilled(motions, ours), f"share with every attribute right, {about}", _fulfilled(motions, theirs)
            )
            figures[f"strict{suffix}"] = share(
                _strict(motions, ours),
                f"share that also keeps its identity and its path, {about}",
                _strict(motions, theirs),
            )
            if not suffix:
                figures |= _attributes(motions, ours, theirs)
        return figures


def _watched(study: EvalContext, prompts: Sequence[str], motions: Sequence[Motion]) -> tuple[list[Seen], list[Seen]]:
    """What is seen in the samples, and in as many real clips of their kind."""
    made, real, fps = pairs(study, prompts, motions)
    return watch(made, fps), watch(real, fps)


def pairs(
    study: EvalContext, prompts: Sequence[str], motions: Sequence[Motion]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], float]:
    """Samples, as many real clips of their kind, (clips, time, 3, side, side) both, and their frames a second.

    Raises:
        UserError: the oracle cannot watch such clips.
    """
    samples = study.samples(prompts)
    clips, fps = stacked(samples).numpy(), samples[0].fps
    check_watchable(clips)
    real, _ = draw(motions, np.random.default_rng(study.seed), clips.shape[-1], clips.shape[1], fps)
    return clips, real, fps


def check_watchable(clips: NDArray[np.uint8]) -> None:
    """Raises ``UserError`` for ``clips`` (clips, time, channels, height, width) that the world does not have."""
    frames, channels, height, width = clips.shape[1:]
    if channels != 3:
        raise UserError("the oracle sees colours: this model makes grey clips. Choose other metrics=.")
    if height != width or height < LEAST_SIDE or frames < 2:
        raise UserError(
            f"the oracle watches squares of {LEAST_SIDE} pixels or more over 2 frames or more, not {frames} frames of "
            f"{width} x {height}. Choose other metrics=."
        )


def _fulfilled(motions: Sequence[Motion], seen: Sequence[Seen]) -> list[bool]:
    answers = [fulfilled(*pair) for pair in zip(motions, seen, strict=True)]
    return [all(right for name, right in answer.items() if name not in BESIDES) for answer in answers]


def _strict(motions: Sequence[Motion], seen: Sequence[Seen]) -> list[bool]:
    return [all_right(*pair) for pair in zip(motions, seen, strict=True)]


def _attributes(motions: Sequence[Motion], ours: Sequence[Seen], theirs: Sequence[Seen]) -> dict[str, Result]:
    """One figure an attribute that was asked for, and what comes besides."""
    answered, real = ([fulfilled(*pair) for pair in zip(motions, seen, strict=True)] for seen in (ours, theirs))
    near = [[_nearly(*pair) for pair in zip(motions, seen, strict=True)] for seen in (ours, theirs)]
    about = f"share with the direction right within 45 degrees, 3 of {len(DIRECTIONS)}"
    return attributes(answered, real, _SAID) | {"direction_45": share(near[0], about, near[1])}


def _nearly(asked: Motion, seen: Seen) -> bool:
    """Whether each direction is right, or the next to the left or right."""
    turned = product(*(_neighbours(thing) for thing in asked.things))
    return any(fulfilled(Motion(things), seen)["direction"] for things in turned)


def _neighbours(thing: Mover) -> list[Mover]:
    names = list(DIRECTIONS)
    at = names.index(thing.direction or "")
    return [replace(thing, direction=names[(at + turn) % len(names)]) for turn in (-1, 0, 1)]
