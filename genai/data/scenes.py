"""Scenes of a film: the parts between hard cuts."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genai.data.parts import Part

MIN_CHANGE = 12.0
"""Smallest mean difference of two frames (of 255) at a cut."""
MIN_RATIO = 3.0
"""Smallest ratio of that difference to the median of its neighbors, which motion does not reach."""
WINDOW = 4
"""Number of neighbors on each side. A fade over more frames is not a cut."""
FLASH_FRAMES = 3
"""A change that is undone within so many frames is a flash, not a cut."""
MIN_SCENE_FRAMES = 2
"""Scenes with fewer frames have no motion and are left out."""
TIME_TOLERANCE = 0.001
"""Rounding error of times in seconds, as when frames are read at another rate."""


def detect_cuts(frames: NDArray[Any]) -> list[int]:
    """Return the indices of the frames that begin a new scene.

    A cut is a difference of consecutive frames that is large, and large for its place, as in the adaptive detector of
    PySceneDetect. The frames before it all differ from the frames after it.

    Args:
        frames: (time, height, width, channels) uint8; about 8 pixels a side, which average noise and small motion.
    """
    if len(frames) < 3:
        return []
    pixels = frames.reshape(len(frames), -1).astype(np.int16)
    changes = np.abs(np.diff(pixels, axis=0)).mean(1)  # (time - 1)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(changes, WINDOW, constant_values=np.nan), 2 * WINDOW + 1)
    medians = np.nanmedian(np.delete(windows, WINDOW, axis=1), axis=1)
    candidates = np.flatnonzero((changes > MIN_CHANGE) & (changes > MIN_RATIO * medians)) + 1
    return [int(index) for index in candidates if not _is_flash(pixels, int(index))]


def _is_flash(pixels: NDArray[np.int16], index: int) -> bool:
    """Return whether a frame shortly after ``index`` resembles one shortly before it."""
    before = pixels[max(0, index - FLASH_FRAMES - 1) : index, None]
    after = pixels[None, index : index + FLASH_FRAMES + 1]
    return bool((np.abs(after - before).mean(2) <= MIN_CHANGE).any())


def split_scenes(cuts: Sequence[float], part: Part, fps: float) -> tuple[list[Part], int]:
    """Divide a part of a film at its cuts.

    Cuts are rounded up to whole frames: a scene begins with the first frame that is shown after the cut.

    Args:
        cuts: times in seconds.
        part: start and end in seconds.
        fps: frames per second at which the film is read.

    Returns:
        Start and end of each scene in seconds, and the number of scenes left out because they are too short. If there
        are no cuts, or no scene is long enough, the part is the only scene.
    """
    start, end = part
    inside = [cut for cut in cuts if start < cut < end]
    indices = [*(math.ceil((time - TIME_TOLERANCE) * fps) for time in (start, *inside)), round(end * fps)]
    scenes = [(first, last) for first, last in pairwise(indices) if last > first]
    parts: list[Part] = [(first / fps, last / fps) for first, last in scenes if last - first >= MIN_SCENE_FRAMES]
    return (parts, len(scenes) - len(parts)) if cuts and parts else ([part], 0)
