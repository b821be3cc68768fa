"""Copies of training sounds among samples."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from genai.core.data import PackedDataset
from genai.inference.model import Model
from genai.media.sound import Sound
from genai.metrics.audio.mel import MelSpectrograms, power_to_db, require_audio
from genai.metrics.audio.nearest import MAX_SECONDS, MAX_SHIFT_FRAMES
from genai.metrics.base import EvalContext
from genai.metrics.copying import ItemFeatures, NearestCopying
from genai.modalities.audio import Audio


class CopiedSounds(NearestCopying):
    """Copies among samples, by the distance of log-mel spectrograms at equal level and the best shift."""

    media = Sound
    quick_items = 2**11

    def unsupported_reason(self, model: Model) -> str:
        if not isinstance(model.modality, Audio):
            return "it reads given words aloud, which recordings of the same words resemble"
        return super().unsupported_reason(model)

    def item_features(self, context: EvalContext, samples: Sequence[Any]) -> "SoundFeatures":
        audio = require_audio(context, "copying")
        seconds = min(MAX_SECONDS, *(sample.seconds for sample in samples))
        return SoundFeatures(MelSpectrograms(audio, round(seconds * audio.sample_rate), context.model.method.device))


class SoundFeatures(ItemFeatures):
    """Decibels of log-mel spectrograms of the first seconds."""

    def __init__(self, spectrograms: MelSpectrograms) -> None:
        self.spectrograms = spectrograms

    def of_samples(self, samples: Sequence[Any]) -> Tensor:
        return _flatten(power_to_db(self.spectrograms(samples)))

    def of_items(self, packed: PackedDataset, indices: Sequence[int]) -> list[Tensor]:
        margin = MAX_SHIFT_FRAMES
        decibels = power_to_db(self.spectrograms.of_batch(packed.batch(indices, None), margin), margin)
        num_frames = decibels.shape[-1] - 2 * margin
        starts = sorted(range(2 * margin + 1), key=lambda start: abs(start - margin))
        return list(torch.stack([_flatten(decibels[..., start : start + num_frames]) for start in starts], 1))


def _flatten(decibels: Tensor) -> Tensor:
    rows = decibels.flatten(1)
    return rows / rows.shape[1] ** 0.5
