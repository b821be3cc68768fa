"""Sounds: audio files <-> mono waveforms."""

import io
import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from genai.core.errors import UserError, join_names
from genai.core.files import check_file, open_file
from genai.core.limits import memory_bytes
from genai.media.data_url import data_url, file_data_url

SAMPLE_RATES = range(1_000, 768_001)
"""Supported sample rates, in samples per second."""
MAX_SAMPLES = 480_000_000
"""Longest sound that is read, in samples: three hours at 44.1 kHz; a longer one would fill the memory of a laptop."""
LONG_SAMPLES, MAX_SAMPLES_PER_BYTE = 110_000_000, 80
"""A longer sound whose file has fewer bytes than an eightieth of its samples is taken for a decompression bomb."""
UNKNOWN_LENGTH = 2**63 - 1
"""Length that libsndfile reports for a FLAC that was written to a pipe and does not state its length."""
MIN_INTEGER_PEAK, INTEGER_BITS = 8.0, (15, 23, 31)
"""Floats beyond this peak are taken for integers of 16, 24 or 32 bits; none that is only too loud comes near it."""
MIN_MIX_ENERGY = 1e-3
"""Energy of the mean, relative to the loudest channel, below which the channels cancel each other out."""
MAX_STREAM_BYTES = 2**32 - 1
"""Largest WAV without a length, in bytes."""
OUTPUT_SUBTYPES = {".wav": "PCM_16", ".flac": "PCM_16", ".ogg": "VORBIS"}
"""libsndfile's subtypes of the files that a sound can be written to, by suffix."""
FFMPEG_FORMATS = (
    "mov,mp4,m4a,matroska,webm,mp3,aac,ac3,eac3,asf,amr,amrnb,amrwb,ogg,flac,wav,w64,aiff,caf,au,avi,flv,mpeg,mpegts,"
    "ape,tta,wv,dts,mpc,mpc8"
)
"""Formats that FFmpeg may open; no play lists, which name other files."""
FORMATS_FROM_ZERO = ("matroska,webm", "asf")
"""FFmpeg's names of formats that declare the time at their end; the others declare the time between start and end."""
QUIET_PEAK = 0.01
"""Largest amplitude of a sound in which hardly anything can be heard."""


