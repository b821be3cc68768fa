"""Values that models of speech are trained on and asked with: sounds as frames, texts as phones with durations."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from genai.core.batch import Batch, Request
from genai.core.errors import UserError, short_repr
from genai.speech.phones import Word

FEATURES = 63
"""Numbers of a frame: 60 bands of the envelope, aperiodicity, pitch, and whether it is voiced, 0 or 1."""
PROSODY = 3
"""Numbers of a word's prosody: mean and slope of its pitch, and its tempo."""
MAX_SENTENCE_PHONES = 2_000
"""Phones after which a sentence ends: one is computed at once, so its memory grows with its length."""


@dataclass(frozen=True)
class SpeechBatch(Batch):
    """Recordings with their phones.

    ``x`` is (batch, frames, ``FEATURES``) float32, in standard deviations of the speaker; ``valid`` (batch, frames).

    Attributes:
        phones: (batch, phones, 3) int64: symbol, stress or mark, 1 for the first phone of a word; the symbol is -1 at
            padding and 0 at a pause.
        durations: (batch, phones) int64, in frames; 0 at padding.
        is_timed: (batch, phones) bool, False for padding, and for pauses that were cut in two.
        prosody: (batch, phones, ``PROSODY``), the same for all phones of a word; 0 at pauses.
        speakers, languages: (batch,) int64.
    """

    phones: Tensor = field(default_factory=lambda: torch.zeros(0, 0, 3, dtype=torch.long))
    durations: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.long))
    is_timed: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.bool))
    prosody: Tensor = field(default_factory=lambda: torch.zeros(0, 0, PROSODY))
    speakers: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    languages: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))

    @property
    def weight(self) -> float:
        """Number of frames: losses are means over them."""
        return float(self.x.shape[0] * self.x.shape[1] if self.valid is None else self.valid.sum())


@dataclass(frozen=True)
class Sentence:
    """A sentence to read aloud.

    Attributes:
        phones: (phones, 3) int64, as in ``SpeechBatch``; it begins and ends with a pause.
        symbols: of the phones and pauses.
        words: for each symbol, the index of its word in ``texts``; -1 for a pause.
        texts: the words.
    """

    phones: Tensor
    symbols: tuple[str, ...]
    words: tuple[int, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class SentenceRequest(Request):
    """A request to read texts aloud.

    Attributes:
        sentences: of each item.
        speakers, languages: numbers, one for each item.
    """

    sentences: Sequence[Sequence[Sentence]] = ()
    speakers: Sequence[int] = ()
    languages: Sequence[int] = ()


def split_sentences(words: Sequence[Word], limit: int = 40) -> list[list[Word]]:
    """Split words after ``.``, ``?`` and ``!``, and after ``limit`` words at any mark, or at twice as many anywhere.

    Raises:
        UserError: a word has more than ``MAX_SENTENCE_PHONES`` phones.
    """
    sentences: list[list[Word]] = [[]]
    num_phones = 0
    for word in words:
        if len(word.phones) > MAX_SENTENCE_PHONES:
            raise UserError(
                f"the word {short_repr(word.text)} has {len(word.phones):,} sounds; at most {MAX_SENTENCE_PHONES:,} "
                "are read as one word."
            )
        num_phones += len(word.phones)
        if num_phones > MAX_SENTENCE_PHONES:
            sentences.append([])
            num_phones = len(word.phones)
        sentences[-1].append(word)
        count = len(sentences[-1])
        if word.pause in (".", "?", "!") or (word.pause and count >= limit) or count >= 2 * limit:
            sentences.append([])
            num_phones = 0
    return [sentence for sentence in sentences if any(word.phones for word in sentence)]
