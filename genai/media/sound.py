"""Sounds as people have them: any audio file <-> a mono waveform."""

import io
import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from genai.core.errors import UserError, join_names
from genai.media.data_url import data_url, of_file

RATES = range(1_000, 768_001)
"""Samples a second of a file that is still read."""
LARGEST = 480_000_000
"""Samples of a file that is still read: three hours at 44.1 kHz; a longer one would fill the memory of a laptop."""
ENDLESS = 2**63 - 1
"""What libsndfile says of a FLAC that was written into a pipe, and does not know its length."""
WRITTEN = {".wav": "PCM_16", ".flac": "PCM_16", ".ogg": "VORBIS"}
CONTAINERS = (
    "mov,mp4,m4a,matroska,webm,mp3,aac,ac3,eac3,asf,amr,amrnb,amrwb,ogg,flac,wav,w64,aiff,caf,au,avi,flv,mpeg,mpegts,"
    "ape,tta,wv,dts,mpc,mpc8"
)
"""What FFmpeg may open: no play list, which names other files."""


@dataclass(frozen=True, eq=False)
class Sound:
    """A mono sound.

    Attributes:
        samples: (time,) float32 in [-1, 1].
        rate: samples a second.
        suffix: of the file that it is written to.
    """

    samples: NDArray[np.float32]
    rate: int
    suffix: str = ".wav"

    @classmethod
    def read(cls, path: Path, rate: int | None = None) -> Self:
        """Any file that libsndfile or FFmpeg opens, the sound of a video among them: the mean of its channels.

        Samples beyond [-1, 1], which files of floats can have, are scaled down by their peak: clipping would distort.
        A file that is shorter than it says is refused; OGG does not say, and is read as far as it goes.

        Args:
            path: of the file.
            rate: that it comes out in; its own where that is ``None``.

        Raises:
            UserError: naming the file: missing, no sound in it, empty, damaged or cut short, numbers that are not
                finite, a rate outside ``RATES``, more than ``LARGEST`` samples.
        """
        if rate is not None and rate not in RATES:
            raise UserError(f"a rate of {rate:,} samples a second: it should be from {RATES[0]:,} to {RATES[-1]:,}.")
        samples, own = _read(Path(path))
        if not len(samples):
            raise UserError(f"{path} has no samples.")
        if not np.isfinite(samples.sum(dtype=np.float64)):
            raise UserError(f"{path} has samples that are not finite numbers.")
        return cls(_within(samples), own) if rate in (None, own) else cls(_within(samples), own).at(rate)

    def at(self, rate: int) -> Self:
        """The same sound with ``rate`` samples a second, band-limited."""
        if rate == self.rate:
            return self
        import torch
        from torchaudio.functional import resample

        # the filters of 44,100 -> 16,001 would take gigabytes; a ratio nearby is a thousandth of a cent out of tune
        ratio = Fraction(rate, self.rate).limit_denominator(1000)
        changed = resample(torch.from_numpy(self.samples), ratio.denominator, ratio.numerator)
        return type(self)(_within(changed.numpy()), rate, self.suffix)

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    @property
    def pcm(self) -> NDArray[np.int16]:
        """(time,) in 16 bits; exact where the samples came from a file of 16 bits."""
        return (self.samples * np.float32(32_768)).round().clip(-32_768, 32_767).astype(np.int16)

    def to_bytes(self, suffix: str | None = None) -> bytes:
        """WAV or FLAC in 16 bits, or OGG (Vorbis). Raises ``UserError`` for another suffix."""
        import soundfile

        kind = "." + (suffix or self.suffix).lstrip(".").lower()
        if kind not in WRITTEN:
            raise UserError(f"cannot write a sound as {kind}. There are: {join_names(WRITTEN)}.")
        samples = self.samples if kind == ".ogg" else self.pcm
        file = io.BytesIO()
        try:
            with soundfile.SoundFile(file, "w", self.rate, 1, WRITTEN[kind], format=kind[1:]) as writer:
                for start in range(0, len(samples), 65_536):  # libsndfile's Vorbis overflows its stack on long blocks
                    writer.write(samples[start : start + 65_536])
        except soundfile.LibsndfileError as error:
            raise UserError(f"cannot write {self.rate:,} samples a second as {kind}: {_said(error)}.") from error
        return file.getvalue()

    @property
    def on_terminal(self) -> str:
        return ""

    @classmethod
    def on_page(cls, path: Path) -> str:
        """A player below the spectrogram."""
        from genai.media import spectrogram

        return f"{spectrogram.bare(cls.read(path))._repr_html_()}<audio controls src='{of_file(path)}'></audio>"

    def _repr_html_(self) -> str:
        return f"<audio controls src='{data_url(self.to_bytes('.wav'), '.wav')}'></audio>"


