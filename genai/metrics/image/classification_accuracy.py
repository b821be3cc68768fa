"""Classification accuracy score: classifiers that are trained on samples are tested on real pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, variance
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genai.core.data import PackedDataset
from genai.core.errors import UserError
from genai.core.loader import validation_batches
from genai.media.picture import Picture
from genai.metrics.audio.prompt_attributes import MAX_VALUES, MIN_COUNT, find_classes
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.image.classifier import (
    EVAL_BATCH_SIZE,
    ImageClassifier,
    class_indices,
    correct_predictions,
    train_image_classifier,
)
from genai.metrics.judge import Judge

STEPS = 300
"""Training steps of each classifier."""
NUM_CLASSIFIERS = 3
"""Classifiers that are trained on samples, and as many on real pictures; each has its own seed."""
MAX_TRAIN_ITEMS = 10_000
"""Maximum number of training pictures that the judge of single samples is trained on, evenly spaced."""
MAX_VAL_ITEMS = 10_000
"""Maximum number of held-out pictures that the classifiers are tested on, evenly spaced."""


class ClassificationAccuracy(Metric):
    """Accuracy on held-out pictures of classifiers that are trained on samples alone (Ravuri & Vinyals 2019,
    arXiv:1905.10887).

    The reference is the accuracy of classifiers that are trained on as many real training pictures of the same classes.
    Prompts must be class names.
    """

    media = Picture

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``classification_accuracy``, and ``classification_accuracy_ratio`` to that of real pictures.

        Raises:
            UserError: the prompts are not class names.
        """
        names = training_classes(context)
        all_prompts = context.source.prompts(context.source.val, context.n, context.seed)
        samples = context.samples(all_prompts)
        pairs = [(sample, prompt) for sample, prompt in zip(samples, all_prompts, strict=True) if prompt in names]
        prompts = [prompt for _, prompt in pairs]
        sample_pixels = torch.stack([context.model.modality.encode(sample) for sample, _ in pairs])
        real_pixels = matching_pictures(context.train, context.source.train.prompts, prompts, context.seed)
        device = context.model.method.device
        labels = class_indices(prompts, names).to(device)
        val_pixels, val_labels = (part.to(device) for part in held_out_pictures(context.val, names))
        (accuracy, standard_error), (real_accuracy, real_error) = (
            classifier_accuracy(pixels.to(device), labels, len(names), val_pixels, val_labels)
            for pixels in (sample_pixels, real_pixels)
        )
        description = (
            f"accuracy of classifiers trained on samples alone, {len(prompts):,} of {len(names)} classes; "
            f"{NUM_CLASSIFIERS} classifiers, tested on {len(val_labels):,} held out"
        )
        results = {"classification_accuracy": Result(accuracy, description, standard_error, real_accuracy)}
        if real_accuracy:
            ratio = accuracy / real_accuracy
            ratio_error = sum((error / real_accuracy) ** 2 for error in (standard_error, ratio * real_error)) ** 0.5
            description = "the same, divided by that of classifiers trained on as many real pictures"
            results["classification_accuracy_ratio"] = Result(ratio, description, ratio_error)
        return results

    def judge(self, context: EvalContext) -> "PictureJudge | None":
        try:
            names = training_classes(context)
        except UserError:
            return None
        device, modality = context.model.method.device, context.model.modality
        batches = [batch for batch, _ in validation_batches(context.train, EVAL_BATCH_SIZE, MAX_TRAIN_ITEMS)]
        prompts = [prompt for batch in batches for prompt in batch.prompts]
        mask = torch.tensor([prompt in names for prompt in prompts])
        labels = class_indices([prompt for prompt in prompts if prompt in names], names)
        pixels = torch.cat([batch.x for batch in batches])[mask]
        network = train_image_classifier(pixels.to(device), labels.to(device), len(names), STEPS)
        return PictureJudge(network, modality, names)


@dataclass(frozen=True)
class PictureJudge(Judge):
    """A classifier that was trained on real pictures: it has to recognize the class that the prompt names."""

    network: ImageClassifier
    modality: Any
    names: Sequence[str]

    def matches(self, samples: list[Any], prompts: Sequence[str]) -> list[bool | None]:
        rows = zip(self.caption(samples), prompts, strict=True)
        return [name == prompt if prompt in self.names else None for name, prompt in rows]

    @torch.no_grad()
    def caption(self, samples: list[Any]) -> list[str]:
        pixels = torch.stack([self.modality.encode(sample) for sample in samples])
        logits = self.network(pixels.to(next(self.network.parameters()).device))
        return [self.names[index] for index in logits.argmax(1).tolist()]


def training_classes(context: EvalContext) -> tuple[str, ...]:
    """Return the class names among the prompts of the training split. Raises ``UserError`` if they are not classes."""
    split = context.source.train
    prompts = split.prompts if split.prompts is not None else [example.prompt for example in split]
    if not (names := find_classes(prompts)):
        raise UserError(
            f"'classification_accuracy' trains a classifier, so the prompts have to be classes: 2 to {MAX_VALUES}, "
            f"each of {MIN_COUNT} or more pictures. Here {len(prompts):,} have {len(set(prompts)):,} different ones. "
            "Leave it out of metrics=."
        )
    return names


def matching_pictures(
    train: PackedDataset, train_prompts: Sequence[str] | None, prompts: Sequence[str], seed: int
) -> Tensor:
    """Draw random training pictures with these prompts: (prompts, channels, height, width) uint8.

    A picture repeats only if all pictures with its prompt have been used.

    Args:
        train_prompts: prompts of the training pictures; ``None``: read them from ``train``.
    """
    if train_prompts is None:
        batches = validation_batches(train, EVAL_BATCH_SIZE, None)
        train_prompts = [prompt for batch, _ in batches for prompt in batch.prompts]
    rng = np.random.default_rng(seed)
    train_names, indices = np.array(train_prompts), np.empty(len(prompts), np.int64)
    for name in sorted(set(prompts)):
        rows = np.flatnonzero(np.array(prompts) == name)
        indices[rows] = np.resize(rng.permutation(np.flatnonzero(train_names == name)), len(rows))
    return train.batch(indices.tolist(), None).x


def held_out_pictures(val: PackedDataset, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return held-out pictures (pictures, channels, height, width) uint8 of the classes ``names``, and their labels."""
    batches = [batch for batch, _ in validation_batches(val, EVAL_BATCH_SIZE, MAX_VAL_ITEMS)]
    prompts = [prompt for batch in batches for prompt in batch.prompts]
    mask = torch.tensor([prompt in names for prompt in prompts])
    pixels = torch.cat([batch.x for batch in batches])[mask]
    return pixels, class_indices([prompt for prompt in prompts if prompt in names], names)


def classifier_accuracy(
    pixels: Tensor, labels: Tensor, num_classes: int, val_pixels: Tensor, val_labels: Tensor
) -> tuple[float, float]:
    """Return the mean validation accuracy of classifiers that are trained on ``pixels``, and its standard error.

    The error covers the choice of validation pictures and the seeds of the classifiers.
    """
    accuracies = []
    for seed in range(NUM_CLASSIFIERS):
        classifier = train_image_classifier(pixels, labels, num_classes, STEPS, seed)
        accuracies.append(correct_predictions(classifier, val_pixels, val_labels).float().mean().item())
    accuracy = mean(accuracies)
    error = (accuracy * (1 - accuracy) / len(val_labels) + variance(accuracies) / NUM_CLASSIFIERS) ** 0.5
    return accuracy, error
