"""From one sample to another: pictures in between, which the model makes, as a strip and as one that moves."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genai.core.errors import UserError

if TYPE_CHECKING:
    from genai.inference.model import Model

PICTURES = 25
"""On the way, both ends among them."""
SHOWN = 9
"""Of them in the strip."""


def passage(
    model: "Model", prompts: Sequence[str], n: int, seed: int, batch: int, options: Mapping[str, Any]
) -> tuple[Any, Any]:
    """The strip, and the moving picture, of what lies between two prompts (drawn with the same seed) or two seeds.

    Raises:
        UserError: they are not two; nothing lies between samples of this model.
    """
    from genai.core.batch import Interpolation, batch_ranges
    from genai.core.progress import ProgressBar
    from genai.inference.model import Samples, Stream

    kind = type(model.modality).__name__.lower()
    if model.modality.animated is None or not model.method.blends:
        raise UserError(f"interpolate=true: nothing can be made between two samples of this model, which is of {kind}.")
    if (len(prompts), n) not in ((2, 1), (1, 2)):
        raise UserError(
            f"interpolate=true leads from one sample to another: give two prompts, or one and n=2, not {len(prompts)} "
            f"and n={n}."
        )
    start, end = prompts[0], prompts[-1]
    ways = [Interpolation(end, seed + n - 1, number / (PICTURES - 1)) for number in range(PICTURES)]
    made = Samples()
    with ProgressBar("pictures", PICTURES) as bar:
        for rows in batch_ranges(PICTURES, batch):
            stream = Stream(model, [start] * len(rows), [seed] * len(rows), None, options, ways[rows.start : rows.stop])
            for _ in stream:
                pass
            made += stream.results()
            bar.step(len(rows))
    ends = (start, end) if n == 1 else (f"{start}, seed {seed}", f"seed {seed + 1}")
    said = [ends[0], *[""] * (SHOWN - 2), ends[1]]
    strip = model.modality.strip(list(zip(said, made[:: (PICTURES - 1) // (SHOWN - 1)], strict=True)))
    return strip, model.modality.animated(made)
