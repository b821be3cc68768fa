"""Judges single samples by retrieval, for the audit of groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genai.metrics.image.picture_features import picture_features
from genai.metrics.image.picture_items import PictureItem
from genai.metrics.image.retrieval_judge import RetrievalJudge
from genai.metrics.sample_judge import Judge
from genai.modalities.base import Modality


@dataclass(frozen=True)
class RetrievalMatches(Judge):
    """A sample is as its prompt says if it is nearest to the references of its item, among 100.

    Attributes:
        judge: with references that the model was not trained on.
        modality: encodes samples.
        seed: of the other 99 items.
    """

    judge: RetrievalJudge
    modality: Modality
    seed: int

    @cached_property
    def _items(self) -> dict[str, PictureItem]:
        """Items that have references, by their prompts."""
        pictures = [*self.judge.train.pictures, *self.judge.val.pictures]
        return {picture.prompt: picture for picture in pictures if self.judge.references.has(picture)}

    def matches(self, samples: list[Any], prompts: Sequence[str]) -> list[bool | None]:
        items = [self._items.get(prompt) for prompt in prompts]
        styles = [item.style if item else self.judge.train.styles[0] for item in items]
        vectors = self.judge.space.embed(self._features(samples), styles)
        ranks = [
            item and self.judge.references.rank(vector, item, np.random.default_rng([self.seed, row]))[0]
            for row, (vector, item) in enumerate(zip(vectors, items, strict=True))
        ]
        return [None if rank is None else rank == 0 for rank in ranks]

    def caption(self, samples: list[Any]) -> list[str]:
        features, first = self._features(samples), self.judge.train.styles[0]
        styles = self.judge.styles.classify(features) if self.judge.styles else [first] * len(samples)
        references = self.judge.references
        rows = (self.judge.space.embed(features, styles) @ references.means.T).argmax(1).tolist()
        return [self._prompt(references.labels[row], style) for row, style in zip(rows, styles, strict=True)]

    def _prompt(self, label: str, style: str) -> str:
        """Return the prompt of an item of this label in this style, else in any, else the label."""
        return self._prompts.get((label, style), self._prompts.get((label, ""), label))

    @cached_property
    def _prompts(self) -> dict[tuple[str, str], str]:
        items = self._items.values()
        by_label = {(item.label, ""): item.prompt for item in items}
        return by_label | {(item.label, item.style): item.prompt for item in items}

    def _features(self, samples: list[Any]) -> Tensor:
        pixels = torch.stack([self.modality.encode(sample) for sample in samples])
        return picture_features(lambda rows: pixels[rows.start : rows.stop], len(pixels), "features")
