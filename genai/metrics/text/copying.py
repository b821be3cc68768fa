"""Copies of training text among samples."""

from collections.abc import Sequence

import numpy as np

from genai.media.text import Document
from genai.metrics.base import EvalContext
from genai.metrics.copying import COPY_RATIO, Copying, Neighbors, choose_prompts, num_real_items
from genai.metrics.text.longest_match import longest_match_lengths, longest_matches
from genai.metrics.text.text import MAX_PROMPT_CHARS, first_words, section_starts

MIN_DOCUMENTS = 16
"""Documents of a split that are compared whole; fewer are cut into passages."""
MIN_PART_CHARS, MAX_PART_CHARS = 200, 1_000
"""Length of passages: held-out text makes ``MIN_DOCUMENTS`` of them, if it has the characters."""
MIN_COPY_CHARS = 30
"""Length from which a run is a copy."""


class CopiedTexts(Copying):
    """Copies among texts, by their longest run of characters that is also in an item: its inverse is the distance.

    Prompts are first words of items, of a random paragraph, and do not count. A sample is a copy if its longest run is
    three times as long as the longest one that is in held-out text, which grows with the logarithm of the amount of
    text: ten times as much adds a few characters. Items are documents, or passages of texts of few documents.

    Attributes:
        max_items: characters of training text that are compared.
    """

    media = Document
    quick_items = 2**21
    max_items = 2**24

    def neighbors(self, context: EvalContext) -> Neighbors:
        source = context.source
        counts = num_real_items(context, len(source.train)), len(source.val)
        train, held_out = (
            [str(split[index].media) for index in range(count)]
            for split, count in zip((source.train, source.val), counts, strict=True)
        )
        length = None if min(counts) >= MIN_DOCUMENTS else sum(map(len, held_out)) // MIN_DOCUMENTS
        train, held_out = (_items(each, self.max_items, length) for each in (train, held_out))
        rng = np.random.default_rng(context.seed)
        starts = [[_start(text, rng) for text in texts] for texts in (train, held_out)]
        prompt_texts = [
            [_prompt(text, start) for text, start in zip(*pair, strict=True)]
            for pair in zip((train, held_out), starts, strict=True)
        ]
        prompts, prompt_items = choose_prompts(prompt_texts[0], prompt_texts[1], context.n, context.seed)
        samples = [str(sample)[len(prompt) :] for prompt, sample in zip(prompts, context.samples(prompts), strict=True)]
        self.before_chunk()
        matches = longest_matches(samples, train + held_out)
        self.before_chunk()
        is_copy = _are_copies(samples, [each.length for each in matches], held_out)
        length = max(map(len, samples))
        real = [
            text[start + len(prompt) :][:length]
            for text, start, prompt in zip(held_out, starts[1], prompt_texts[1], strict=True)
        ]
        return Neighbors(
            [each.documents for each in matches],
            [copied and each.documents[0] < len(train) for copied, each in zip(is_copy, matches, strict=True)],
            _reference(real, train, held_out, context.n),
            prompt_items,
            len(train),
            len(held_out),
        )


def _items(documents: Sequence[str], max_chars: int, length: int | None) -> list[str]:
    """Return documents, or passages of about ``length``; evenly spaced ones of more characters than ``max_chars``."""
    texts = list(documents)
    if length is not None:
        step = min(max(length, MIN_PART_CHARS), MAX_PART_CHARS)
        texts = [text[start : start + step] for text in documents for start in range(0, len(text), step)]
    return texts[:: -(-sum(map(len, texts)) // max_chars)]


def _start(text: str, rng: np.random.Generator) -> int:
    """Return the start of a random paragraph."""
    starts = [0, *section_starts(text)]
    return starts[rng.integers(len(starts))]


def _prompt(text: str, start: int) -> str:
    """Return the words at ``start`` that are a prompt, at most a third of the text."""
    return first_words(text[start:], min(MAX_PROMPT_CHARS, (len(text) - start) // 3))


def _are_copies(texts: Sequence[str], lengths: Sequence[int], control: Sequence[str]) -> list[bool]:
    """Return whether the longest runs are long, compared with what the texts share with ``control``."""
    control_lengths = longest_match_lengths(texts, control)
    return [
        length >= MIN_COPY_CHARS and control_length < COPY_RATIO * length
        for length, control_length in zip(lengths, control_lengths, strict=True)
    ]


def _reference(real: Sequence[str], train: Sequence[str], held_out: Sequence[str], count: int) -> list[bool]:
    """Return whether held-out text, of every second item, is a copy of training text, compared with the others."""
    texts, control = real[1::2][:count], held_out[::2]
    if not texts:
        return []
    return _are_copies(texts, longest_match_lengths(texts, train), control)
