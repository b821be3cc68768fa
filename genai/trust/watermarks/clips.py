"""Watermark of clips: that of pictures in every frame, moved to another place of its tile from frame to frame.

A small frame has too few pixels for a watermark. All frames of a clip together have enough, because the signs of one
frame are others than those of the next.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice

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
MAX_FRAMES, MAX_PIXELS = 256, 2**24
"""Frames that are searched, and pixels of all of them."""
MAX_FRAME_SIDE = 1024
"""Side, in pixels, of the part of larger frames that is searched."""


def add_to_clip(clip: Clip, key: WatermarkKey) -> Clip:
    """Return a clip with the watermark in its frames; its sound stays as it is."""
    shifts = _shifts(key)
    frames = [add_to_pixels(pixels, key, shifts[index % PERIOD]) for index, pixels in enumerate(clip.frames)]
    return replace(clip, frames=np.stack(frames))


def detect_in_clip(frames: Iterable[NDArray[np.uint8]], key: WatermarkKey) -> Detection:
    """Search frames (height, width, channels) at every shift, wherever the first one is in the period.

    They are read one by one, up to ``MAX_FRAMES`` and ``MAX_PIXELS``.
    """
    folded: dict[int, NDArray[np.float64]] = {}
    num_pixels = 0
    for index, pixels in enumerate(islice(frames, MAX_FRAMES)):
        folded = folded or {factor: np.zeros((PERIOD, TILE, TILE)) for factor in _factors(pixels.shape[:2])}
        values = brightness(pixels[:MAX_FRAME_SIDE, :MAX_FRAME_SIDE])
        for factor, sums in folded.items():
            sums[index % PERIOD] += fold(residual(_reduced(values, factor)))
        num_pixels += values.size
        if num_pixels >= MAX_PIXELS:
            break
    shifts, z = _shifts(key), [0.0]
    for sums in folded.values():
        for start in range(PERIOD):
            moved = [np.roll(each, _negative(shifts[(start + n) % PERIOD]), (0, 1)) for n, each in enumerate(sums)]
            z.append(float(correlations(np.sum(moved, 0), key).max()))
    num_tests = TILE * TILE * PERIOD * max(1, len(folded))
    return Detection("clip", sign_sum_p(max(z), num_tests), key.name)


def _factors(sides: Sequence[int]) -> list[int]:
    """Return the factors by which frames with these sides may have been enlarged."""
    return [
        factor for factor in FACTORS if min(sides) // factor >= MIN_FRAME_SIDE and not any(s % factor for s in sides)
    ]


def _reduced(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return the mean of each square of ``factor`` x ``factor`` values."""
    height, width = (side // factor for side in values.shape)
    whole = values[: height * factor, : width * factor]
    result: NDArray[np.float32] = whole.reshape(height, factor, width, factor).mean((1, 3))
    return result


def _shifts(key: WatermarkKey) -> list[Shift]:
    """Return the shift of each frame of a period."""
    numbers = key.random_bits("shifts of frames", 2 * PERIOD) % np.uint64(NUM_BLOCKS)
    return [(int(row) * BLOCK, int(column) * BLOCK) for row, column in numbers.reshape(PERIOD, 2)]


def _negative(shift: Shift) -> Shift:
    return -shift[0], -shift[1]
