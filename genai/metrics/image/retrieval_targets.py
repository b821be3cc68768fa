"""What samples are compared with: references of each label that the model was not trained on, or captions of others."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from genai.metrics.image.caption_map import CaptionMap
from genai.metrics.image.picture_items import PictureItem
from genai.metrics.nearest import find_nearest

NUM_CANDIDATES = 100
"""Labels that a picture is compared with, its own included."""
COPY_DISTANCE = 4 / 255
"""RMS difference of two pictures in 8 x 8 cells below which one may be a copy of the other."""


class RetrievalTargets(ABC):
    """A vector for each label.

    Args:
        pictures: those whose labels are candidates.
    """

    def __init__(self, pictures: Sequence[PictureItem]) -> None:
        first = {picture.label: picture for picture in reversed(pictures)}
        self.labels = sorted(first)
        self.rows = {label: row for row, label in enumerate(self.labels)}
        self.families = np.array([first[label].family for label in self.labels])
        self.groups = np.array([first[label].group for label in self.labels])

    @abstractmethod
    def vectors(self, picture: PictureItem) -> tuple[Tensor, NDArray[np.bool_]]:
        """Return (labels, dimensions) of length 1 to compare a picture with, and which labels (labels,) have one."""

    def has(self, picture: PictureItem) -> bool:
        """Return whether there is a vector for what the picture shows."""
        row = self.rows.get(picture.label)
        return row is not None and bool(self.vectors(picture)[1][row])

    def rank(
        self, vector: Tensor, picture: PictureItem, rng: np.random.Generator, in_group: bool = False
    ) -> tuple[int, int]:
        """Return how many of up to 99 other labels a vector (dimensions,) is nearer to than to that of ``picture``.

        Then comes the number of candidates; 1 if there are no others.

        Args:
            in_group: compare with labels of the same group alone.
        """
        vectors, has_vector = self.vectors(picture)
        row = self.rows[picture.label]
        is_candidate = has_vector & (self.families != picture.family)
        if in_group:
            is_candidate &= self.groups == picture.group
        others = rng.permutation(np.flatnonzero(is_candidate))[: NUM_CANDIDATES - 1]
        similarity = vectors @ vector
        return int((similarity[torch.from_numpy(others)] > similarity[row]).sum()), len(others) + 1


class ReferenceTargets(RetrievalTargets):
    """The mean of the references of each label, without those in the style of the picture and the picture itself.

    Args:
        references: pictures that the model was not trained on.
        embedded: (references, dimensions).
    """

    def __init__(self, references: Sequence[PictureItem], embedded: Tensor) -> None:
        super().__init__(references)
        self.embedded = embedded
        self.numbers = {id(picture): number for number, picture in enumerate(references)}
        self.label_rows = torch.tensor([self.rows[picture.label] for picture in references])
        self.styles = np.array([picture.style for picture in references])
        self._sums = lru_cache(maxsize=None)(self._sum_references)

    @property
    def means(self) -> Tensor:
        """The mean of all references of each label (labels, dimensions), of length 1."""
        sums = torch.zeros(len(self.labels), self.embedded.shape[1])
        return normalize(sums.index_add_(0, self.label_rows, self.embedded), dim=1)

    def _sum_references(self, style: str) -> tuple[Tensor, Tensor]:
        """Return sums (labels, dimensions) and numbers (labels,) of the references in other styles."""
        used = torch.from_numpy((self.styles != style) | (self.styles == ""))
        sums = torch.zeros(len(self.labels), self.embedded.shape[1])
        sums.index_add_(0, self.label_rows[used], self.embedded[used])
        return sums, torch.bincount(self.label_rows[used], minlength=len(self.labels))

    def vectors(self, picture: PictureItem) -> tuple[Tensor, NDArray[np.bool_]]:
        sums, counts = self._sums(picture.style)
        if id(picture) in self.numbers and not picture.style:
            row = self.rows[picture.label]
            sums, counts = sums.clone(), counts.clone()
            sums[row] -= self.embedded[self.numbers[id(picture)]]
            counts[row] -= 1
        return normalize(sums, dim=1), (counts > 0).numpy()


class CaptionTargets(RetrievalTargets):
    """What the captions of other labels say of each label.

    Args:
        pictures: those whose labels are candidates.
        captions: the map from words.
    """

    def __init__(self, pictures: Sequence[PictureItem], captions: CaptionMap) -> None:
        super().__init__(pictures)
        keywords = {picture.label: picture.keywords for picture in reversed(pictures)}
        predictions = [captions.predict(label, keywords[label]) for label in self.labels]
        self._vectors = normalize(torch.stack(predictions), dim=1)
        self._has_vector = (self._vectors.norm(dim=1) > 0).numpy()

    def vectors(self, picture: PictureItem) -> tuple[Tensor, NDArray[np.bool_]]:
        return self._vectors, self._has_vector


def without_copies(layouts: Tensor, train_layouts: Tensor) -> Tensor:
    """Return (references,) bool: which references look like no training picture.

    Args:
        layouts: (references, values) in 0..1, see ``picture_features.layouts``.
        train_layouts: (pictures, values) of the training pictures.
    """
    squared_distances, _ = find_nearest(layouts, train_layouts.split(4_096))
    return squared_distances > COPY_DISTANCE**2 * layouts.shape[1]
