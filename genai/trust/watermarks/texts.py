"""Watermark of texts: a green list of tokens, which are a little more probable (arXiv:2301.10226).

After each token, a quarter of the vocabulary is green, chosen by the key and that token. Sampling adds ``DELTA`` to
the logits of green tokens. A text with the watermark has more green tokens than a quarter.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genai.trust.watermarks.detection import Detection, binomial_tail
from genai.trust.watermarks.key import WatermarkKey

GAMMA = 0.25
"""Fraction of green tokens."""
THRESHOLD = np.uint64(int(GAMMA * 2**64))
DELTA = 1.5
"""Is added to their logits, in nats."""
MAX_TOKENS = 20_000
"""Tokens of a text that are searched."""


class GreenListBias:
    """The bias of the next token of one text, see ``genai.methods.logit_bias.ClassBias``.

    Args:
        key: of the watermark.
        previous: the last token of the prompt.
        num_tokens: size of the vocabulary.
    """

    def __init__(self, key: WatermarkKey, previous: int, num_tokens: int) -> None:
        self.key, self.previous, self.num_tokens = key, previous, num_tokens

    def bias(self) -> Tensor:
        """Return what is added to the logits, (num_tokens,) float32."""
        return torch.from_numpy(green_mask(self.key, self.previous, self.num_tokens)).float() * DELTA

    def advance(self, index: int) -> None:
        """Append a token."""
        self.previous = index


@lru_cache(maxsize=512)
def green_mask(key: WatermarkKey, previous: int, num_tokens: int) -> NDArray[np.bool_]:
    """Return the mask (num_tokens,) of the tokens that are green after ``previous``."""
    return key.random_bits(_purpose(previous), num_tokens) < THRESHOLD


def is_green(key: WatermarkKey, previous: int, token: int) -> bool:
    """Return the element ``token`` of ``green_mask``."""
    return bool(key.random_bits(_purpose(previous), 1, token)[0] < THRESHOLD)


def _purpose(previous: int) -> str:
    return f"green tokens after {previous}"


def detect_in_tokens(key: WatermarkKey, tokens: Sequence[int]) -> Detection:
    """Count the green tokens of a text.

    Each pair of neighbors counts once: a text that repeats itself is no evidence. Over random keys, whether different
    pairs are green is independent, so the p-value is exact.
    """
    pairs = set(pairwise(tokens[:MAX_TOKENS]))
    hits = sum(is_green(key, previous, token) for previous, token in pairs)
    return Detection("text", binomial_tail(hits, len(pairs), GAMMA), key.name)
