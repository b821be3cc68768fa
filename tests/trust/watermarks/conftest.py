"""Keys, and media without a watermark."""

import numpy as np
import pytest

from genai.media.clip import Clip
from genai.media.picture import Picture
from genai.media.sound import Sound
from genai.trust.watermarks.key import WatermarkKey


@pytest.fixture
def key() -> WatermarkKey:
    return WatermarkKey(b"k" * 32)


@pytest.fixture
def other_key() -> WatermarkKey:
    return WatermarkKey(b"o" * 32)


def make_picture(side: int = 256, seed: int = 0) -> Picture:
    """Slow waves and fine texture, in color."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    waves = sum(np.sin(2 * np.pi * (a * x + b * y + c)) for a, b, c in rng.uniform(-4, 4, (6, 3)))
    texture = rng.normal(0, 6, (side, side)) * (x > 0.5)
    pixels = 128 + 15 * np.asarray(waves)[..., None] * rng.uniform(0.5, 1, 3) + texture[..., None]
    return Picture(pixels.clip(0, 255).astype(np.uint8))


def make_sound(seconds: float = 3.0, sample_rate: int = 16_000, seed: int = 0) -> Sound:
    """Notes with overtones, and noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    notes = rng.uniform(150, 500, 1 + int(seconds / 0.25))[(time / 0.25).astype(int)]
    phase = 2 * np.pi * np.cumsum(notes) / sample_rate
    tones = sum(np.sin(k * phase) / k for k in range(1, 8))
    samples = 0.2 * tones * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time)) + rng.normal(0, 0.02, len(time))
    return Sound(samples.clip(-1, 1).astype(np.float32), sample_rate)


def make_clip(side: int = 64, count: int = 24, seed: int = 0) -> Clip:
    """A square that moves over a still picture."""
    frames = np.repeat(make_picture(side, seed).pixels[None], count, 0)
    for index, frame in enumerate(frames):
        frame[10:24, index : index + 14] = (200, 60, 60)
    return Clip(frames, 8.0)