@dataclass(frozen=True, eq=False, repr=False)
class Sound:
    """A mono sound.

    Attributes:
        samples: (time,) float32 in [-1, 1].
        sample_rate: in samples per second.
        suffix: default suffix of files.
        note: what reading changed besides the format; empty if nothing.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    suffix: str = ".wav"
    note: str = ""
    is_sequential: ClassVar[bool] = True

    @classmethod
    def read(cls, path: Path, sample_rate: int | None = None) -> Self:
        """Read a file that libsndfile or FFmpeg opens, including videos, as the mean of its channels.

        Where the channels cancel each other out, the loudest one is taken. Samples beyond [-1, 1], which files of
        floats can have, are divided by the peak, as clipping would distort them; far beyond it, they are taken for
        integers. A file that is shorter than it declares is refused; one that declares no length, as OGG and WAV from a
        pipe, is read to its end.

        Args:
            path: the file.
            sample_rate: in samples per second; ``None``: the sample rate of the file.

        Raises:
            UserError: naming the file: missing, without sound, empty, damaged, cut short, with samples that are not
                finite, with a sample rate outside ``SAMPLE_RATES``, or with more than ``MAX_SAMPLES`` samples.
        """
        if sample_rate is not None and sample_rate not in SAMPLE_RATES:
            raise UserError(
                f"sample_rate={sample_rate:,}: it should be from {SAMPLE_RATES[0]:,} to {SAMPLE_RATES[-1]:,} Hz."
            )
        mix = _read(Path(path))
        if not len(mix.samples):
            raise UserError(f"{path} has no samples.")
        if not np.isfinite(mix.samples.sum(dtype=np.float64)):
            raise UserError(f"{path} has samples that are not finite numbers.")
        notes = []
        if mix.cancels_out:
            notes.append(f"its channels cancel each other out: only channel {mix.loudest_channel + 1} is used")
            mix = _read(Path(path), mix.loudest_channel)
        samples = mix.samples
        if (peak := _peak(samples)) > MIN_INTEGER_PEAK:
            full_scale = next((2.0**bits for bits in INTEGER_BITS if peak <= 2.0**bits), peak)
            samples = samples / np.float32(full_scale)
            notes.append(f"its samples go up to {peak:,.0f}: they are divided by {full_scale:,.0f}")
        sound = cls(_limit_peak(samples), mix.sample_rate, note="; ".join(notes))
        return sound if sample_rate is None else sound.resample(sample_rate)

    @classmethod
    def read_start(cls, path: Path, seconds: float, max_samples: int) -> Self:
        """Read the beginning of a file that libsndfile opens, as the mean of its channels.

        Args:
            path: the file.
            seconds: length of the beginning.
            max_samples: limit on its samples, of all channels.

        Raises:
            UserError: it cannot be read, or has samples that are not finite.
        """
        import soundfile

        try:
            with open_file(path) as file, soundfile.SoundFile(file) as sound:
                rate = sound.samplerate
                count = min(round(seconds * rate), max_samples // max(1, sound.channels))
                samples = sound.read(count, dtype="float32", always_2d=True).mean(1, dtype=np.float32)
        except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
            raise UserError(f"{path} is not a sound that can be read.") from error
        if rate not in SAMPLE_RATES or not len(samples) or not np.isfinite(samples).all():
            raise UserError(f"{path} is not a sound that can be used.")
        return cls(samples, rate)

    @property
    def is_silence(self) -> bool:
        """Whether all samples are 0 with 16 bits."""
        return bool(_peak(self.samples) * 65_536 < 1)

    def resample(self, sample_rate: int) -> Self:
        """Return the sound at ``sample_rate``, resampled with a band-limited filter."""
        if sample_rate == self.sample_rate:
            return self
        if not len(self.samples):
            return type(self)(self.samples, sample_rate, self.suffix)
        import torch
        from torchaudio.functional import resample

        # filters of 44,100 -> 16,001 would take gigabytes; the nearby ratio changes the pitch by a thousandth of a cent
        ratio = Fraction(sample_rate, self.sample_rate).limit_denominator(1000)
        resampled = resample(torch.from_numpy(self.samples), ratio.denominator, ratio.numerator)
        return type(self)(_limit_peak(resampled.numpy()), sample_rate, self.suffix)

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.samples) / self.sample_rate

    @property
    def pcm(self) -> NDArray[np.int16]:
        """Samples (time,) as 16-bit integers; exact if they were read from a 16-bit file."""
        return (self.samples * np.float32(32_768)).round().clip(-32_768, 32_767).astype(np.int16)

    def to_bytes(self, suffix: str | None = None) -> bytes:
        """Encode as WAV or FLAC with 16 bits, or OGG Vorbis. Raises ``UserError`` for another suffix."""
        import soundfile

        suffix = "." + (suffix or self.suffix).lstrip(".").lower()
        if suffix not in OUTPUT_SUBTYPES:
            raise UserError(f"cannot write a sound as {suffix}. There are: {join_names(OUTPUT_SUBTYPES)}.")
        samples = self.samples if suffix == ".ogg" else self.pcm
        file = io.BytesIO()
        try:
            with soundfile.SoundFile(
                file, "w", self.sample_rate, 1, OUTPUT_SUBTYPES[suffix], format=suffix[1:]
            ) as writer:
                for start in range(0, len(samples), 65_536):  # libsndfile's Vorbis overflows its stack on long blocks
                    writer.write(samples[start : start + 65_536])
        except soundfile.LibsndfileError as error:
            raise UserError(f"cannot write {self.sample_rate:,} Hz as {suffix}: {_error_text(error)}.") from error
        return file.getvalue()

    @property
    def is_quiet(self) -> bool:
        """Whether hardly anything can be heard."""
        return float(np.abs(self.samples).max(initial=0.0)) < QUIET_PEAK

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.summary})"

    @property
    def summary(self) -> str:
        """Its length and sample rate, for people."""
        return f"{self.seconds:.2f} s of {self.sample_rate:,} Hz"

    @property
    def on_terminal(self) -> str:
        return ""

    @classmethod
    def on_page(cls, path: Path) -> str:
        """Return a player below the spectrogram."""
        from genai.media import spectrogram

        picture = spectrogram.spectrogram_only(cls.read(path))
        return f"{picture._repr_html_()}<audio controls src='{file_data_url(path)}'></audio>"

    def _repr_html_(self) -> str:
        return f"<audio controls src='{data_url(self.to_bytes('.wav'), '.wav')}'></audio>"


def _limit_peak(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale samples down to [-1, 1] if they exceed it."""
    peak = np.float32(_peak(samples))
    return samples / peak if peak > 1 else samples


