"""Sounds to look at: the waveform over its log-mel spectrogram, each under its title, on one picture."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from genai.media.picture import Picture

WIDTH, WAVE, MELS, TITLE, AXIS, GAP = 480, 56, 160, 18, 20, 14
"""Pixels of one sound: across, and down for each of its parts."""
DECIBELS = 70
"""Below the loudest of a sound: the darkest that is shown."""
COLOURS = np.array(
    [(68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129), (92, 200, 99),
     (170, 220, 50), (253, 231, 37)]
)  # fmt: skip
"""Anchors of viridis, from quiet to loud."""
MARK = (230, 60, 50)


class Waveform(Protocol):
    """Samples (time,) float32 in [-1, 1] and their rate; ``genai.media.sound.Sound`` is one."""

    @property
    def samples(self) -> NDArray[np.float32]: ...

    @property
    def rate(self) -> int: ...

    @property
    def seconds(self) -> float: ...


def picture(sounds: Sequence[tuple[str, Waveform]], marks: Sequence[Sequence[float]] = ()) -> Picture:
    """``(title, sound)`` pairs in two columns. Each sound fills its width, with its seconds below.

    ``marks`` are of each sound the seconds at which a dotted line stands.
    """
    columns = min(2, len(sounds))
    rows = -(-len(sounds) // max(1, columns))
    high = TITLE + WAVE + MELS + AXIS + GAP
    canvas = Pillow.new("RGB", (max(1, columns) * (WIDTH + GAP) + GAP, rows * high + GAP), "white")
    for number, (title, sound) in enumerate(sounds):
        x, y = GAP + number % columns * (WIDTH + GAP), GAP + number // columns * high
        draw = ImageDraw.Draw(canvas)
        draw.text((x, y), _shortened(draw, title), "black", _FONT)
        canvas.paste(Pillow.fromarray(_wave(sound)), (x, y + TITLE))
        canvas.paste(Pillow.fromarray(_spectrogram(sound)), (x, y + TITLE + WAVE))
        if sound.seconds:
            for time in marks[number] if marks else ():
                _dotted(draw, x + min(WIDTH - 1, round(time / sound.seconds * WIDTH)), y + TITLE)
            _axis(draw, x, y + TITLE + WAVE + MELS, sound.seconds)
    return Picture(np.asarray(canvas).copy())


def bare(sound: Waveform) -> Picture:
    """The spectrogram alone, for a page that says the rest."""
    return Picture(_spectrogram(sound))


def log_mel(sound: Waveform, frames: int = WIDTH, mels: int = 80) -> NDArray[np.float32]:
    """(mels, about ``frames`` or fewer) decibels, low to high; 0 is the loudest. Fewer mels where few can be told."""
    from torchaudio.transforms import MelSpectrogram

    window = 2 ** round(math.log2(sound.rate * 0.032))
    samples = torch.from_numpy(sound.samples)
    samples = torch.nn.functional.pad(samples, (0, max(0, window - len(samples))))
    hop = max(1, round(len(samples) / frames), window // 64)
    transform = MelSpectrogram(
        sound.rate, window, hop_length=hop, n_mels=min(mels, window // 4), norm="slaney", mel_scale="slaney",
        pad_mode="constant",
    )  # fmt: skip
    power = transform(samples)[:, : len(sound.samples) // hop + 1]
    decibels = 10 * torch.log10(power / power.max().clamp(min=1e-10) + 1e-10)
    return np.asarray(decibels, np.float32)


def _spectrogram(sound: Waveform) -> NDArray[np.uint8]:
    """(``MELS``, ``WIDTH``, 3): low tones at the bottom."""
    loudness = (log_mel(sound)[::-1] / DECIBELS + 1).clip(0, 1) * (len(COLOURS) - 1)
    anchors = np.arange(len(COLOURS))
    pixels = np.stack([np.interp(loudness, anchors, colour) for colour in COLOURS.T], -1).round().astype(np.uint8)
    return np.asarray(Pillow.fromarray(pixels).resize((WIDTH, MELS), Pillow.Resampling.BILINEAR))


def _wave(sound: Waveform) -> NDArray[np.uint8]:
    """(``WAVE``, ``WIDTH``, 3): in each column from the lowest to the highest sample, up to the next column's first."""
    edges = np.linspace(0, len(sound.samples), WIDTH + 1).astype(int)
    pixels = np.full((WAVE, WIDTH, 3), 248, np.uint8)
    middle = (WAVE - 1) / 2
    pixels[round(middle)] = 200
    for column, (start, end) in enumerate(pairwise(edges)):
        part = sound.samples[start : max(end, start + 1) + 1]
        if len(part):
            top, bottom = (round(middle * (1 - float(level))) for level in (part.max(), part.min()))
            pixels[max(0, top) : bottom + 1, column] = COLOURS[2]
    return pixels


def _dotted(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    """A line from ``y`` down over the wave and the spectrogram."""
    for row in range(y, y + WAVE + MELS, 4):
        draw.line((x, row, x, row + 1), MARK)


def _axis(draw: ImageDraw.ImageDraw, x: int, y: int, seconds: float) -> None:
    step = _step(seconds)
    for number in range(math.floor(seconds / step + 1e-6) + 1):
        place = x + min(WIDTH - 1, round(number * step / seconds * WIDTH))
        draw.line((place, y, place, y + 4), "black")
        last = place > x + WIDTH - 24
        text = f"{number * step:.10g}" + (" s" if number == 0 else "")
        draw.text((place if number == 0 else place - 12 if last else place, y + 5), text, "black", _SMALL,
                  anchor="la" if number == 0 else "ra" if last else "ma")  # fmt: skip


def _step(seconds: float) -> float:
    """Between ticks: 1, 2 or 5 times a power of ten, so that there are at most eight."""
    power = 10.0 ** math.floor(math.log10(seconds / 8))
    return next(step for factor in (1, 2, 5, 10) if (step := factor * power) * 8 >= seconds * (1 - 1e-9))


def _shortened(draw: ImageDraw.ImageDraw, title: str) -> str:
    """As much of a title as its width holds, in one line."""
    text = " ".join(title[:500].split())
    shorter = (text, *(f"{text[:end]}..." for end in range(len(text) - 1, 0, -1)))
    return next((each for each in shorter if draw.textlength(each, _FONT) <= WIDTH), "")


_FONT, _SMALL = ImageFont.load_default(13), ImageFont.load_default(11)
