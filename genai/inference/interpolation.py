"""Interpolation between two samples, as a strip of images and as an animation."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genai.core.errors import UserError
from genai.inference.provenance import RecipeItem

if TYPE_CHECKING:
    from genai.inference.model import Model

NUM_STEPS = 25
"""Images of an interpolation, including both ends."""
STRIP_IMAGES = 9
"""Images in the strip."""


def interpolation_ends(prompts: Sequence[str], n: int, seed: int) -> list[RecipeItem]:
    """Return the two samples of two prompts (with one seed) or of two seeds. Raises ``UserError`` for other numbers."""
    if (len(prompts), n) not in ((2, 1), (1, 2)):
        raise UserError(
            f"interpolate=true needs two samples: give two prompts, or one prompt and n=2, not {len(prompts)} prompts "
            f"and n={n}."
        )
    return [RecipeItem(prompts[0], seed), RecipeItem(prompts[-1], seed + n - 1)]


def interpolate(
    model: "Model", ends: Sequence[RecipeItem], batch: int, options: Mapping[str, Any], from_recipe: bool = False
) -> tuple[Any, Any]:
    """Interpolate between two samples; return the strip and the animation.

    Args:
        ends: the two samples.
        batch: number of images that are generated at once.
        options: of sampling.
        from_recipe: whether ``options`` are those of a recipe, which has all of them.

    Raises:
        UserError: the model cannot interpolate, or a given option changes nothing.
    """
    from genai.core.batch import Interpolation, batch_ranges
    from genai.core.progress import ProgressBar
    from genai.inference.model import Samples

    modality, preview = type(model.modality).__name__.lower(), model.modality.preview()
    if preview.animation_class is None or not model.method.supports_interpolation:
        raise UserError(f"interpolate=true is not supported by this {modality} model.")
    start, end = ends
    steps = [Interpolation(end.prompt, end.seed, index / (NUM_STEPS - 1)) for index in range(NUM_STEPS)]
    images = Samples()
    with ProgressBar("pictures", NUM_STEPS) as bar:
        for rows in batch_ranges(NUM_STEPS, batch):
            batch_steps = steps[rows.start : rows.stop]
            stream = model.open_stream([start.prompt] * len(rows), [start.seed] * len(rows), None, options, batch_steps)
            stream.check_options({} if from_recipe else options)
            for _ in stream:
                pass
            images += stream.results()
            bar.step(len(rows))
    labels = (start.prompt, end.prompt)
    if start.prompt == end.prompt:
        labels = (f"{start.prompt}, seed {start.seed}", f"seed {end.seed}")
    captions = [labels[0], *[""] * (STRIP_IMAGES - 2), labels[1]]
    strip_images = images[:: (NUM_STEPS - 1) // (STRIP_IMAGES - 1)]
    strip = preview.interpolation_strip(list(zip(captions, strip_images, strict=True)))
    return strip, preview.animation_class(images)
