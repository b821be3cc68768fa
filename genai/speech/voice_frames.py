"""Voices as frames of pitch, spectral envelope and aperiodicity, and back: the WORLD vocoder (Morise et al., 2016)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genai.core.errors import NonFiniteOutput, UserError
from genai.media.sound import Sound

FRAME_SECONDS = 0.0125
"""Time between the centers of two frames; the first is centered on the first sample."""
NUM_BANDS = 60
"""Bands of the spectral envelope, equally spaced on the mel scale."""
COLUMNS = NUM_BANDS + 2
"""Numbers of a frame in a file: the envelope, the aperiodicity, the pitch in Hz."""
MIN_SAMPLE_RATE = 16_000
"""Lowest sample rate that WORLD analyzes; sounds of a lower one are resampled."""
F0_RANGE = (60.0, 500.0)
"""Lowest and highest pitch of a voice, in Hz."""
MIN_POWER = 1e-12
"""Lowest power of a band: the envelope is a logarithm."""
MAX_LOG_POWER = 80.0
"""Largest absolute logarithm of a power that is made audible; those of recordings are between -28 and 12."""
MIN_HZ, MAX_HZ_FRACTION = 20.0, 0.9875
"""Center of the lowest band, and center of the highest one as a fraction of half the sample rate."""
APERIODICITY_HZ, MIN_APERIODICITY = 3_000.0, -60.0
"""Frequency at which the aperiodicity is kept; decibels of a perfectly periodic voice."""
VERSION = 1
"""Part of the key of cached frames: increase it when ``analyze`` returns other numbers."""


@dataclass(frozen=True, eq=False)
class VoiceFrames:
    """A voice, ``FRAME_SECONDS`` from frame to frame. All arrays are float32.

    Attributes:
        log_envelope: (frames, ``NUM_BANDS``), natural logarithm of the power in each mel band.
        aperiodicity: (frames,), decibels of noise in the voice at ``APERIODICITY_HZ``, from ``MIN_APERIODICITY`` to 0.
        f0: (frames,), pitch in Hz; 0 where nothing is voiced.
    """

    log_envelope: NDArray[np.float32]
    aperiodicity: NDArray[np.float32]
    f0: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.f0)

    def to_rows(self) -> NDArray[np.float32]:
        """Return the frames as (frames, ``COLUMNS``) float32, for files."""
        return np.concatenate([self.log_envelope, self.aperiodicity[:, None], self.f0[:, None]], 1, dtype=np.float32)

    @classmethod
    def from_rows(cls, rows: NDArray[np.float32]) -> "VoiceFrames":
        """Return the frames of what ``to_rows`` returned."""
        return cls(rows[:, :NUM_BANDS].copy(), rows[:, NUM_BANDS].copy(), rows[:, NUM_BANDS + 1].copy())


Synthesize = Callable[[VoiceFrames, int], NDArray[np.float32]]
"""Makes the sound (time,) of frames at a sample rate, as ``synthesize`` does."""


def analyze(samples: NDArray[Any], sample_rate: int, frame_seconds: float = FRAME_SECONDS) -> VoiceFrames:
    """Analyze a voice.

    Args:
        samples: (time,), in [-1, 1]; their level is kept.
        sample_rate: in Hz; the bands reach to half of it.
        frame_seconds: time between two frames, for uses of their own.

    Returns:
        ``1 + floor(seconds / frame_seconds)`` frames.

    Raises:
        UserError: the package is missing, or there are no samples.
    """
    world = load_world()
    if not len(samples):
        raise UserError("a voice to analyze has no samples.")
    if sample_rate < MIN_SAMPLE_RATE:
        samples = Sound(np.asarray(samples, np.float32), sample_rate).resample(MIN_SAMPLE_RATE).samples
        sample_rate = MIN_SAMPLE_RATE
    x = np.ascontiguousarray(samples, np.float64)
    size = world.get_cheaptrick_fft_size(sample_rate)
    f0, times = world.dio(x, sample_rate, *F0_RANGE, frame_period=1000 * frame_seconds)
    f0 = world.stonemask(x, f0, times, sample_rate)
    envelope = world.cheaptrick(x, f0, times, sample_rate, fft_size=size)  # (frames, size / 2 + 1)
    noise = world.d4c(x, f0, times, sample_rate, fft_size=size)  # (frames, size / 2 + 1), amplitudes
    power = envelope @ _band_weights(sample_rate, size).T  # (frames, bands)
    decibels = 20 * np.log10(noise[:, round(APERIODICITY_HZ * size / sample_rate)])
    return VoiceFrames(
        np.log(np.maximum(power, MIN_POWER)).astype(np.float32),
        decibels.clip(MIN_APERIODICITY, 0).astype(np.float32),
        f0.astype(np.float32),
    )


def synthesize(frames: VoiceFrames, sample_rate: int) -> NDArray[np.float32]:
    """Return the sound of a voice: (time,) in [-1, 1].

    Args:
        frames: of ``analyze`` at the same sample rate, or predicted ones.
        sample_rate: in Hz.

    Raises:
        UserError: the package is missing, or no voice has such frames.
    """
    world = load_world()
    rate = max(sample_rate, MIN_SAMPLE_RATE)
    check_frames(frames, rate)
    size = world.get_cheaptrick_fft_size(rate)
    envelope = np.exp(frames.log_envelope @ _interpolation(rate, size, tuple(band_centers(rate))))
    # decibels: a line from a periodic voice at 0 Hz to the known value, and one to noise at half the sample rate
    known = np.stack([np.full(len(frames), MIN_APERIODICITY), frames.aperiodicity, np.zeros(len(frames))], 1)
    decibels = known.clip(MIN_APERIODICITY, 0) @ _interpolation(rate, size, (0.0, APERIODICITY_HZ, rate / 2))
    noise = np.where(frames.f0[:, None] > 0, 10 ** (decibels / 20), 1.0)
    f0 = np.ascontiguousarray(frames.f0, np.float64)
    sound = world.synthesize(f0, envelope, noise, rate, 1000 * FRAME_SECONDS)
    samples = Sound(sound.astype(np.float32), rate).resample(sample_rate).samples
    return samples / np.float32(max(1.0, float(np.abs(samples).max(initial=0))))


def check_frames(frames: VoiceFrames, sample_rate: int) -> None:
    """Raise ``NonFiniteOutput`` for numbers that the vocoder, which is C++, cannot compute with."""
    limits = ((frames.log_envelope, MAX_LOG_POWER), (frames.aperiodicity, np.inf), (frames.f0, sample_rate / 2))
    for values, limit in limits:
        if not np.isfinite(values).all() or np.abs(values).max(initial=0) > limit:
            raise NonFiniteOutput("the model computes no voice: its training failed or its file changed.")


@cache
def load_world() -> ModuleType:
    """Import the vocoder. Raises ``UserError`` if it is not installed."""
    try:
        import pyworld
    except ImportError as error:
        raise UserError("voices need pyworld: pip install 'genai[voice]'.") from error
    return pyworld


@cache
def band_centers(sample_rate: int) -> NDArray[np.float64]:
    """Return the centers of the bands in Hz: (bands,)."""
    first, last = _mel(np.array([MIN_HZ, MAX_HZ_FRACTION * sample_rate / 2]))
    return 700 * np.expm1(np.linspace(first, last, NUM_BANDS) / 1127)


@cache
def _interpolation(sample_rate: int, fft_size: int, known_hertz: tuple[float, ...]) -> NDArray[np.float64]:
    """Return weights by which values at known frequencies become values at all: (known, fft_size / 2 + 1)."""
    hertz = np.arange(fft_size // 2 + 1) * sample_rate / fft_size
    return np.stack([np.interp(hertz, known_hertz, row) for row in np.eye(len(known_hertz))])


@cache
def _band_weights(sample_rate: int, fft_size: int) -> NDArray[np.float64]:
    """Return weights whose sum over frequencies is 1: (bands, fft_size / 2 + 1). Bands are triangles that overlap."""
    hertz = np.arange(fft_size // 2 + 1) * sample_rate / fft_size
    edges = np.concatenate([[0], band_centers(sample_rate), [sample_rate / 2]])[:, None]
    left, center, right = edges[:-2], edges[1:-1], edges[2:]
    weights = np.minimum((hertz - left) / (center - left), (right - hertz) / (right - center)).clip(0)
    nearest = np.abs(hertz - center).argmin(1)
    for band in np.flatnonzero(weights.sum(1) == 0):  # narrower than the distance of two frequencies
        weights[band, nearest[band]] = 1
    return weights / weights.sum(1, keepdims=True)


def _mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1127 * np.log1p(hertz / 700)
