"""Differential output preservation: an adapter learns a new word, and prompts without it keep their answers.

The target of a prompt without the new words is what the model predicts without its adapter from the same noisy data
(kohya-ss/sd-scripts, pull request 1710; Nerogar/OneTrainer, pull request 505). It needs no pictures of other things.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from genai.adapters.lora import without_adapters
from genai.core.batch import Request
from genai.methods.noisy_batch import NoisyBatch

EMPTY_SHARE, OWN_SHARE = 1 / 8, 1 / 4
"""Shares of the empty prompt, and of the captions themselves without their new words."""


@dataclass(frozen=True)
class Preservation:
    """Prompts whose answers stay as they are.

    Attributes:
        weight: of the squared change of these answers, beside the squared error of what is learned.
        words: new words, which these prompts do not have.
        prompts: what the base was trained on, or a part of it.
        requests: these prompts as requests, for models that answer a prompt in several ways, such as voices; ``None``:
            they are not known yet.
    """

    weight: float
    words: Sequence[str]
    prompts: Sequence[str]
    requests: Sequence[Request] | None = None

    def losses(self, noisy: NoisyBatch, denoise: Callable[..., Tensor], module: nn.Module) -> dict[str, Tensor]:
        """Return ``subject_loss``, of the prompts; ``preservation_loss``, of others drawn; and their weighted sum.

        Args:
            noisy: a batch.
            denoise: (x_t, times, prompts, *conditioning) -> the predicted data.
            module: the network with the adapter.
        """
        others = self.draw([str(prompt) for prompt in noisy.prompts])
        with torch.no_grad(), without_adapters(module):
            before = denoise(noisy.x, noisy.time, others, *noisy.conditioning)
        x, time, *conditioning = (torch.cat([each, each]) for each in (noisy.x, noisy.time, *noisy.conditioning))
        learned, preserved = denoise(x, time, [*noisy.prompts, *others], *conditioning).chunk(2)
        subject = noisy.loss(learned)
        drift = replace(noisy, loss_mask=None).loss(preserved, before)
        return {"loss": subject + self.weight * drift, "subject_loss": subject, "preservation_loss": drift}

    def draw(self, captions: Sequence[str]) -> list[str]:
        """Draw a prompt without new words for each caption, by torch's random numbers."""
        numbers = torch.rand(len(captions), 2).tolist()
        return [self._choose(caption, kind, place) for caption, (kind, place) in zip(captions, numbers, strict=True)]

    def _choose(self, caption: str, kind: float, place: float) -> str:
        if kind < EMPTY_SHARE:
            return ""
        own = remove_words(caption, self.words)
        if kind < EMPTY_SHARE + OWN_SHARE and own and own != caption:
            return own
        return self.prompts[int(place * len(self.prompts))]


def has_words(caption: str, words: Sequence[str]) -> bool:
    """Return whether one of ``words`` is in a caption, in letters of any case."""
    return bool(words) and re.search(_pattern(words), caption, re.IGNORECASE) is not None


def remove_words(caption: str, words: Sequence[str]) -> str:
    """Return a caption without ``words``: "dog" for "zwx dog", "red apple" for "red apple, zwx"."""
    if not has_words(caption, words):
        return caption
    rest = re.sub(_pattern(words), "", caption, flags=re.IGNORECASE)
    return re.sub(r"\s*,(?:\s*,)+", ",", " ".join(rest.split())).strip(" ,")


def _pattern(words: Sequence[str]) -> str:
    return rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)"
