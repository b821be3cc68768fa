"""Fill in the middle: a model of text reads what stands before and after a gap, then writes the middle.

A training text is cut into three parts and put into another order, with marks (Bavarian et al. 2022, arXiv:2207.14255,
section 3): ``<prefix> <suffix> suffix <middle> prefix middle``, its SPM. There the middle continues the prefix, as text
from left to right does, which small models learn soon. Many models of others were trained with the order PSM:
``<prefix> prefix <suffix> suffix <middle> middle``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genai.media.text import Document
from genai.modalities.text_decoder import TextDecoder
from genai.modalities.tokenizers import Tokenizer

MIN_BLOCK = 8
"""Shortest context in which there is room for the marks and some text."""
MAX_MIDDLE_FRACTION = 4
"""The context keeps room for the middle: one part in this many, if so many tokens are wanted."""
NUM_UNIFORMS = 6
"""Random numbers for each part of a window."""
KNOWN_MARKS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen2.5-Coder, CodeGemma
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder, Granite
    ("<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>"),  # DeepSeek-Coder
)
"""Marks of models of others, which are all trained with PSM."""


class InfillMarks(NamedTuple):
    """The tokens that mark prefix, suffix and middle."""

    prefix: int
    suffix: int
    middle: int


@dataclass(frozen=True)
class InfillWindows:
    """Puts texts of training windows into the order suffix, prefix, middle.

    Attributes:
        tokenizer: of the windows.
        end_token: stands after each document, and after each middle.
        marks: see ``InfillMarks``.
        rate: fraction of the parts that are changed.
    """

    tokenizer: Tokenizer
    end_token: int
    marks: InfillMarks
    rate: float

    def num_uniforms(self, windows: NDArray[np.int64]) -> int:
        """Return how many random numbers each row of ``windows`` (batch, time) needs at most."""
        return NUM_UNIFORMS * int((windows == self.end_token).sum(1).max(initial=0) + 1)

    def reorder(
        self, window: NDArray[np.int64], uniforms: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return a window of the same length, and which of its tokens are targets: no marks, no padding.

        A window is cut after each end token, and each part is a text of its own. A window inside one document is cut
        into two texts at any place: if it were one, the length of the middle would follow from what is around it. The
        two cuts of a text are anywhere, also inside words, because people stop anywhere. What no longer fits is left
        out: the end of the suffix, then the beginning of the prefix, then the end of the window. So are incomplete
        characters at the ends of a text.

        Args:
            window: (time,) tokens.
            uniforms: numbers in [0, 1); each part takes ``NUM_UNIFORMS``: whether it is changed, where it becomes two
                texts, and the cuts of both.
        """
        parts = np.split(window, np.flatnonzero(window == self.end_token) + 1)
        out, capacity = list[NDArray[np.int64]](), len(window)
        for part, (chance, place, *cuts) in zip(parts, uniforms.reshape(-1, NUM_UNIFORMS).tolist(), strict=False):
            texts = np.split(part, [int(place * (len(part) + 1))]) if len(parts) == 1 else [part]
            out += (chance < self.rate and self._reorder_texts(texts, cuts, capacity)) or [part[:capacity]]
            capacity = len(window) - sum(map(len, out))
        tokens = np.concatenate([*out, np.full(capacity, self.end_token)])
        is_target = ~np.isin(tokens, self.marks)
        is_target[len(window) - capacity :] = False
        return tokens, is_target

    def _reorder_texts(
        self, texts: Sequence[NDArray[np.int64]], cuts: Sequence[float], capacity: int
    ) -> list[NDArray[np.int64]]:
        """Return texts in their new order, ``capacity`` tokens together at most; what does not fit is left out."""
        out = list[NDArray[np.int64]]()
        for text, text_cuts in zip(texts, (cuts[:2], cuts[2:]), strict=False):
            tokens = self._reorder_text(text, text_cuts, capacity - sum(map(len, out)))
            out += [] if tokens is None else [tokens]
        return out

    def _reorder_text(
        self, tokens: NDArray[np.int64], cuts: Sequence[float], capacity: int
    ) -> NDArray[np.int64] | None:
        """Return at most ``capacity`` tokens in the new order; ``None``: there is no text, or no room around it."""
        token_bytes = self.tokenizer.token_bytes
        content = b"".join(token_bytes[index] for index in tokens.tolist() if index != self.end_token)
        text = content.decode("utf-8", "ignore")
        first, second = sorted(int(cut * (len(text) + 1)) for cut in cuts)
        parts = text[:first], text[second:], text[first:second]
        prefix, suffix, middle = (self.tokenizer.encode(part) for part in parts)
        overflow = len(prefix) + len(suffix) + len(middle) + len(self.marks) + 1 - capacity
        if not text or (overflow > 0 and overflow >= len(prefix) + len(suffix)):
            return None
        suffix_size = len(suffix) - min(len(suffix), max(0, overflow))
        prefix = prefix[max(0, overflow - len(suffix)) :]
        mark_prefix, mark_suffix, mark_middle = self.marks
        return np.concatenate(
            [[mark_prefix, mark_suffix], suffix[:suffix_size], [mark_middle], prefix, middle, [self.end_token]]
        )


