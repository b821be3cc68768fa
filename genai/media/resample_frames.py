"""Pictures that are each shown from some time on -> frames at equal intervals, in one piece of memory."""

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

LARGEST = 2 << 30
"""Bytes of the frames of a file that is still read: ten minutes of 128 x 128 at 30 a second, say; a memory has more."""

Frames = NDArray[np.uint8]


class Shown(NamedTuple):
    """A picture of a film.

    Attributes:
        start: from when it is shown, in seconds.
        end: until when, where no other follows.
        pixels: gives (height, width, channels); is not asked for those that are passed over.
    """

    start: float
    end: float
    pixels: Callable[[], Frames]


class Kept:
    """Frames of one size: grey where all are, else RGB. Raises ``UserError`` for more than ``LARGEST``."""

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0
        self._bytes, self._sides, self._grey = bytearray(), (0, 0), True

    def add(self, pixels: Frames, times: int = 1) -> None:
        """(height, width, channels), that many times."""
        if self.count and pixels.shape[:2] != self._sides:
            raise UserError(f"{self.path} has pictures of different sizes.")
        height, width = self._sides = pixels.shape[:2]
        self.count += times
        check(self.path, self.count, width, height)
        self._grey = self._grey and pixels.shape[2] == 1
        self._bytes += np.broadcast_to(pixels, (height, width, 3)).tobytes() * times

    @property
    def frames(self) -> Frames:
        """(time, height, width, channels)."""
        frames = np.frombuffer(self._bytes, np.uint8).reshape(-1, *self._sides, 3)
        return frames[..., :1].copy() if self._grey else frames


def steady(
    path: Path, shown: Iterable[Shown], fps: float | None, declared: float | None = None, slack: float = 0.001
) -> tuple[Frames, float]:
    """Frame ``k`` is the picture that is shown at ``k / fps`` after the first: the last that has begun by then.

    Args:
        path: that messages name.
        shown: in the order of time.
        fps: frames a second; ``None``: as many as there are on average. Each picture is then a frame where they
            follow each other about evenly.
        declared: what the file says that average is; it counts where it is about right.
        slack: seconds by which times are rounded in such files.

    Returns:
        (time, height, width, channels), and frames a second.

    Raises:
        UserError: there is no picture, or more than ``LARGEST``.
    """
    kept, starts, end = Kept(path), list[float](), 0.0
    for each, following in pairwise(chain(shown, [None])):
        assert each is not None
        starts.append(each.start)
        end = max(end, (following.start if following else each.end) - starts[0])
        due = 1 if fps is None else _count(end, fps, slack) - kept.count
        if due > 0 or not (following or kept.count):
            kept.add(each.pixels(), max(1, due))
    if not starts:
        raise UserError(f"{path} has no frames that can be read.")
    if fps is not None:
        return kept.frames, fps
    times = np.maximum.accumulate(starts) - starts[0]
    rate = _average(kept.count, end, declared)
    if np.abs(times * rate - np.arange(kept.count)).max() < 0.5:
        return kept.frames, rate
    count = max(1, _count(end, rate, slack))
    return kept.frames[np.searchsorted(times, np.arange(count) / rate + slack, "right") - 1], rate


def check(path: Path, count: float, width: int, height: int) -> None:
    """Raises ``UserError`` for frames that are too large or too many."""
    if width * height > picture.LARGEST:
        raise UserError(f"{path} has {width} x {height} pixels, more than {picture.LARGEST:,}.")
    if count * width * height * 3 > LARGEST:
        raise UserError(f"{path} has {count:,.0f} frames of {width} x {height}, more than is read at once: cut it up.")


def fitted(width: float, height: float, about: int | None) -> tuple[int, int]:
    """Width and height, the shorter made ``about`` where it is longer."""
    scale = min(1.0, about / min(width, height)) if about else 1.0
    return max(1, round(width * scale)), max(1, round(height * scale))


def _count(end: float, fps: float, slack: float) -> int:
    """Of the frames that begin before ``end``."""
    return math.ceil(min((end - slack) * fps, 1e15))


def _average(count: int, seconds: float, declared: Any) -> float:
    """Frames a second: the declared ones where they are about right."""
    if seconds <= 0:
        return float(declared or 8)
    counted = count / seconds
    if declared and abs(declared / counted - 1) < 0.02:
        return float(declared)
    return float(Fraction(counted).limit_denominator(1001)) or counted
