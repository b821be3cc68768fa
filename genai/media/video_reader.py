"""Video files -> frames at equal intervals, by FFmpeg."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from genai.core.errors import UserError
from genai.core.files import check_file
from genai.media.resample_frames import PixelArray, TimedFrame, check_frame_size, fit_short_side, resample_frames
from genai.media.sound import FFMPEG_FORMATS, container_seconds

STREAM_FORMATS = ("mpegts", "mpeg")
"""FFmpeg's names of containers that can be cut anywhere, such as recorded broadcasts."""


def read_video(path: Path, fps: float | None, short_side: int | None) -> tuple[PixelArray, float, bool]:
    """Read a video file as described in ``Clip.read``.

    Returns:
        Frames (time, height, width, 3), frames per second, and whether the file has a sound.

    Raises:
        UserError: naming the file.
    """
    import av

    check_file(path)
    try:
        with _open_container(path) as container:
            stream = _video_stream(path, container)
            declared_fps = stream.average_rate or stream.guessed_rate
            seconds = container_seconds(container)
            size = fit_short_side(stream.codec_context.width or 1, stream.codec_context.height or 1, short_side)
            check_frame_size(path, seconds * 0.9 * float(fps or declared_fps or 1), *size)
            timed_frames = _timed_frames(path, container, stream, seconds, short_side)
            frames, fps = resample_frames(path, timed_frames, fps, declared_fps and float(declared_fps))
            return frames, fps, bool(container.streams.audio)
    except av.error.FFmpegError as error:
        raise UserError(f"{path} is not a video or picture that can be read, or is damaged.") from error
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot read {path}: {reason.rstrip('.')}.") from error


def iterate_frames(path: Path) -> Iterator[PixelArray]:
    """Yield the frames of a video as they are stored, (height, width, 3). Raises ``UserError``."""
    import av

    check_file(path)
    try:
        with _open_container(path) as container:
            stream = _video_stream(path, container)
            size = stream.codec_context.width, stream.codec_context.height
            yield from (_to_pixels(frame, size) for frame in container.decode(stream))
    except (av.error.FFmpegError, OSError, ValueError, OverflowError) as error:
        raise UserError(f"{path} is not a video that can be read, or is damaged.") from error


def _open_container(path: Path) -> Any:
    """Open a file of FFmpeg's formats that name no other files, as a context."""
    import av

    # "file:" keeps a file name from being read as a protocol
    return av.open(f"file:{path}", options={"format_whitelist": FFMPEG_FORMATS}, metadata_errors="replace")


def _video_stream(path: Path, container: Any) -> Any:
    """Return the best video stream; cover art does not count."""
    from av.stream import Disposition

    stream = container.streams.best("video")
    if stream is None or stream.disposition & Disposition.attached_pic:
        raise UserError(f"{path} has no pictures, only sound.")
    if stream.codec_context is None:
        raise UserError(f"{path} has video of an unknown codec.")
    check_frame_size(path, 0, stream.codec_context.width, stream.codec_context.height)
    return stream


def _timed_frames(
    path: Path, container: Any, stream: Any, seconds: float, short_side: int | None
) -> Iterator[TimedFrame]:
    """Decode frames; raise ``UserError`` at the end if all streams end long before the declared ``seconds``."""
    interval = float(1 / (stream.average_rate or stream.guessed_rate or 8))
    size: tuple[int, int] | None = None
    start, latest = 0.0, 0.0
    for packet in container.demux():
        if packet.pts is not None and packet.time_base:
            latest = max(latest, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        is_start = size is None and container.format.name in STREAM_FORMATS
        for frame in _decode_packet(packet, is_start) if packet.stream.index == stream.index else ():
            pixel_aspect = float(stream.sample_aspect_ratio or 1)  # not square on a DVD
            size = size or fit_short_side(frame.width * pixel_aspect, frame.height, short_side)
            check_frame_size(path, 0, *size)
            start = start if frame.time is None else frame.time
            duration = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else interval
            yield TimedFrame(start, start + duration, lambda frame=frame, size=size: _to_pixels(frame, size))  # type: ignore[misc]
            start += duration
    if latest - (container.start_time or 0) / 1e6 < 0.9 * (seconds - 0.1):
        raise UserError(f"{path} is cut short.")


def _decode_packet(packet: Any, is_start: bool) -> list[Any]:
    """Decode the frames in a packet. At the start of a recorded broadcast, their reference frames may be missing."""
    import av

    try:
        return list(packet.decode())
    except av.error.InvalidDataError:
        if is_start:
            return []
        raise


def _to_pixels(frame: Any, size: tuple[int, int]) -> PixelArray:
    """Scale a frame to ``size``, rotate or mirror it and put it on white. Returns (height, width, 3)."""
    from av.video.reformatter import Interpolation as Mode

    has_alpha = any(component.is_alpha for component in frame.format.components)
    width, height = size
    mode = Mode.BILINEAR
    if width < frame.width:  # without these flags, colors are shifted by half a pixel
        mode = Mode.AREA | Mode.ACCURATE_RND | Mode.FULL_CHR_H_INT | Mode.FULL_CHR_H_INP
    pixel_format = "rgba" if has_alpha else "rgb24"
    scaled = frame.reformat(
        width, height, pixel_format, interpolation=mode, src_color_range=frame.color_range, threads=1
    )
    pixels = scaled.to_ndarray()
    if has_alpha:
        alpha = pixels[..., 3:] / np.float32(255)
        pixels = (pixels[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
    return _apply_display_matrix(pixels, frame)


def _apply_display_matrix(pixels: PixelArray, frame: Any) -> PixelArray:
    """Rotate and mirror pixels (height, width, 3) as the file says, by multiples of 90 degrees.

    The matrix maps (x, y) to (a x + c y, b x + d y) (ISO/IEC 14496-12, 6.2.2).
    """
    content = next((bytes(data) for data in frame.side_data if data.type.name == "DISPLAYMATRIX"), None)
    if content is None:
        return pixels
    a, b, _, c, d = struct.unpack("=5i", content[:20])
    x_sign, y_sign = a, d
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels = pixels.transpose(1, 0, 2)
        x_sign, y_sign = c, b
    return pixels[:: -1 if y_sign < 0 else 1, :: -1 if x_sign < 0 else 1]
