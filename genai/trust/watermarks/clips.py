"""Watermark of clips: that of pictures in every frame, moved to another place of its tile from frame to frame.

A small frame has too few pixels for a watermark. All frames of a clip together have enough, because the signs of one
frame are others than those of the next.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from genai.media.clip import Clip
from genai.trust.watermarks.detection import Detection, sign_sum_p
from genai.trust.watermarks.key import WatermarkKey
from genai.trust.watermarks.pictures import (
    BLOCK,
    NUM_BLOCKS,
    TILE,
    Shift,
    add_to_pixels,
    brightness,
    correlations,
    fold,
    residual,
)

PERIOD = 16
"""Frames after which the shifts repeat."""
FACTORS = (1, 2, 4, 6, 8, 10, 12, 14, 16)
"""Factors by which small frames are enlarged in files, without smoothing."""
MIN_FRAME_SIDE = 16
MAX_FRAMES = 256
"""Frames that are searched."""


def add_to_clip(clip: Clip, key: WatermarkKey) -> Clip:
    """Return a clip with the watermark in its frames; its sound stays as it is."""
    shifts = _shifts(key)
    frames = [add_to_pixels(pixels, key, shifts[index % PERIOD]) for index, pixels in enumerate(clip.frames)]
    return replace(clip, frames=np.stack(frames))


def detect_in_clip(frames: NDArray[np.uint8], key: WatermarkKey) -> Detection:
    """Search frames (time, height, width, channels) at every shift, wherever the first one is in the period."""
    frames, shifts = frames[:MAX_FRAMES], _shifts(key)
    sides = frames.shape[1:3]
    factors = [
        factor for factor in FACTORS if min(sides) // factor >= MIN_FRAME_SIDE and not any(s % factor for s in sides)
    ]
    num_tests = TILE * TILE * PERIOD * max(1, len(factors))
    z = [0.0]
    for factor in factors:
        folded = _fold_by_phase(frames, factor)
        for start in range(PERIOD):
            moved = [np.roll(each, _negative(shifts[(start + n) % PERIOD]), (0, 1)) for n, each in enumerate(folded)]
            z.append(float(correlations(np.sum(moved, 0), key).max()))
    return Detection("clip", sign_sum_p(max(z), num_tests), key.name)


def _fold_by_phase(frames: NDArray[np.uint8], factor: int) -> NDArray[np.float64]:
    """Return the folded residuals of frames, reduced by ``factor``: the sum of those that have the same shift,
    (PERIOD, TILE, TILE)."""
    folded = np.zeros((PERIOD, TILE, TILE))
    for index, pixels in enumerate(frames):
        values = brightness(pixels)
        height, width = values.shape
        small = values.reshape(height // factor, factor, width // factor, factor).mean((1, 3))
        folded[index % PERIOD] += fold(residual(small))
    return folded


def _shifts(key: WatermarkKey) -> list[Shift]:
    """Return the shift of each frame of a period."""
    numbers = key.random_bits("shifts of frames", 2 * PERIOD) % np.uint64(NUM_BLOCKS)
    return [(int(row) * BLOCK, int(column) * BLOCK) for row, column in numbers.reshape(PERIOD, 2)]


def _negative(shift: Shift) -> Shift:
    return -shift[0], -shift[1]
