"""What a caption should look like: ridge regression from words to a space of pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genai.metrics.groups import split_words
from genai.metrics.image.picture_items import PictureItem

PENALTY = 0.3
"""Of the ridge regression."""
KEYWORD_WEIGHT = 0.7
MAX_LABELS = 4_096
"""Maximum number of labels that are learned from, evenly spaced in alphabetical order."""


@dataclass(frozen=True)
class CaptionMap:
    """Predicts where pictures of a label lie.

    Attributes:
        columns: column of each word.
        texts: (labels, words) of the labels that were learned from.
        weights: (labels, dimensions), the solution of the dual problem.
        left_out: by each of these labels, its prediction from those of other families: (dimensions,).
    """

    columns: Mapping[str, int]
    texts: Tensor
    weights: Tensor
    left_out: Mapping[str, Tensor]

    def predict(self, label: str, keywords: str) -> Tensor:
        """Return (dimensions,): what the words of other families say of this label."""
        if label in self.left_out:
            return self.left_out[label]
        return self.predict_known(label, keywords)

    def predict_known(self, label: str, keywords: str) -> Tensor:
        """Return (dimensions,): what the words of all labels say, this one included."""
        return (self.texts @ _text_vector(self.columns, label, keywords)) @ self.weights


def fit_captions(pictures: Sequence[PictureItem], vectors: Tensor) -> CaptionMap:
    """Fit a map to the vectors (pictures, dimensions) of pictures, with one row for each label: their mean.

    The prediction of a label from other families needs no second fit: it is that of the residuals (Allen 1974).
    """
    first = {picture.label: picture for picture in reversed(pictures)}
    step = max(1, -(-len(first) // MAX_LABELS))
    known = [first[label] for label in sorted(first)[::step]]
    means = _label_means(known, pictures, vectors)
    texts = [text for picture in known for text in (picture.label, picture.keywords)]
    words = dict.fromkeys(word for text in texts for word in split_words(text))
    columns = {word: column for column, word in enumerate(words)}
    inputs = torch.stack([_text_vector(columns, picture.label, picture.keywords) for picture in known])
    kernel = (inputs @ inputs.T).double()
    inverse = torch.linalg.inv(kernel + PENALTY * torch.eye(len(kernel)))
    weights = inverse @ means
    families: dict[str, list[int]] = {}
    for row, picture in enumerate(known):
        families.setdefault(picture.family, []).append(row)
    left_out = means.clone()
    for rows in map(torch.tensor, families.values()):
        left_out[rows] -= torch.linalg.solve(inverse[rows[:, None], rows], weights[rows])
    by_label = {picture.label: vector.float() for picture, vector in zip(known, left_out, strict=True)}
    return CaptionMap(columns, inputs, weights.float(), by_label)


def _label_means(known: Sequence[PictureItem], pictures: Sequence[PictureItem], vectors: Tensor) -> Tensor:
    """Return the mean vector (known, dimensions) of the pictures of each label, in float64."""
    rows = {picture.label: row for row, picture in enumerate(known)}
    used = torch.tensor([number for number, picture in enumerate(pictures) if picture.label in rows])
    numbers = torch.tensor([rows[pictures[number].label] for number in used.tolist()])
    sums = torch.zeros(len(known), vectors.shape[1], dtype=torch.float64)
    sums.index_add_(0, numbers, vectors[used].double())
    return sums / torch.bincount(numbers)[:, None]


def _text_vector(columns: Mapping[str, int], label: str, keywords: str) -> Tensor:
    """Return (words,): the words of a label, and its keywords with a lower weight."""
    vector = torch.zeros(len(columns))
    for text, weight in ((label, 1.0), (keywords, KEYWORD_WEIGHT)):
        words = split_words(text)
        for word in words:
            if word in columns:
                vector[columns[word]] += weight / len(words) ** 0.5
    return vector