def _peak(samples: NDArray[np.float32]) -> float:
    return float(max(samples.max(initial=0), -samples.min(initial=0)))  # no copy, as abs() makes


class _Mix:
    """The mean of the channels of a file, block by block, or one of its channels.

    Attributes:
        samples: (time,).
        sample_rate: in samples per second.
        channel: the channel, from 0 on; ``None``: the mean.
    """

    def __init__(self, sample_rate: int, channel: int | None) -> None:
        self.sample_rate, self.channel = sample_rate, channel
        self._parts: list[NDArray[np.float32]] = []
        self._mean_energy, self._channel_energy = 0.0, np.zeros(1)

    def add(self, block: NDArray[np.float32]) -> None:
        """Add a block (time, channels)."""
        mean = block.mean(1, dtype=np.float32)
        if self.channel is not None:
            mean = block[:, min(self.channel, block.shape[1] - 1)].copy()
        elif block.shape[1] > 1:
            energy = np.square(block, dtype=np.float64).sum(0)
            self._channel_energy = self._channel_energy + energy if len(self._channel_energy) == len(energy) else energy
            self._mean_energy += float(np.square(mean, dtype=np.float64).sum())
        self._parts.append(mean)

    @property
    def samples(self) -> NDArray[np.float32]:
        if len(self._parts) != 1:
            self._parts = [np.concatenate([np.empty(0, np.float32), *self._parts])]
        return self._parts[0]

    @property
    def cancels_out(self) -> bool:
        """Whether the mean has lost nearly all the energy of the channels."""
        return self.channel is None and self._mean_energy < MIN_MIX_ENERGY * float(self._channel_energy.max())

    @property
    def loudest_channel(self) -> int:
        return int(self._channel_energy.argmax())


def _read(path: Path, channel: int | None = None) -> _Mix:
    """Read the mean of the channels, or one, with libsndfile, or with FFmpeg what libsndfile cannot open."""
    import av
    import soundfile

    check_file(path)
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(4)
            file.seek(0)
            if not head:
                raise UserError(f"{path} is an empty file.")
            # libsndfile also reads MP3, but prints warnings and does not detect one that is cut short
            if not (head.startswith(b"ID3") or (head[0] == 0xFF and head[1:2] >= b"\xe0")):
                try:
                    reader = soundfile.SoundFile(file.fileno(), closefd=False)
                except soundfile.LibsndfileError:
                    pass
                else:
                    with reader:
                        if not reader.frames and (content := _complete_wav(path)):
                            with soundfile.SoundFile(io.BytesIO(content)) as complete:
                                return _read_soundfile(path, complete, channel)
                        if reader.frames != UNKNOWN_LENGTH:
                            return _read_soundfile(path, reader, channel)
        # "file:" keeps a file name from being read as a protocol
        with av.open(
            f"file:{path}", options={"format_whitelist": FFMPEG_FORMATS}, metadata_errors="replace"
        ) as container:
            return _read_av(path, container, channel)
    except soundfile.LibsndfileError as error:
        raise UserError(f"{path} is damaged: {_error_text(error)}.") from error
    except av.error.FFmpegError as error:
        raise UserError(f"{path} is not a sound that can be read, or is damaged.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot read {path}: {reason.rstrip('.')}.") from error


