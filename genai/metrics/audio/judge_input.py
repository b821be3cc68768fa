"""What judges of speech hear: all of them expect sounds of one rate, at one level."""

import numpy as np
from numpy.typing import NDArray

from genai.media.sound import Sound

SAMPLE_RATE = 16_000
PEAK = 0.7
"""Largest amplitude of a sound as a judge gets it, so that loudness makes no difference."""
MIN_PEAK = 1e-4


def judge_samples(sound: Sound) -> NDArray[np.float32]:
    """Return a sound at ``SAMPLE_RATE`` with the largest amplitude ``PEAK``: (time,) float32."""
    samples = sound.resample(SAMPLE_RATE).samples
    return samples * np.float32(PEAK / max(MIN_PEAK, float(np.abs(samples).max(initial=0.0))))
