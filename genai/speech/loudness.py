"""Loudness of speech: its level where somebody speaks, so that pauses make no difference."""

import numpy as np
from numpy.typing import NDArray

LEVEL, MAX_PEAK = 0.1, 0.95
"""Root mean square of speech that sounds equally loud, and largest amplitude."""
WINDOW_SECONDS = 0.02
ACTIVE_RANGE = 0.03
"""Windows below this fraction of the loudest one (-30 dB) are pauses."""
MIN_LEVEL = 1e-4


def speech_level(samples: NDArray[np.float32], sample_rate: int) -> float:
    """Return the root mean square of (time,) where somebody speaks."""
    size = max(1, round(WINDOW_SECONDS * sample_rate))
    padded = np.pad(samples.astype(np.float64), (0, -len(samples) % size)).reshape(-1, size)
    power = np.square(padded).mean(1)
    active = power[power >= ACTIVE_RANGE**2 * power.max(initial=0)]
    return float(np.sqrt(active.mean())) if len(active) else 0.0


def normalize_loudness(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """Return (time,) at ``LEVEL``, or less where the peak would exceed ``MAX_PEAK``; near silence stays as it is."""
    level, peak = speech_level(samples, sample_rate), float(np.abs(samples).max(initial=0))
    if level < MIN_LEVEL:
        return samples
    return samples * np.float32(min(LEVEL / level, MAX_PEAK / peak))
