"""A sound that is written while it is made: at every moment what is on the disk can be played."""

import wave
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from genai.media.sound import Sound


class Growing:
    """A WAV of 16 bits that grows. Its header counts the samples before those that are being added, then all.

    So a reader, or a kill at any moment, finds a whole file.

    Args:
        path: of the file, which is made anew.
        rate: samples a second.
    """

    def __init__(self, path: Path, rate: int) -> None:
        self._file = path.open("wb")
        self._wave = wave.Wave_write(self._file)
        self._wave.setparams((1, 2, rate, 0, "NONE", ""))
        try:
            self.append(Sound(np.empty(0, np.float32), rate))
        except OSError:
            with suppress(OSError):
                self.close()
            raise

    def append(self, part: Sound) -> None:
        """``part`` has the file's rate."""
        self._wave.writeframes(part.pcm.tobytes())
        self._file.flush()

    def close(self) -> None:
        with self._file:
            self._wave.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with nullcontext() if error is None else suppress(OSError):  # where the disk is full it is so at the end, too
            self.close()
