"""Does a model of the toy world draw what it is asked for? The oracle reads each sample; the answers are exact."""

from collections.abc import Sequence

import numpy as np

from genai.core.errors import UserError
from genai.metrics.base import EvalContext, Metric, Result, attributes, share
from genai.toy.data.image import ToyImages
from genai.toy.world.draw import draw
from genai.toy.world.image_oracle import STRICT, Reading, all_right, fulfilled, read
from genai.toy.world.scene import PLACES, Scene, parse


class Obedience(Metric):
    """Whether samples have the attributes that their prompts name, beside real pictures of the same prompts.

    Prompts are fresh captions that name every attribute: of combinations that were trained on and, apart, of those
    that were held out. ``fulfilment`` asks for all attributes at once. What guidance gains there it loses in diversity,
    so ``place_spread`` stands beside that of real pictures.
    """

    source = ToyImages

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``fulfilment`` and ``strict``, each also ``_held_out``; one figure an attribute, ``place_spread``."""
        figures: dict[str, Result] = {}
        for suffix, (prompts, kind) in study.asked().items():
            scenes = [parse(prompt) for prompt in prompts]
            seen, size = self._seen(study, prompts)
            real = read(draw(scenes, size, np.random.default_rng(study.seed)))
            right = [all_right(*pair) for pair in zip(scenes, seen, strict=True)]
            about = f"share with every attribute right, of {len(scenes)} prompts of {kind}"
            beside = [all_right(*pair) for pair in zip(scenes, real, strict=True)]
            figures[f"fulfilment{suffix}"] = share(right, about, beside)
            figures[f"strict{suffix}"] = _strict(right, seen, beside, real)
            if not suffix:
                figures |= _attributes(scenes, seen, real)
                figures |= _spread(scenes, seen, real, size)
        return figures

    def _seen(self, study: EvalContext, prompts: Sequence[str]) -> tuple[list[Reading], int]:
        """Readings of the samples, and their side in pixels."""
        pixels = [sample.pixels for sample in study.samples(prompts)]
        height, width, channels = pixels[0].shape
        if channels != 3:
            raise UserError("'world' reads colours: this model draws grey pictures. Choose other metrics=.")
        if height != width or height < 16:
            raise UserError(
                f"'world' reads squares of 16 pixels or more, not {width} x {height}. Choose other metrics=."
            )
        return read(np.stack(pixels)), height


def _strict(
    right: Sequence[bool], seen: Sequence[Reading], real_right: Sequence[bool], real: Sequence[Reading]
) -> Result:
    def clean(right: Sequence[bool], readings: Sequence[Reading]) -> list[bool]:
        return [ok and reading.overlap >= STRICT for ok, reading in zip(right, readings, strict=True)]

    about = f"share that is fulfilled and cleanly drawn (overlap with the ideal outline at least {STRICT})"
    return share(clean(right, seen), about, clean(real_right, real))


def _attributes(scenes: Sequence[Scene], seen: Sequence[Reading], real: Sequence[Reading]) -> dict[str, Result]:
    """One figure an attribute that was asked for; of two things also ``binding`` and ``relation``."""
    ours, theirs = ([fulfilled(*pair) for pair in zip(scenes, readings, strict=True)] for readings in (seen, real))
    said = {"binding": "share with each colour on its own shape", "relation": "share with the relation right"}
    return attributes(ours, theirs, said)


def _spread(scenes: Sequence[Scene], seen: Sequence[Reading], real: Sequence[Reading], size: int) -> dict[str, Result]:
    """How much the centre varies around the place asked for, among the pictures whose place is right."""
    if len(scenes[0].things) != 1:
        return {}
    about = "standard deviation of the centre around the place asked for, in pixels, where the place is right"
    spread, count = _deviation(scenes, seen, size)
    error = None if spread is None else spread / (2 * (2 * count - 1)) ** 0.5  # two axes a picture
    return {"place_spread": Result(spread, about, error, _deviation(scenes, real, size)[0])}


def _deviation(scenes: Sequence[Scene], readings: Sequence[Reading], size: int) -> tuple[float | None, int]:
    """In pixels, over both axes, the mean offset taken away; and of how many pictures."""
    offsets = [
        np.subtract(reading.centres[0], PLACES[scene.things[0].place or ""]) * size
        for scene, reading in zip(scenes, readings, strict=True)
        if fulfilled(scene, reading).get("place")
    ]
    if len(offsets) < 2:
        return None, len(offsets)
    return float(np.sqrt(np.var(offsets, axis=0, ddof=1).mean())), len(offsets)
