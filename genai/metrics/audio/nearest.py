"""Are the samples copies? Distance of each sound to its nearest training clip, at equal level and the best shift."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genai.core.data import PackedDataset
from genai.media.sound import Sound
from genai.metrics.audio.mel import MelSpectrograms, power_to_db, require_audio
from genai.metrics.base import EvalContext
from genai.metrics.nearest import NearestExample, find_nearest

MAX_SHIFT_FRAMES = 5
"""Maximum shift in time of a copy, in frames of 10 ms."""
MAX_SECONDS = 2.0
"""Seconds of a clip that are compared, from its start."""


class NearestSound(NearestExample):
    """Distance of log-mel spectrograms of samples to their nearest training clips; the reference is held-out clips.

    All clips are cut to the length of the samples. Noise is farther away than held-out clips are.
    """

    media = Sound

    def distances(self, context: EvalContext, prompts: list[str]) -> tuple[NDArray[np.float64], int, str]:
        audio, samples = require_audio(context, "nearest"), context.samples(prompts)
        seconds = min(MAX_SECONDS, *(sample.seconds for sample in samples))
        spectrograms = MelSpectrograms(audio, round(seconds * audio.sample_rate), context.model.method.device)
        limit = min(context.n, len(context.val))
        held_out = [power for power, _ in spectrograms.iterate(context.val, limit, "held-out clips")]
        queries = power_to_db(torch.cat([spectrograms(samples), *held_out]))
        squared, _ = find_nearest(queries.flatten(1), _chunks(spectrograms, context.train, queries.shape[-1]))
        distances = (squared.clamp(min=0) / queries[0].numel()).sqrt().double().cpu().numpy()
        description = f"in dB of log-mel, of {seconds:.2f} s at equal level, to the nearest training clip"
        return distances, len(samples), description

    def features(self, context: EvalContext, samples: list[Any], real: list[Any]) -> tuple[Tensor, Tensor]:
        audio = require_audio(context, "nearest")
        decoded = [audio.decode(audio.encode(sound)) for sound in real]  # quantized as samples are
        seconds = min(MAX_SECONDS, max(sound.seconds for sound in [*samples, *decoded]))
        spectrograms = MelSpectrograms(audio, round(seconds * audio.sample_rate), context.model.method.device)
        first, second = (power_to_db(spectrograms(sounds)).flatten(1) for sounds in (samples, decoded))
        return first, second


def _chunks(spectrograms: MelSpectrograms, train: PackedDataset, num_frames: int) -> Iterator[Tensor]:
    """Yield the training clips as rows of decibels, at every shift."""
    for power, _ in spectrograms.iterate(train, None, "nearest training clips", margin=MAX_SHIFT_FRAMES):
        clips = power_to_db(power, margin=MAX_SHIFT_FRAMES)
        for start in range(2 * MAX_SHIFT_FRAMES + 1):
            yield clips[..., start : start + num_frames].flatten(1)
