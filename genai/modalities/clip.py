"""Clips as people have them: any video file <-> uint8 frames at a frame rate, with a sound where there is one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from genai.modalities.sound import Sound


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames that follow each other at equal intervals.

    Attributes:
        frames: (time, height, width, channels) uint8, one channel (grey) or three (RGB).
        fps: frames a second.
        sound: that goes with them.
        suffix: of the file that it is written to.
    """

    frames: NDArray[np.uint8]
    fps: float
    sound: Sound | None = None
    suffix: str = ".mp4"

    @classmethod
    def read(cls, path: Path, fps: float | None = None, about: int | None = None) -> Self:
        raise NotImplementedError

    def to_bytes(self, suffix: str | None = None) -> bytes:
        raise NotImplementedError

    @property
    def seconds(self) -> float:
        return len(self.frames) / self.fps

    @property
    def on_terminal(self) -> str:
        return ""
