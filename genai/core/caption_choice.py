"""Several captions of one example, of which one is drawn each time that the example is seen."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Caption = str | tuple[str, ...]
"""A text, or keywords of which some are used."""


def whole_text(caption: Caption) -> str:
    """Return a caption as one text, with all of its keywords in their order."""
    return caption if isinstance(caption, str) else ", ".join(caption)


def draw_caption(captions: Sequence[Caption], numbers: NDArray[np.float64]) -> str:
    """Draw one of the captions; of keywords any number of them, in any order.

    Args:
        captions: at least one. Keywords count as one caption.
        numbers: (2,), random numbers in [0, 1): for the caption, and for its keywords.
    """
    caption = captions[int(numbers[0] * len(captions))]
    if isinstance(caption, str):
        return caption
    random = np.random.default_rng(int(numbers[1] * 2**53))
    order = random.permutation(len(caption))[: random.integers(1, len(caption) + 1)]
    return ", ".join(caption[index] for index in order)


def all_texts(captions: Sequence[Caption]) -> list[str]:
    """Return the texts of captions, and all keywords."""
    return [text for caption in captions for text in ([caption] if isinstance(caption, str) else caption)]


def replace_texts(captions: Sequence[Caption], texts: Sequence[str]) -> tuple[Caption, ...]:
    """Return captions with others in place of ``all_texts``."""
    rest = iter(texts)
    return tuple(next(rest) if isinstance(caption, str) else tuple(next(rest) for _ in caption) for caption in captions)
