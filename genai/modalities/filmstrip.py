"""Clips to look at side by side: as strips of their frames, and as one picture that moves."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from genai.modalities.clip import Clip
from genai.modalities.film_writer import enlarged
from genai.modalities.picture import Picture, contact_sheet, wrapped

SHOWN = 32
"""The most clips of one picture."""
SIDE = 96


def filmstrip(samples: Sequence[tuple[str, Clip]], most: int = 8) -> Picture:
    """A row a clip: its prompt, and below it ``most`` frames of it, the first and the last among them."""
    strips = [(prompt, _strip(clip, most)) for prompt, clip in samples[:SHOWN]]
    text, gap = 16, 6
    height = sum(strip.shape[0] + text + gap for _, strip in strips) + gap
    canvas = Pillow.new("RGB", (max(strip.shape[1] for _, strip in strips) + 2 * gap, height), "white")
    draw, y = ImageDraw.Draw(canvas), gap
    for prompt, strip in strips:
        draw.text((gap, y), wrapped(prompt, strip.shape[1] // 6, 1), "black")
        canvas.paste(Pillow.fromarray(strip), (gap, y + text))
        y += strip.shape[0] + text + gap
    return Picture(np.asarray(canvas).copy())


def animated(samples: Sequence[tuple[str, Clip]]) -> tuple[bytes, int, int]:
    """All clips playing side by side: an animated PNG, its height and its width."""
    shown = samples[:SHOWN]
    count = max(len(clip.frames) for _, clip in shown)
    sheets = [
        contact_sheet([(prompt, _still(clip, min(at, len(clip.frames) - 1))) for prompt, clip in shown]).image
        for at in range(count)
    ]
    file = io.BytesIO()
    each = round(1000 / shown[0][1].fps)
    sheets[0].save(file, "png", save_all=True, append_images=sheets[1:], duration=each, loop=0)
    return file.getvalue(), sheets[0].height, sheets[0].width


def _strip(clip: Clip, most: int) -> np.ndarray:
    at = np.linspace(0, len(clip.frames) - 1, min(most, len(clip.frames))).round().astype(int)
    frames = enlarged(clip.frames[at], SIDE, even=False)
    frames = frames if frames.shape[-1] == 3 else frames.repeat(3, -1)
    apart = np.pad(frames, [(0, 0), (0, 0), (0, 2), (0, 0)], constant_values=255)
    return np.ascontiguousarray(np.concatenate(list(apart), 1)[:, :-2])


def _still(clip: Clip, at: int) -> Picture:
    return Picture(clip.frames[at])
