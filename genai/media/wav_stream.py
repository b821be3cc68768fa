"""WAV files written in parts while a sound is generated; the file can be played at every moment."""

import struct
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
        self._path, self._sample_rate, self._chunk, self._num_bytes = path, sample_rate, b"", 0
        try:
            self.append(Sound(np.empty(0, np.float32), sample_rate))
        except OSError:
            with suppress(OSError):
                self.close()
            raise

    def append(self, part: Sound) -> None:
        """Append ``part``, which has the sample rate of the file."""
        pcm = part.pcm.tobytes()
        self._file.seek(len(self._header) + self._num_bytes)
        self._file.write(pcm)
        self._file.flush()
        self._num_bytes += len(pcm)
        self._file.seek(0)
        self._file.write(self._header)
        self._file.flush()

    def insert_chunk(self, chunk: bytes) -> None:
        """Put a chunk of RIFF, such as a label, before the samples so far."""
        pcm = self._path.read_bytes()[len(self._header) :]
        self._chunk, self._num_bytes = self._chunk + chunk, len(pcm)
        self._file.seek(0)
        self._file.write(self._header + pcm)
        self._file.flush()

    @property
    def _header(self) -> bytes:
        return _wav_header(self._sample_rate, self._chunk, self._num_bytes)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with nullcontext() if error is None else suppress(OSError):  # a full disk fails again here
            self.close()


def stream_header(sample_rate: int, chunk: bytes = b"") -> bytes:
    """Return the header of a 16-bit mono WAV of unknown length; the bytes of ``Sound.pcm`` follow until the end.

    Args:
        sample_rate: in samples per second.
        chunk: of RIFF, such as a label, before the samples.
    """
    return _wav_header(sample_rate, chunk, UNKNOWN_SIZE)


def _wav_header(sample_rate: int, chunk: bytes, num_bytes: int) -> bytes:
    layout = struct.pack("<IHHIIHH", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    sizes = (struct.pack("<I", min(size, UNKNOWN_SIZE)) for size in (36 + len(chunk) + num_bytes, num_bytes))
    return b"RIFF" + next(sizes) + b"WAVEfmt " + layout + chunk + b"data" + next(sizes)
