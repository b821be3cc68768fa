"""Rehearsal of old voices while a new one is learned: their sentences, which the base itself says (Robins 1995,
"Catastrophic forgetting, rehearsal and pseudorehearsal"). It needs no old recordings."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genai.core.batch import Request
from genai.core.errors import UserError
from genai.speech.batch import SentenceRequest


@dataclass(frozen=True)
class RehearsalSentence:
    """A sentence with the voice that says it.

    Attributes:
        phones: (phones, 3) int64, as in ``SpeechBatch``.
        speaker, language: their numbers.
    """

    phones: Tensor
    speaker: int
    language: int


@dataclass(frozen=True)
class Rehearsal:
    """What is rehearsed.

    Attributes:
        weight: of the loss of what the base says, beside that of the recordings.
        sentences: of the voices of the base.
    """

    weight: float
    sentences: Sequence[RehearsalSentence]

    @classmethod
    def of_requests(cls, weight: float, requests: Sequence[Request]) -> "Rehearsal":
        """Return the sentences of ``SentenceRequest``s. Raises ``UserError`` if there are none."""
        sentences = []
        for request in requests:
            assert isinstance(request, SentenceRequest)
            for texts, speaker, language in zip(request.sentences, request.speakers, request.languages, strict=True):
                sentences += [RehearsalSentence(each.phones, speaker, language) for each in texts]
        if not sentences:
            raise UserError(
                "adapter.preserve= keeps the other voices while one is added: give adapter.speaker=, and texts in "
                "adapter.prompts=. Or leave it out."
            )
        return cls(weight, sentences)

    def draw(self, count: int) -> list[RehearsalSentence]:
        """Draw ``count`` sentences by torch's random numbers."""
        return [self.sentences[place] for place in torch.randint(len(self.sentences), (count,)).tolist()]
