"""Watermark of sounds: cells of 32 ms and 150 Hz are made 1 dB louder or softer, by random signs (spread spectrum).

The same 48 columns of signs repeat, so the watermark is in every part of a sound. The search compares the level of
each cell with its neighbors in time and frequency, as in Kirovski and Malvar 2003, "Spread-Spectrum Watermarking of
Audio Signals".
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genai.media.sound import Sound
from genai.trust.watermarks.detection import Detection, sign_sum_p
from genai.trust.watermarks.key import WatermarkKey

CHANGE_DB = 1.0
HOP_SECONDS, HOPS_PER_WINDOW, HOPS_PER_CELL = 0.008, 4, 4
BAND_HZ, MIN_HZ, MAX_BANDS = 150.0, 100.0, 46
MAX_PART = 0.92
"""Part of the frequencies below half the sample rate that is used: what resampling leaves."""
PERIOD = 48
"""Cells in time after which the signs repeat: 1.5 s."""
SEARCH_RATE, MAX_RATE = 16_000, 48_000
"""Sample rate to which others than multiples of 125 Hz, and higher ones than the second, are converted."""
MAX_SECONDS = 120
"""Length of a sound that is searched."""
NOISE_FLOOR_DB, MAX_RESIDUAL, FLOOR_DB = 1.0, 3.0, -80.0


def add_to_sound(sound: Sound, key: WatermarkKey) -> Sound:
    """Return a sound with the watermark."""
    spectrum, bands = _spectrum(sound)
    seconds = np.arange(spectrum.shape[1]) * _hop(sound.sample_rate) / sound.sample_rate
    columns = np.floor(seconds / (HOPS_PER_CELL * HOP_SECONDS) + 1e-6).astype(int) % PERIOD
    signs = _signs(key, int(bands.max()) + 1)[columns]
    change = np.zeros((len(bands), len(signs)), np.float32)  # (frequencies, frames) in dB
    change[bands >= 0] = CHANGE_DB * signs.T[bands[bands >= 0]]
    gains = torch.from_numpy(10 ** (change / 20) - 1)
    hop, window = _hop(sound.sample_rate), _window(sound.sample_rate)
    difference = torch.istft(spectrum * gains, len(window), hop, window=window, length=len(sound.samples))
    samples = (sound.samples + difference.numpy()).clip(-1, 1).astype(np.float32)
    return replace(sound, samples=samples)


def detect_in_sound(sound: Sound, key: WatermarkKey) -> Detection:
    """Search the first ``MAX_SECONDS`` of a sound, at every shift in time."""
    count = round(MAX_SECONDS * sound.sample_rate)
    sound = replace(sound, samples=sound.samples[:count])
    is_whole = (HOP_SECONDS * sound.sample_rate).is_integer()  # else cells do not begin at whole samples
    if not is_whole or sound.sample_rate > MAX_RATE:
        sound = sound.resample(SEARCH_RATE)
    cells = _residual(_levels(sound))
    signs = _signs(key, cells.shape[1])
    z = 0.0
    for start in range(HOPS_PER_CELL):
        columns = cells[start::HOPS_PER_CELL]
        folded = np.zeros((PERIOD, cells.shape[1]))
        np.add.at(folded, np.arange(len(columns)) % PERIOD, columns)
        products = np.fft.ifft(np.fft.fft(folded, axis=0) * np.fft.fft(signs, axis=0).conj(), axis=0).real.sum(1)
        z = max(z, float(products.max() / (np.sqrt((folded**2).sum()) + 1e-9)))
    return Detection("sound", sign_sum_p(z, PERIOD * HOPS_PER_CELL), key.name)


def _spectrum(sound: Sound) -> tuple[Tensor, NDArray[np.int64]]:
    """Return the complex spectrum (frequencies, frames), and the band of each frequency; -1: none."""
    rate, window = sound.sample_rate, _window(sound.sample_rate)
    samples = torch.from_numpy(np.pad(sound.samples, (0, max(0, len(window) - len(sound.samples)))))
    spectrum = torch.stft(samples, len(window), _hop(rate), window=window, return_complex=True, pad_mode="constant")
    frequencies = np.arange(len(spectrum)) * rate / len(window)
    bands = np.floor((frequencies - MIN_HZ) / BAND_HZ).astype(np.int64)
    count = max(1, min(MAX_BANDS, int((MAX_PART * rate / 2 - MIN_HZ) / BAND_HZ)))
    bands[(bands < 0) | (bands >= count)] = -1
    return spectrum, bands


def _levels(sound: Sound) -> NDArray[np.float64]:
    """Return the mean level in dB of each band, (frames, bands)."""
    spectrum, bands = _spectrum(sound)
    power = spectrum.abs().square().double().numpy()
    decibels = 10 * np.log10(power + power.max() * 10 ** (FLOOR_DB / 10) + 1e-12)
    return np.stack([decibels[bands == band].mean(0) for band in range(int(bands.max()) + 1)], 1)


def _residual(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the level of the cell that begins at each frame, (frames, bands), compared with its neighbors."""
    size, num_bands = HOPS_PER_CELL, levels.shape[1]
    sums = np.pad(levels, ((1, 0), (0, 0))).cumsum(0)
    cells = (sums[size:] - sums[:-size]) / size
    if len(cells) <= 2 * size:
        return np.zeros((1, num_bands))
    before = np.concatenate([cells[size : 2 * size], cells[:-size]])
    after = np.concatenate([cells[size:], cells[-2 * size : -size]])
    rest = cells - (before + after) / 2
    padded = np.pad(rest, ((0, 0), (1, 1)), mode="reflect" if num_bands > 1 else "edge")
    rest = rest - (padded[:, :-2] + padded[:, 2:]) / 2
    energy = sum(np.roll(rest**2, step * size, 0) for step in (-1, 0, 1))
    padded = np.pad(energy, ((0, 0), (1, 1)), mode="reflect" if num_bands > 1 else "edge")
    variance = (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 9
    weighted: NDArray[np.float64] = rest / (np.sqrt(variance) + NOISE_FLOOR_DB) ** 1.5
    return weighted.clip(-MAX_RESIDUAL, MAX_RESIDUAL)


def _signs(key: WatermarkKey, num_bands: int) -> NDArray[np.float64]:
    """Return the signs of the cells, (PERIOD, num_bands)."""
    return key.random_signs("sounds", (PERIOD, MAX_BANDS))[:, :num_bands]


def _hop(sample_rate: int) -> int:
    return max(1, round(HOP_SECONDS * sample_rate))


def _window(sample_rate: int) -> Tensor:
    return torch.hann_window(HOPS_PER_WINDOW * _hop(sample_rate))
