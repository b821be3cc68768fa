"""WAV files written in parts while a sound is generated; the file can be played at every moment."""

import struct
import wave
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from genai.media.sound import Sound

UNKNOWN_SIZE = 0xFFFFFFFF
"""Number of bytes in the header of a WAV whose length is not known."""


class WavWriter:
    """Writer of a 16-bit mono WAV file in parts.

    The header counts the new samples only after they are written, so the file is valid even if the process is killed.

    Args:
        path: the file, which is overwritten.
        sample_rate: in samples per second.
    """

    def __init__(self, path: Path, sample_rate: int) -> None:
        self._file = path.open("wb")
        self._wave = wave.Wave_write(self._file)
        self._wave.setparams((1, 2, sample_rate, 0, "NONE", ""))
        try:
            self.append(Sound(np.empty(0, np.float32), sample_rate))
        except OSError:
            with suppress(OSError):
                self.close()
            raise

    def append(self, part: Sound) -> None:
        """Append ``part``, which has the sample rate of the file."""
        self._wave.writeframes(part.pcm.tobytes())
        self._file.flush()

    def close(self) -> None:
        with self._file:
            self._wave.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with nullcontext() if error is None else suppress(OSError):  # a full disk fails again here
            self.close()


def stream_header(sample_rate: int) -> bytes:
    """Return the header of a 16-bit mono WAV of unknown length; the bytes of ``Sound.pcm`` follow until the end."""
    layout = struct.pack("<IHHIIHH", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    size = struct.pack("<I", UNKNOWN_SIZE)
    return b"RIFF" + size + b"WAVEfmt " + layout + b"data" + size
