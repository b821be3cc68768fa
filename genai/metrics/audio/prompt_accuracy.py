"""Do samples match their prompts? A small network, trained on the real clips, classifies them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genai.core.cache import cache_key
from genai.core.data import PackedDataset
from genai.media.sound import Sound
from genai.metrics.audio.classifier import (
    CACHE_VERSION,
    AudioClassifier,
    train_audio_classifier,
)
from genai.metrics.audio.mel import MelSpectrograms, require_audio
from genai.metrics.audio.prompt_attributes import IGNORE_INDEX, MIN_COUNT, PromptAttribute, find_attributes
from genai.metrics.base import EvalContext, Metric, Result, proportion_result
from genai.metrics.frechet import frechet_result
from genai.metrics.judge import Judge
from genai.metrics.probe import cached_probe

MAX_SECONDS = 2.0
"""Seconds of a clip that are classified, from its start."""
MAX_RELATIVE_LENGTH = 1.5
"""Upper limit of the same, relative to the typical length of clips."""
MAX_ITEMS = 20_000
"""Evenly spaced training items that the classifier is trained on; a tenth as many held-out items are classified."""


class PromptAccuracy(Metric):
    """Proportion of samples that a classifier recognizes as what the prompt says; the reference is held-out clips.

    Prompts must be class names, or differ in a few words only. ``frechet`` compares features of the same network. It
    cannot be compared with distances that others report, only with its reference value.
    """

    media = Sound

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``prompt_accuracy_<attribute>``, such as ``prompt_accuracy_word_1``, and ``frechet``."""
        train_prompts, attributes = _training_attributes(context)
        if not attributes:
            description = f"nothing to classify: the prompts are not made of a few words, each in {MIN_COUNT} clips"
            return {"prompt_accuracy": Result(None, description)}
        spectrograms = _spectrograms(context)
        network = cached_classifier(context, spectrograms, attributes)
        prompts = context.source.prompts(context.source.val, context.n, context.seed)
        power = spectrograms(context.samples(prompts))
        real_power, real_prompts = collect_items(spectrograms, context.val, MAX_ITEMS // 10, "held-out clips")
        hits = classify(network, power, prompts, attributes)
        real_hits = classify(network, real_power, real_prompts, attributes)
        results = {
            f"prompt_accuracy_{attribute.name}": proportion_result(
                hits[attribute], _describe(attribute, train_prompts), real_hits[attribute]
            )
            for attribute in attributes
        }
        with torch.no_grad():
            features = network.features(power), network.features(real_power)
        return results | {"frechet": frechet_result(*features, context.seed, "the classifier")}

    def judge(self, context: EvalContext) -> "SoundJudge | None":
        attributes = _training_attributes(context)[1]
        if not attributes:
            return None
        spectrograms = _spectrograms(context)
        return SoundJudge(cached_classifier(context, spectrograms, attributes), spectrograms, attributes)

    def features(self, context: EvalContext, samples: list[Any], real: list[Any]) -> tuple[Tensor, Tensor] | None:
        if (judge := self.judge(context)) is None:
            return None
        audio = judge.spectrograms.audio
        decoded = [audio.decode(audio.encode(sound)) for sound in real]  # quantized as samples are
        with torch.no_grad():
            first, second = (judge.network.features(judge.spectrograms(sounds)) for sounds in (samples, decoded))
        return first, second


@dataclass(frozen=True)
class SoundJudge(Judge):
    """The classifier: it has to recognize the values of all attributes that the prompt has."""

    network: AudioClassifier
    spectrograms: MelSpectrograms
    attributes: Sequence[PromptAttribute]

    def matches(self, samples: list[Any], prompts: Sequence[str]) -> list[bool | None]:
        rows = zip(self._predict(samples), prompts, strict=True)
        return [self._match(predicted, [each.label(prompt) for each in self.attributes]) for predicted, prompt in rows]

    def caption(self, samples: list[Any]) -> list[str]:
        return [
            " ".join(each.values[index] for each, index in zip(self.attributes, row, strict=True))
            for row in self._predict(samples)
        ]

    @torch.no_grad()
    def _predict(self, samples: list[Any]) -> list[list[int]]:
        """Return the index of the recognized value of each attribute, for each sample."""
        logits = self.network(self.spectrograms(samples))
        rows: list[list[int]] = torch.stack([each.argmax(1) for each in logits], 1).tolist()
        return rows

    def _match(self, predicted: Sequence[int], labels: Sequence[int]) -> bool | None:
        hits = [a == b for a, b in zip(predicted, labels, strict=True) if b != IGNORE_INDEX]
        return all(hits) if hits else None


def _training_attributes(context: EvalContext) -> tuple[Sequence[str], list[PromptAttribute]]:
    """Return the prompts of the training split, and their attributes; none for free captions."""
    split = context.source.train
    prompts = split.prompts if split.prompts is not None else [example.prompt for example in split]
    return prompts, find_attributes(prompts)


def _spectrograms(context: EvalContext) -> MelSpectrograms:
    """Return what computes the input of the classifier. Raises ``UserError`` for models of other media."""
    audio = require_audio(context, "prompt_accuracy")
    length = round(min(MAX_SECONDS, MAX_RELATIVE_LENGTH * audio.typical_seconds) * audio.sample_rate)
    return MelSpectrograms(audio, length, context.model.method.device)


def cached_classifier(
    context: EvalContext, spectrograms: MelSpectrograms, attributes: Sequence[PromptAttribute]
) -> AudioClassifier:
    """Return the classifier for this training split; it is trained if it is not in the cache."""
    audio, sizes = spectrograms.audio, [len(attribute.values) for attribute in attributes]
    values = [[attribute.name, *attribute.values] for attribute in attributes]
    input_format = [audio.sample_rate, audio.num_classes, spectrograms.length]
    key = cache_key(context.source.train.content_hash, "judge", CACHE_VERSION, input_format, values)

    def train() -> AudioClassifier:
        power, prompts = collect_items(spectrograms, context.train, MAX_ITEMS, "training clips")
        labels = torch.tensor([[attribute.label(prompt) for attribute in attributes] for prompt in prompts])
        return train_audio_classifier(power, labels.to(power.device), sizes)

    return cached_probe(key, lambda: AudioClassifier(sizes), train, spectrograms.device)


def collect_items(
    spectrograms: MelSpectrograms, packed: PackedDataset, limit: int, label: str
) -> tuple[Tensor, list[str]]:
    """Return (items, bands, frames) of up to ``limit`` evenly spaced items, and their prompts."""
    batches = list(spectrograms.iterate(packed, min(limit, len(packed)), label))
    return torch.cat([power for power, _ in batches]), [prompt for _, prompts in batches for prompt in prompts]


@torch.no_grad()
def classify(
    network: AudioClassifier, power: Tensor, prompts: Sequence[str], attributes: Sequence[PromptAttribute]
) -> dict[PromptAttribute, list[bool]]:
    """For each attribute, return whether clips are classified as their prompts say; prompts without it are skipped."""
    predictions = [logits.argmax(1).tolist() for logits in network(power)]
    hits = {}
    for attribute, predicted in zip(attributes, predictions, strict=True):
        labels = [attribute.label(prompt) for prompt in prompts]
        hits[attribute] = [
            value == label for value, label in zip(predicted, labels, strict=True) if label != IGNORE_INDEX
        ]
    return hits


def _describe(attribute: PromptAttribute, prompts: Sequence[str]) -> str:
    """Describe the accuracy of an attribute, and that of a model that draws values by their training frequencies."""
    counts = Counter(label for prompt in prompts if (label := attribute.label(prompt)) != IGNORE_INDEX)
    chance = sum(count**2 for count in counts.values()) / counts.total() ** 2
    return f"share of samples that a classifier recognizes as what was prompted, {attribute}; chance is {chance:.2f}"