def _complete_wav(path: Path) -> bytes | None:
    """Return the content of a WAV that was written to a pipe, with the length of its samples, which is 0 in the file.

    ``None`` if there are no samples, or it is no WAV.
    """
    with open_file(path, min(MAX_STREAM_BYTES, memory_bytes() // 8)) as file:
        if file.read(4) != b"RIFF":
            return None
        content = bytearray(b"RIFF" + file.read())
    start, num_bytes = 12, len(content) - 8
    while content[start : start + 4] != b"data":
        if start >= num_bytes:
            return None
        start += 8 + int.from_bytes(content[start + 4 : start + 8], "little")
        start += start % 2
    if int.from_bytes(content[4:8], "little") == num_bytes:  # the header is right, but for this chunk
        name, size = content[start + 8 : start + 12], int.from_bytes(content[start + 12 : start + 16], "little")
        if not name or (name.isascii() and name.decode().isprintable() and start + 16 + size <= len(content)):
            return None  # another chunk follows
    content[4:8] = num_bytes.to_bytes(4, "little")
    content[start + 4 : start + 8] = (num_bytes - start).to_bytes(4, "little")
    return bytes(content)


def _read_soundfile(path: Path, file: Any, channel: int | None) -> _Mix:
    _check_size(path, file.samplerate, file.frames)
    match = re.search(r"(?:data|SSND|Data Size) *: (\d+) \(should be (\d+)\)", file.extra_info)
    declared, actual = map(int, match.groups()) if match else (0, 0)
    is_complete = declared >= 0x7FFF0000 or declared <= 1.01 * actual  # recorders without an end write the largest
    mix, count = _Mix(file.samplerate, channel), 0
    for block in file.blocks(65_536, dtype="float32", always_2d=True):
        mix.add(block)
        count += len(block)
    if count < file.frames or not is_complete:
        raise UserError(f"{path} is cut short.")
    return mix


def _read_av(path: Path, container: Any, channel: int | None) -> _Mix:
    if not container.streams.audio:
        raise UserError(f"{path} has no sound.")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise UserError(f"{path} has sound of an unknown codec.")
    sample_rate, declared_seconds = stream.rate, _declared_seconds(container, stream)
    _check_size(path, sample_rate, round(declared_seconds * sample_rate))
    frames = container.decode(stream)
    first = next(frames, None)
    sample_rate = sample_rate if first is None else first.sample_rate
    mix, count = _Mix(sample_rate, channel), 0
    for frame in chain([] if first is None else [first], frames):
        if frame.sample_rate != sample_rate:
            raise UserError(f"{path} changes its sample rate.")
        mix.add(_to_channels(frame))
        _check_size(path, sample_rate, count := count + frame.samples)
    if count < 0.9 * (declared_seconds - 0.1) * sample_rate:
        raise UserError(f"{path} is cut short.")
    return mix


def _declared_seconds(container: Any, stream: Any) -> float:
    """Return the duration that the file declares; 0 if it is only an estimate, as in an MP3 without a table."""
    if container.format.name in ("mp3", "aac") and not stream.start_time:
        return 0.0
    if stream.duration is not None and container.format.name not in FORMATS_FROM_ZERO:
        return float(stream.duration * stream.time_base)
    return container_seconds(container) if len(container.streams) == 1 else 0.0


def container_seconds(container: Any) -> float:
    """Return the duration that a container of PyAV declares, from its first frame on; 0 if it declares none."""
    seconds = (container.duration or 0) / 1e6
    if container.format.name in FORMATS_FROM_ZERO:
        seconds -= (container.start_time or 0) / 1e6
    return max(0.0, seconds)


def _to_channels(frame: Any) -> NDArray[np.float32]:
    """Return the samples (time, channels) of a frame, planar or interleaved, of any sample format."""
    values = frame.to_ndarray()
    planes = values if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels).T
    if planes.dtype.kind != "f":
        info = np.iinfo(planes.dtype)
        planes = (planes.astype(np.float32) - (info.max + info.min + 1) / 2) / ((info.max - info.min + 1) / 2)
    return planes.astype(np.float32, copy=False).T


def _check_size(path: Path, sample_rate: int, count: int) -> None:
    if sample_rate not in SAMPLE_RATES:
        raise UserError(
            f"{path} has a sample rate of {sample_rate:,} Hz: "
            f"it should be from {SAMPLE_RATES[0]:,} to {SAMPLE_RATES[-1]:,}."
        )
    num_bytes = path.stat().st_size
    if count > LONG_SAMPLES and num_bytes * MAX_SAMPLES_PER_BYTE < count:
        raise UserError(f"{path} has {count:,} samples in {num_bytes:,} bytes, like a bomb: cut it.")
    if count > MAX_SAMPLES or 16 * count > memory_bytes():
        raise UserError(
            f"{path} has {count / sample_rate / 3600:.1f} hours of sound at {sample_rate:,} Hz: too long to read."
        )


def _error_text(error: Any) -> str:
    return str(error.error_string).rstrip(".")
