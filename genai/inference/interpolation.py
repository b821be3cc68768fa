"""Interpolation between two samples, as a strip of images and as an animation."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genai.core.errors import UserError

if TYPE_CHECKING:
    from genai.inference.model import Model

NUM_STEPS = 25
"""Images of an interpolation, including both ends."""
STRIP_IMAGES = 9
"""Images in the strip."""


def interpolate(
    model: "Model", prompts: Sequence[str], n: int, seed: int, batch: int, options: Mapping[str, Any]
) -> tuple[Any, Any]:
    """Interpolate between two prompts (with the same seed) or two seeds; return the strip and the animation.

    Raises:
        UserError: the model cannot interpolate; not exactly two prompts or two seeds.
    """
    from genai.core.batch import Interpolation, batch_ranges
    from genai.core.progress import ProgressBar
    from genai.inference.model import Samples

    modality, preview = type(model.modality).__name__.lower(), model.modality.preview()
    if preview.animation_class is None or not model.method.supports_interpolation:
        raise UserError(f"interpolate=true is not supported by this {modality} model.")
    if (len(prompts), n) not in ((2, 1), (1, 2)):
        raise UserError(
            f"interpolate=true needs two samples: give two prompts, or one prompt and n=2, not {len(prompts)} prompts "
            f"and n={n}."
        )
    start, end = prompts[0], prompts[-1]
    steps = [Interpolation(end, seed + n - 1, index / (NUM_STEPS - 1)) for index in range(NUM_STEPS)]
    images = Samples()
    with ProgressBar("pictures", NUM_STEPS) as bar:
        for rows in batch_ranges(NUM_STEPS, batch):
            batch_steps = steps[rows.start : rows.stop]
            stream = model.open_stream([start] * len(rows), [seed] * len(rows), None, options, batch_steps)
            for _ in stream:
                pass
            images += stream.results()
            bar.step(len(rows))
    ends = (start, end) if n == 1 else (f"{start}, seed {seed}", f"seed {seed + 1}")
    captions = [ends[0], *[""] * (STRIP_IMAGES - 2), ends[1]]
    strip_images = images[:: (NUM_STEPS - 1) // (STRIP_IMAGES - 1)]
    strip = preview.interpolation_strip(list(zip(captions, strip_images, strict=True)))
    return strip, preview.animation_class(images)
