"""Do samples match their prompts? A small network, trained on the real clips, classifies them."""

from collections import Counter
from collections.abc import Sequence

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
        audio, split = require_audio(context, "prompt_accuracy"), context.source.train
        train_prompts = split.prompts if split.prompts is not None else [example.prompt for example in split]
        attributes = find_attributes(train_prompts)
        if not attributes:
            description = f"nothing to classify: the prompts are not made of a few words, each in {MIN_COUNT} clips"
            return {"prompt_accuracy": Result(None, description)}
        length = round(min(MAX_SECONDS, MAX_RELATIVE_LENGTH * audio.typical_seconds) * audio.sample_rate)
        spectrograms = MelSpectrograms(audio, length, context.model.method.device)
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