@dataclass(frozen=True)
class InfillContext:
    """What a model reads before it writes the middle.

    Attributes:
        tokens: (time,), with the marks.
        num_prefix, num_suffix: tokens of the prefix and the suffix that are left.
        max_middle: largest number of tokens of the middle, so that the marks stay in the context.
    """

    tokens: Tensor
    num_prefix: int
    num_suffix: int
    max_middle: int


def infill_context(
    begin: Tensor, prefix: Tensor, suffix: Tensor, marks: InfillMarks, block: int, length: int, suffix_first: bool
) -> InfillContext:
    """Lay out a gap. A prefix is cut at its beginning and a suffix at its end, so that both fit, as in training.

    Args:
        begin: tokens before everything, which some models need.
        prefix, suffix: (time,) tokens of the text before and after the gap.
        marks: see ``InfillMarks``.
        block: context length of the model.
        length: largest number of tokens that are wanted.
        suffix_first: order of the parts: SPM, else PSM.
    """
    capacity = max(0, block - len(marks) - len(begin) - min(length, block // MAX_MIDDLE_FRACTION))
    num_suffix = min(len(suffix), max(capacity // 2, capacity - len(prefix)))
    num_prefix = min(len(prefix), capacity - num_suffix)
    mark_prefix, mark_suffix, mark_middle = torch.tensor(marks).split(1)
    prefix, suffix = prefix[len(prefix) - num_prefix :], suffix[:num_suffix]
    parts = [mark_suffix, suffix, mark_middle, prefix] if suffix_first else [prefix, mark_suffix, suffix, mark_middle]
    tokens = torch.cat([begin, mark_prefix, *parts])
    return InfillContext(tokens, num_prefix, num_suffix, min(length, max(1, block - len(tokens))))


class InfillDecoder:
    """A ``Decoder`` of a text with a gap: the suffix follows when the middle is complete.

    Args:
        decoder: of the prefix and the middle; a mark ends it.
        suffix: text after the gap.
        max_middle: tokens after which the middle ends at the latest.
    """

    def __init__(self, decoder: TextDecoder, suffix: str, max_middle: int) -> None:
        self.decoder, self.suffix, self.remaining = decoder, suffix, max_middle
        self.initial, self.done = decoder.initial, False
        self.emitted_size = len(decoder.initial)

    def push(self, start: int, x: Tensor) -> Document:
        if self.done:
            return Document("")
        x = x[: self.remaining]
        self.remaining -= len(x)
        part = self.decoder.push(start, x)
        self.emitted_size += len(part)
        if self.remaining and not self.decoder.done:
            return Document(part)
        rest = self.result()[self.emitted_size :]
        return Document(f"{part}{rest}")

    def push_log_probs(self, x: Tensor, log_probs: Tensor) -> None:
        """Record log-probabilities of the middle, see ``TextDecoder``."""
        if not self.done:
            self.decoder.push_log_probs(x[: self.remaining], log_probs[: self.remaining])

    def result(self) -> Document:
        self.done = True
        middle = self.decoder.result()
        document = Document(f"{middle}{self.suffix}")
        document.tokens = middle.tokens
        return document


def find_marks(ids: dict[str, int]) -> InfillMarks | None:
    """Return the marks of a tokenizer of others by its special tokens; ``None``: it has none that are known."""
    names = next((names for names in KNOWN_MARKS if ids.keys() >= set(names)), None)
    return InfillMarks(*(ids[name] for name in names)) if names else None