def _within(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    peak = np.abs(samples).max(initial=0)
    return samples / peak if peak > 1 else samples


def _read(path: Path) -> tuple[NDArray[np.float32], int]:
    """(time,) samples and their rate: by libsndfile what it opens, by FFmpeg the rest."""
    import av
    import soundfile

    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(4)
            file.seek(0)
            if not head:
                raise UserError(f"{path} is an empty file.")
            # libsndfile would read MP3 too, but prints its complaints, and says nothing of one that is cut short
            if not (head.startswith(b"ID3") or (head[0] == 0xFF and head[1:2] >= b"\xe0")):
                try:
                    reader = soundfile.SoundFile(file.fileno(), closefd=False)
                except soundfile.LibsndfileError:
                    pass
                else:
                    with reader:
                        if reader.frames != ENDLESS:
                            return _by_libsndfile(path, reader)
        # "file:", so that no part of a name is taken for a protocol
        with av.open(f"file:{path}", options={"format_whitelist": CONTAINERS}, metadata_errors="replace") as container:
            return _by_ffmpeg(path, container)
    except soundfile.LibsndfileError as error:
        raise UserError(f"{path} is damaged: {_said(error)}.") from error
    except av.error.FFmpegError as error:
        raise UserError(f"{path} is not a sound that can be read, or damaged.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot read {path}: {reason.rstrip('.')}.") from error


def _by_libsndfile(path: Path, file: Any) -> tuple[NDArray[np.float32], int]:
    _check(path, file.samplerate, file.frames)
    told = re.search(r"(?:data|SSND|Data Size) *: (\d+) \(should be (\d+)\)", file.extra_info)
    declared, there = map(int, told.groups()) if told else (0, 0)
    whole = declared >= 0x7FFF0000 or declared <= 1.01 * there  # a recorder that never knew the end writes the largest
    samples = np.empty(file.frames, np.float32)
    count = 0
    for block in file.blocks(65_536, dtype="float32", always_2d=True):
        samples[count : count + len(block)] = block.mean(1)
        count += len(block)
    if count < file.frames or not whole:
        raise UserError(f"{path} is cut short.")
    return samples, file.samplerate


def _by_ffmpeg(path: Path, container: Any) -> tuple[NDArray[np.float32], int]:
    if not container.streams.audio:
        raise UserError(f"{path} has no sound in it.")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise UserError(f"{path} has sound of an unknown kind.")
    rate, declared = stream.rate, _declared(container, stream)
    _check(path, rate, round(declared * rate))
    frames = container.decode(stream)
    first = next(frames, None)
    rate = rate if first is None else first.sample_rate
    parts, count = [], 0
    for frame in chain([] if first is None else [first], frames):
        if frame.sample_rate != rate:
            raise UserError(f"{path} changes its sample rate.")
        parts.append(_mono(frame))
        _check(path, rate, count := count + frame.samples)
    if count < 0.9 * (declared - 0.1) * rate:
        raise UserError(f"{path} is cut short.")
    return np.concatenate([np.empty(0, np.float32), *parts]), rate


def _declared(container: Any, stream: Any) -> float:
    """Seconds that the file says it has; 0 where that would be an estimate, as in an MP3 without a table."""
    if container.format.name in ("mp3", "aac") and not stream.start_time:
        return 0.0
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1e6 if len(container.streams) == 1 else 0.0


def _mono(frame: Any) -> NDArray[np.float32]:
    """The mean of the channels of a frame, planar or not, of any width."""
    values = frame.to_ndarray()
    planes = values if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels).T
    if planes.dtype.kind != "f":
        limits = np.iinfo(planes.dtype)
        planes = (planes.astype(np.float32) - (limits.max + limits.min + 1) / 2) / ((limits.max - limits.min + 1) / 2)
    return planes.mean(0, dtype=np.float32)


def _check(path: Path, rate: int, count: int) -> None:
    if rate not in RATES:
        raise UserError(f"{path} has {rate:,} samples a second: it should be from {RATES[0]:,} to {RATES[-1]:,}.")
    if count > LARGEST:
        raise UserError(
            f"{path} has {count / rate / 3600:.1f} hours of sound at {rate:,} Hz, more than is read at once."
        )


def _said(error: Any) -> str:
    return str(error.error_string).rstrip(".")
