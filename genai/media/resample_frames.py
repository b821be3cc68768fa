"""Frames with time stamps -> frames at equal intervals in one array."""

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genai.core.errors import UserError
from genai.media import picture

MAX_BYTES = 2 << 30
"""Limit on the decoded frames of a file, in bytes: about ten minutes of 128 x 128 pixels at 30 fps."""

PixelArray = NDArray[np.uint8]


class TimedFrame(NamedTuple):
    """A frame of a video with its display time.

    Attributes:
        start: display time in seconds.
        end: end of the display time in seconds, used only for the last frame.
        pixels: returns (height, width, channels); not called for frames that are skipped.
    """

    start: float
    end: float
    pixels: Callable[[], PixelArray]


class FrameBuffer:
    """Growing buffer of frames of one size, gray if all are gray, else RGB, limited to ``MAX_BYTES``."""

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0
        self._bytes, self._size, self._is_gray = bytearray(), (0, 0), True

    def add(self, pixels: PixelArray, times: int = 1) -> None:
        """Append ``pixels`` (height, width, channels) ``times`` times. Raises ``UserError`` at the limit."""
        if self.count and pixels.shape[:2] != self._size:
            raise UserError(f"{self.path} has pictures of different sizes.")
        height, width = self._size = pixels.shape[:2]
        self.count += times
        check_frame_size(self.path, self.count, width, height)
        self._is_gray = self._is_gray and pixels.shape[2] == 1
        self._bytes += np.broadcast_to(pixels, (height, width, 3)).tobytes() * times

    @property
    def frames(self) -> PixelArray:
        """All frames, (time, height, width, channels)."""
        frames = np.frombuffer(self._bytes, np.uint8).reshape(-1, *self._size, 3)
        return frames[..., :1].copy() if self._is_gray else frames


def resample_frames(
    path: Path,
    timed_frames: Iterable[TimedFrame],
    fps: float | None,
    declared_fps: float | None = None,
    tolerance: float = 0.001,
) -> tuple[PixelArray, float]:
    """Resample frames to equal intervals: frame ``k`` is the one shown ``k / fps`` seconds after the first.

    Args:
        path: the file, for messages.
        timed_frames: in order of time.
        fps: frames per second; ``None``: the average. Frames at about equal intervals are then kept as they are.
        declared_fps: the average according to the file, used if it is about right.
        tolerance: rounding error of the times in such files, in seconds.

    Returns:
        Frames (time, height, width, channels), and frames per second.

    Raises:
        UserError: there are no frames, or more than ``MAX_BYTES``.
    """
    buffer, starts, end = FrameBuffer(path), list[float](), 0.0
    for frame, next_frame in pairwise(chain(timed_frames, [None])):
        assert frame is not None
        starts.append(frame.start)
        end = max(end, (next_frame.start if next_frame else frame.end) - starts[0])
        repeats = 1 if fps is None else _num_frames(end, fps, tolerance) - buffer.count
        if repeats > 0 or not (next_frame or buffer.count):
            buffer.add(frame.pixels(), max(1, repeats))
    if not starts:
        raise UserError(f"{path} has no frames that can be read.")
    if fps is not None:
        return buffer.frames, fps
    times = np.maximum.accumulate(starts) - starts[0]
    fps = _average_fps(buffer.count, end, declared_fps)
    if np.abs(times * fps - np.arange(buffer.count)).max() < 0.5:
        return buffer.frames, fps
    count = max(1, _num_frames(end, fps, tolerance))
    return buffer.frames[np.searchsorted(times, np.arange(count) / fps + tolerance, "right") - 1], fps


def check_frame_size(path: Path, count: float, width: int, height: int) -> None:
    """Raise ``UserError`` for frames that are too large or too many."""
    if width * height > picture.MAX_PIXELS:
        raise UserError(f"{path} has {width} x {height} pixels, more than {picture.MAX_PIXELS:,}.")
    if count * width * height * 3 > MAX_BYTES:
        raise UserError(f"{path} has {count:,.0f} frames of {width} x {height}, too large to read at once: cut it up.")


def fit_short_side(width: float, height: float, short_side: int | None) -> tuple[int, int]:
    """Return width and height, scaled down so that the shorter side has at most ``short_side`` pixels."""
    scale = min(1.0, short_side / min(width, height)) if short_side else 1.0
    return max(1, round(width * scale)), max(1, round(height * scale))


def _num_frames(end: float, fps: float, tolerance: float) -> int:
    """Count the frames that begin before ``end``."""
    return math.ceil(min((end - tolerance) * fps, 1e15))


def _average_fps(count: int, seconds: float, declared_fps: Any) -> float:
    """Return the average frames per second, or the declared value if it is about right."""
    if seconds <= 0:
        return float(declared_fps or 8)
    average = count / seconds
    if declared_fps and abs(declared_fps / average - 1) < 0.02:
        return float(declared_fps)
    return float(Fraction(average).limit_denominator(1001)) or average
