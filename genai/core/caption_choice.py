"""Several captions of one example, of which one is drawn each time that the example is seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Caption = str | tuple[str, ...]
"""A text, or keywords of which some are used."""


def whole_text(caption: Caption) -> str:
    """Return a caption as one text, with all of its keywords in their order."""
    return caption if isinstance(caption, str) else ", ".join(caption)


@dataclass(frozen=True)
class TagDropout:
    """Random dropping of the tags of a caption, which are separated by commas.

    Attributes:
        rate: probability that a tag is dropped.
        keep_tokens: number of tags, not tokens, at the beginning that are never dropped; the name of kohya's scripts.
    """

    rate: float
    keep_tokens: int = 1

    def drop(self, caption: str, number: float) -> str:
        """Return the caption without the tags that ``number``, random in [0, 1), drops."""
        tags = [tag for part in caption.split(",") if (tag := part.strip())]
        numbers = np.random.default_rng(int(number * 2**53)).random(len(tags))
        remaining = [tag for i, tag in enumerate(tags) if i < self.keep_tokens or numbers[i] >= self.rate]
        return caption if len(remaining) == len(tags) else ", ".join(remaining)


def draw_caption(
    captions: Sequence[Caption], numbers: NDArray[np.float64], tag_dropout: TagDropout | None = None
) -> str:
    """Draw one of the captions; of keywords any number of them, in any order.

    Args:
        captions: at least one. Keywords count as one caption.
        numbers: (2,), random numbers in [0, 1): for the caption, and for its keywords or tags.
        tag_dropout: drops tags of a text; of keywords only some are used anyway.
    """
    caption = captions[int(numbers[0] * len(captions))]
    if isinstance(caption, str):
        return tag_dropout.drop(caption, numbers[1]) if tag_dropout else caption
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
