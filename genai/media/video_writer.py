"""Frames at equal intervals and a sound -> video files that browsers and players open, by FFmpeg."""

import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from genai.core.errors import UserError
from genai.media.resample_frames import PixelArray
from genai.media.sound import Sound

SAMPLE_RATE = 48_000
"""Sample rate of the sound, in samples per second: the one of Opus."""
MIN_SIDE = 256
"""Smallest shorter side, in pixels; players show a video in its own size."""
MAX_SIDE = 4096
"""Largest side, in pixels, of an enlarged clip."""


@dataclass(frozen=True)
class FileFormat:
    """Settings for one type of file.

    Attributes:
        container: FFmpeg's name of the container.
        video_codec: codec of the frames.
        video_options: options of that codec.
        audio_codec: codec of the sound; ``None`` for a lossless image format without sound.
        container_options: options of the container.
    """

    container: str
    video_codec: str
    video_options: dict[str, str]
    audio_codec: str | None
    container_options: dict[str, str]


FILE_FORMATS = {
    ".mp4": FileFormat("mp4", "libx264", {"crf": "18"}, "aac", {"movflags": "+faststart"}),
    ".webm": FileFormat("webm", "libvpx-vp9", {"crf": "20", "b": "0", "cpu-used": "5", "row-mt": "1"}, "libopus", {}),
    ".png": FileFormat("apng", "apng", {}, None, {"plays": "0"}),
}


def can_write(suffix: str) -> bool:
    """Return whether the FFmpeg of PyAV has the codecs for files with this suffix."""
    import av

    return {FILE_FORMATS[suffix].video_codec, FILE_FORMATS[suffix].audio_codec} <= {*av.codecs_available, None}


def encode_video(suffix: str, frames: PixelArray, fps: Fraction, sound: Sound | None) -> bytes:
    """Return the content of a video file. ``suffix`` is one of ``FILE_FORMATS``, ``frames`` are as in ``Clip``.

    Raises:
        UserError: the codec is missing, or does not support frames of this size.
    """
    import av

    file_format = FILE_FORMATS[suffix]
    if not can_write(suffix):
        raise UserError(
            f"cannot write a clip as {suffix}: this build of PyAV has no {file_format.video_codec}. Use .png or .webp."
        )
    with tempfile.TemporaryDirectory() as folder:  # "+faststart" reads the written file by its name
        path = Path(folder, f"clip{suffix}")
        try:
            options = {"fflags": "+bitexact", **file_format.container_options}
            with av.open(str(path), "w", format=file_format.container, options=options) as container:
                streams = [_video_packets(container, file_format, frames, fps)]
                if sound is not None and file_format.audio_codec:
                    streams.append(_audio_packets(container, file_format.audio_codec, sound))
                packets = [packet for stream in streams for packet in stream]
                for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
                    container.mux(packet)
        except av.error.FFmpegError as error:
            height, width = frames.shape[1:3]
            raise UserError(f"cannot write {width} x {height} pixels at {float(fps):g} fps as {suffix}.") from error
        return path.read_bytes()


def _video_packets(container: Any, file_format: FileFormat, frames: PixelArray, fps: Fraction) -> list[Any]:
    """Encode the frames."""
    first = _to_video_frame(file_format, frames[0])
    stream = container.add_stream(file_format.video_codec, rate=fps, options=file_format.video_options)
    stream.width, stream.height, stream.pix_fmt = first.width, first.height, first.format.name
    if file_format.audio_codec:  # BT.709; without it browsers guess the color space from the size
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1
    packets = []
    for index, pixels in enumerate(frames):
        frame = _to_video_frame(file_format, pixels)
        frame.pts, frame.time_base = index, 1 / fps
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _to_video_frame(file_format: FileFormat, pixels: PixelArray) -> Any:
    """Convert (height, width, channels) to an FFmpeg frame: unchanged for image formats, else YUV with even sides."""
    import av

    if file_format.audio_codec is None:
        is_gray = pixels.shape[2] == 1
        return av.VideoFrame.from_ndarray(
            np.ascontiguousarray(pixels[..., 0] if is_gray else pixels), "gray" if is_gray else "rgb24"
        )
    return av.VideoFrame.from_ndarray(_enlarge(pixels), "rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")


def _enlarge(pixels: PixelArray) -> PixelArray:
    """Enlarge a small frame by an even factor and pad its sides to even lengths. Returns (height, width, 3).

    H.264 halves the resolution of colors; an even factor keeps the colors of the original pixels.
    """
    height, width = pixels.shape[:2]
    factor = min(2 * -(-MIN_SIDE // (2 * min(height, width))), MAX_SIDE // max(height, width))
    if min(height, width) >= MIN_SIDE or factor < 2:
        factor = 1
    enlarged = np.broadcast_to(pixels, (height, width, 3)).repeat(factor, 0).repeat(factor, 1)
    return np.pad(enlarged, ((0, height * factor % 2), (0, width * factor % 2), (0, 0)), "edge")


def _audio_packets(container: Any, codec: str, sound: Sound) -> list[Any]:
    """Encode the sound."""
    import av

    stream = container.add_stream(codec, rate=SAMPLE_RATE, layout="mono", bit_rate=128_000)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.resample(SAMPLE_RATE).samples[None]), "fltp", "mono")
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
    return [*stream.encode(frame), *stream.encode(None)]
