"""Are the samples copies? Distance of each sound to its nearest training clip, at equal level and the best shift."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genai.core.data import PackedDataset
from genai.media.sound import Sound
from genai.metrics.audio.mel import MelSpectrograms, power_to_db, require_audio
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.image.nearest import distance_results, squared_distances

MAX_SHIFT_FRAMES = 5
"""Maximum shift in time of a copy, in frames of 10 ms."""
MAX_SECONDS = 2.0
"""Seconds of a clip that are compared, from its start."""


class NearestSound(Metric):
    """Distance of log-mel spectrograms of samples to their nearest training clips; the reference is held-out clips.

    Samples have prompts of the held-out split, and all clips are cut to the length of the samples. Samples that are
    much nearer than held-out clips are copies; noise is farther away than they are.
    """

    media = Sound
    compares_with_training = True

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``nearest_train`` (mean) and ``nearest_train_low`` (5 % quantile)."""
        audio = require_audio(context, "nearest")
        samples = context.samples(context.source.prompts(context.source.val, context.n, context.seed))
        seconds = min(MAX_SECONDS, *(sample.seconds for sample in samples))
        spectrograms = MelSpectrograms(audio, round(seconds * audio.sample_rate), context.model.method.device)
        limit = min(context.n, len(context.val))
        held_out = [power for power, _ in spectrograms.iterate(context.val, limit, "held-out clips")]
        power = torch.cat([spectrograms(samples), *held_out])
        distances = nearest_sound_distances(power_to_db(power), spectrograms, context.train)
        description = f"in dB of log-mel, of {seconds:.2f} s at equal level, to the nearest training clip"
        return distance_results(distances[: len(samples)], distances[len(samples) :], description)


def nearest_sound_distances(clips: Tensor, spectrograms: MelSpectrograms, train: PackedDataset) -> NDArray[np.float64]:
    """Return the root-mean-square distance in dB of each clip to the nearest of ``train``, at the best shift.

    Args:
        clips: (clips, bands, frames) from ``power_to_db``.
    """
    num_frames, flat = clips.shape[-1], clips.flatten(1)
    best = torch.full((len(clips),), torch.inf, device=clips.device)
    for power, _ in spectrograms.iterate(train, None, "nearest training clips", margin=MAX_SHIFT_FRAMES):
        train_clips = power_to_db(power, margin=MAX_SHIFT_FRAMES)
        for start in range(2 * MAX_SHIFT_FRAMES + 1):
            distances = squared_distances(flat, train_clips[..., start : start + num_frames].flatten(1))
            best = torch.minimum(best, distances.amin(1))
    return (best.clamp(min=0) / flat.shape[1]).sqrt().double().cpu().numpy()
