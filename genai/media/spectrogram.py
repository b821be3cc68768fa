"""Drawings of sounds: the waveform above the log-mel spectrogram, with a title."""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from genai.media.labels import Font, label_font
from genai.media.picture import Picture

WIDTH, WAVE_HEIGHT, MEL_HEIGHT, TITLE_HEIGHT, AXIS_HEIGHT, GAP = 480, 56, 160, 18, 20, 14
"""Width of the drawing of a sound, and heights of its parts, in pixels."""
RANGE_DB = 70
"""Range of the colors, in decibels below the loudest value of a sound."""
COLORMAP = np.array(
    [(68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129), (92, 200, 99),
     (170, 220, 50), (253, 231, 37)]
)  # fmt: skip
"""Colors of viridis at equal distances, from quiet to loud."""
FONT_SIZE = 13
MARK_COLOR = (230, 60, 50)
"""Color of the dotted lines (RGB)."""


class Waveform(Protocol):
    """Samples (time,) float32 in [-1, 1] and their sample rate, such as ``genai.media.sound.Sound``."""

    @property
    def samples(self) -> NDArray[np.float32]: ...

    @property
    def sample_rate(self) -> int: ...

    @property
    def seconds(self) -> float: ...


def draw_spectrograms(sounds: Sequence[tuple[str, Waveform]], marks: Sequence[Sequence[float]] = ()) -> Picture:
    """Draw ``(title, sound)`` pairs in two columns, each over its full width, with a time axis below.

    ``marks`` are the times in seconds of each sound at which to draw a dotted line.
    """
    columns = min(2, len(sounds))
    rows = -(-len(sounds) // max(1, columns))
    height = TITLE_HEIGHT + WAVE_HEIGHT + MEL_HEIGHT + AXIS_HEIGHT + GAP
    canvas = Pillow.new("RGB", (max(1, columns) * (WIDTH + GAP) + GAP, rows * height + GAP), "white")
    for index, (title, sound) in enumerate(sounds):
        x, y = GAP + index % columns * (WIDTH + GAP), GAP + index // columns * height
        draw = ImageDraw.Draw(canvas)
        font, line = _fit_title(draw, title)
        draw.text((x, y), line, "black", font)
        canvas.paste(Pillow.fromarray(_draw_waveform(sound)), (x, y + TITLE_HEIGHT))
        canvas.paste(Pillow.fromarray(_draw_spectrogram(sound)), (x, y + TITLE_HEIGHT + WAVE_HEIGHT))
        if sound.seconds:
            for time in marks[index] if marks else ():
                _draw_dotted_line(draw, x + min(WIDTH - 1, round(time / sound.seconds * WIDTH)), y + TITLE_HEIGHT)
            _draw_time_axis(draw, x, y + TITLE_HEIGHT + WAVE_HEIGHT + MEL_HEIGHT, sound.seconds)
    return Picture(np.asarray(canvas).copy())


def spectrogram_only(sound: Waveform) -> Picture:
    """Draw the spectrogram without title and axis."""
    return Picture(_draw_spectrogram(sound))


def log_mel(sound: Waveform, frames: int = WIDTH, mels: int = 80) -> NDArray[np.float32]:
    """Compute a log-mel spectrogram in decibels relative to its maximum.

    Returns:
        (mels, at most about ``frames``), from low to high; fewer mels than ``mels`` at low sample rates.
    """
    from torchaudio.transforms import MelSpectrogram

    window = 2 ** round(math.log2(sound.sample_rate * 0.032))
    samples = torch.from_numpy(sound.samples)
    samples = torch.nn.functional.pad(samples, (0, max(0, window - len(samples))))
    hop_length = max(1, round(len(samples) / frames), window // 64)
    transform = MelSpectrogram(
        sound.sample_rate, window, hop_length=hop_length, n_mels=min(mels, window // 4), pad_mode="constant",
        norm="slaney", mel_scale="slaney",
    )  # fmt: skip
    power = transform(samples)[:, : len(sound.samples) // hop_length + 1]
    decibels = 10 * torch.log10(power / power.max().clamp(min=1e-10) + 1e-10)
    return np.asarray(decibels, np.float32)


def _draw_spectrogram(sound: Waveform) -> NDArray[np.uint8]:
    """Draw the spectrogram (``MEL_HEIGHT``, ``WIDTH``, 3), with low frequencies at the bottom."""
    loudness = (log_mel(sound)[::-1] / RANGE_DB + 1).clip(0, 1) * (len(COLORMAP) - 1)
    anchors = np.arange(len(COLORMAP))
    pixels = np.stack([np.interp(loudness, anchors, channel) for channel in COLORMAP.T], -1).round().astype(np.uint8)
    return np.asarray(Pillow.fromarray(pixels).resize((WIDTH, MEL_HEIGHT), Pillow.Resampling.BILINEAR))


def _draw_waveform(sound: Waveform) -> NDArray[np.uint8]:
    """Draw the waveform (``WAVE_HEIGHT``, ``WIDTH``, 3).

    Each column spans the lowest to the highest of its samples and the first sample of the next column.
    """
    samples = sound.samples
    pixels = np.full((WAVE_HEIGHT, WIDTH, 3), 248, np.uint8)
    middle = (WAVE_HEIGHT - 1) / 2
    pixels[round(middle)] = 200
    if len(samples):
        edges = np.linspace(0, len(samples), WIDTH + 1).astype(int)
        ends = np.minimum(np.maximum(edges[1:], edges[:-1] + 1) + 1, len(samples))
        places = np.stack([edges[:-1], ends], 1).ravel()  # reduceat reduces from each start to its end, at even places
        padded = np.append(samples, samples[-1])
        levels = (reduce.reduceat(padded, places)[::2].astype(np.float64) for reduce in (np.maximum, np.minimum))
        top, bottom = (np.rint(middle * (1 - level)) for level in levels)
        rows = np.arange(WAVE_HEIGHT)[:, None]
        pixels[(rows >= top) & (rows <= bottom)] = COLORMAP[2]
    return pixels


def _draw_dotted_line(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    """Draw a vertical line from ``y`` down across the waveform and the spectrogram."""
    for row in range(y, y + WAVE_HEIGHT + MEL_HEIGHT, 4):
        draw.line((x, row, x, row + 1), MARK_COLOR)


def _draw_time_axis(draw: ImageDraw.ImageDraw, x: int, y: int, seconds: float) -> None:
    step = _tick_step(seconds)
    for index in range(math.floor(seconds / step + 1e-6) + 1):
        tick = x + min(WIDTH - 1, round(index * step / seconds * WIDTH))
        draw.line((tick, y, tick, y + 4), "black")
        is_last = tick > x + WIDTH - 24
        text = f"{index * step:.10g}" + (" s" if index == 0 else "")
        draw.text((tick if index == 0 else tick - 12 if is_last else tick, y + 5), text, "black", _SMALL_FONT,
                  anchor="la" if index == 0 else "ra" if is_last else "ma")  # fmt: skip


def _tick_step(seconds: float) -> float:
    """Return the distance of ticks: 1, 2 or 5 times a power of ten, for at most eight ticks."""
    power = 10.0 ** math.floor(math.log10(seconds / 8))
    return next(step for factor in (1, 2, 5, 10) if (step := factor * power) * 8 >= seconds * (1 - 1e-9))


def _fit_title(draw: ImageDraw.ImageDraw, title: str) -> tuple[Font, str]:
    """Shorten a title to one line of ``WIDTH`` pixels; return its font, too."""
    text = " ".join(title[:500].split())
    font, text = label_font(text, FONT_SIZE)
    candidates = (text, *(f"{text[:end]}..." for end in range(len(text) - 1, 0, -1)))
    return font, next((line for line in candidates if draw.textlength(line, font) <= WIDTH), "")


_SMALL_FONT = ImageFont.load_default(11)
