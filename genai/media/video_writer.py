"""Frames at equal intervals and a sound -> a file that browsers and players open, by FFmpeg."""

import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from genai.core.errors import UserError
from genai.media.resample_frames import Frames
from genai.media.sound import Sound

RATE = 48_000
"""Of the sound: the one that Opus has."""
SEEN = 256
"""Pixels of the shorter side, at least: players show a video in its own size."""
WIDEST = 4096


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        format: FFmpeg's name of the container.
        codec: of the frames.
        options: of that codec.
        sound: codec of the sound; ``None``: there is no place for one, and frames are kept as they are.
        more: options of the container.
    """

    format: str
    codec: str
    options: dict[str, str]
    sound: str | None
    more: dict[str, str]


KINDS = {
    ".mp4": Kind("mp4", "libx264", {"crf": "18"}, "aac", {"movflags": "+faststart"}),
    ".webm": Kind("webm", "libvpx-vp9", {"crf": "20", "b": "0", "cpu-used": "5", "row-mt": "1"}, "libopus", {}),
    ".png": Kind("apng", "apng", {}, None, {"plays": "0"}),
}


def can_write(suffix: str) -> bool:
    """Whether the FFmpeg that came with PyAV has what that kind of file needs."""
    import av

    return {KINDS[suffix].codec, KINDS[suffix].sound} <= {*av.codecs_available, None}


def write(suffix: str, frames: Frames, fps: Fraction, sound: Sound | None) -> bytes:
    """The file. ``suffix`` is one of ``KINDS``, ``frames`` are as in ``Clip``.

    Raises:
        UserError: the codec is missing, or has no frames of that size.
    """
    import av

    kind = KINDS[suffix]
    if not can_write(suffix):
        raise UserError(f"cannot write a clip as {suffix}: this build of PyAV has no {kind.codec}. Take .png or .webp.")
    with tempfile.TemporaryDirectory() as folder:  # "+faststart" reads what has been written, by its name
        path = Path(folder, f"clip{suffix}")
        try:
            with av.open(str(path), "w", format=kind.format, options={"fflags": "+bitexact", **kind.more}) as container:
                streams = [_pictures(container, kind, frames, fps)]
                if sound is not None and kind.sound:
                    streams.append(_samples(container, kind.sound, sound))
                packets = [packet for stream in streams for packet in stream]
                for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
                    container.mux(packet)
        except av.error.FFmpegError as error:
            height, width = frames.shape[1:3]
            raise UserError(f"cannot write {width} x {height} pixels at {float(fps):g} fps as {suffix}.") from error
        return path.read_bytes()


def _pictures(container: Any, kind: Kind, frames: Frames, fps: Fraction) -> list[Any]:
    """The packets of the frames."""
    first = _frame(kind, frames[0])
    stream = container.add_stream(kind.codec, rate=fps, options=kind.options)
    stream.width, stream.height, stream.pix_fmt = first.width, first.height, first.format.name
    if kind.sound:  # said, or browsers guess the colours by the size
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1
    packets = []
    for number, pixels in enumerate(frames):
        frame = _frame(kind, pixels)
        frame.pts, frame.time_base = number, 1 / fps
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _frame(kind: Kind, pixels: Frames) -> Any:
    """Of FFmpeg, from (height, width, channels): as it is, or such that players show it."""
    import av

    if kind.sound is None:
        grey = pixels.shape[2] == 1
        return av.VideoFrame.from_ndarray(
            np.ascontiguousarray(pixels[..., 0] if grey else pixels), "gray" if grey else "rgb24"
        )
    return av.VideoFrame.from_ndarray(_seen(pixels), "rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")


def _seen(pixels: Frames) -> Frames:
    """(height, width, 3), enlarged where they are small, with even sides.

    The factor is even as well: halved, as H.264 has them, the colours of the squares stay as they are.
    """
    height, width = pixels.shape[:2]
    factor = min(2 * -(-SEEN // (2 * min(height, width))), WIDEST // max(height, width))
    if min(height, width) >= SEEN or factor < 2:
        factor = 1
    large = np.broadcast_to(pixels, (height, width, 3)).repeat(factor, 0).repeat(factor, 1)
    return np.pad(large, ((0, height * factor % 2), (0, width * factor % 2), (0, 0)), "edge")


def _samples(container: Any, codec: str, sound: Sound) -> list[Any]:
    """The packets of a sound."""
    import av

    stream = container.add_stream(codec, rate=RATE, layout="mono", bit_rate=128_000)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.at(RATE).samples[None]), "fltp", "mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
    return [*stream.encode(frame), *stream.encode(None)]
