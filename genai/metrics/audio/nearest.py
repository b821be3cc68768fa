"""Are the samples copies? How far each sound is from its nearest training clip, at any level, a little off in time."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genai.core.data import PackedDataset
from genai.media.sound import Sound
from genai.metrics.audio.mel import Spectra, audio_of, decibels
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.image.nearest import squared, summary

SHIFT = 5
"""Frames, of 10 ms, that a copy may be early or late."""
LONGEST = 2.0
"""Seconds that are compared, from the beginning."""


class NearestClip(Metric):
    """Distance of the log-mel spectrogram to the nearest training clip, of samples beside held-out clips.

    The samples are asked for with prompts of the held-out split, and all is cut to the length of the samples. Samples
    that are much nearer than held-out clips are copies; noise is further away than they are.
    """

    media = Sound
    of_training = True

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``nearest_clip`` (mean) and ``nearest_clip_low`` (5 % quantile), each beside that of held-out clips."""
        audio = audio_of(study, "nearest_clip")
        samples = study.samples(study.source.prompts(study.source.val, study.n, study.seed))
        seconds = min(LONGEST, *(sample.seconds for sample in samples))
        spectra = Spectra(audio, round(seconds * audio.rate), study.model.method.device)
        held = [power for power, _ in spectra.real(study.val, min(study.n, len(study.val)), "held-out clips")]
        distances = nearest_clips(decibels(torch.cat([spectra(samples), *held])), spectra, study.train)
        about = f"in dB of log-mel, of {seconds:.2f} s at equal level, to the nearest training clip"
        return summary("nearest_clip", distances[: len(samples)], distances[len(samples) :], about)


def nearest_clips(clips: Tensor, spectra: Spectra, train: PackedDataset) -> NDArray[np.float64]:
    """Root-mean-square distance in decibels of each of ``clips`` to the nearest of ``train``, shifted to fit best.

    Args:
        clips: (clips, bands, frames) of ``decibels``.
    """
    frames, flat = clips.shape[-1], clips.flatten(1)
    best = torch.full((len(clips),), torch.inf, device=clips.device)
    for power, _ in spectra.real(train, None, "nearest training clips", around=SHIFT):
        others = decibels(power, around=SHIFT)
        for start in range(2 * SHIFT + 1):
            found = squared(flat, others[..., start : start + frames].flatten(1))
            best = torch.minimum(best, found.amin(1))
    return (best.clamp(min=0) / flat.shape[1]).sqrt().double().cpu().numpy()
