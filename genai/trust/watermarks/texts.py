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
DELTA = 1.5
"""Is added to their logits, in nats."""


class GreenListBias:
    """The bias of the next token of one text, see ``genai.methods.logit_bias.TokenBias``.

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
    bits = key.random_bits(f"green tokens after {previous}", num_tokens)
    return bits < np.uint64(int(GAMMA * 2**64))


def detect_in_tokens(key: WatermarkKey, tokens: Sequence[int]) -> Detection:
    """Count the green tokens of a text.

    Each pair of neighbors counts once: a text that repeats itself is no evidence. Over random keys, whether different
    pairs are green is independent, so the p-value is exact.
    """
    pairs = sorted(set(pairwise(tokens)))
    num_tokens = max(tokens, default=0) + 1
    hits = sum(bool(green_mask(key, previous, num_tokens)[token]) for previous, token in pairs)
    return Detection("text", binomial_tail(hits, len(pairs), GAMMA), key.name)
