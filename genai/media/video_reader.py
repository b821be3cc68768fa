"""Videos of any kind -> frames at equal intervals, by FFmpeg."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from genai.core.errors import UserError
from genai.media.resample_frames import Frames, Shown, check, fitted, steady
from genai.media.sound import CONTAINERS

RECORDED = ("mpegts", "mpeg")
"""FFmpeg's names of containers without a beginning or an end."""


def read(path: Path, fps: float | None, about: int | None) -> tuple[Frames, float, bool]:
    """(time, height, width, 3) and frames a second, as ``Clip.read`` says; and whether there is a sound beside them.

    Raises:
        UserError: naming the file.
    """
    import av

    try:
        # "file:", so that no part of a name is taken for a protocol
        with av.open(f"file:{path}", options={"format_whitelist": CONTAINERS}, metadata_errors="replace") as container:
            stream = _stream(path, container)
            own = stream.average_rate or stream.guessed_rate
            seconds = (container.duration or 0) / 1e6
            sides = fitted(stream.codec_context.width or 1, stream.codec_context.height or 1, about)
            check(path, seconds * 0.9 * float(fps or own or 1), *sides)
            shown = _shown(path, container, stream, seconds, about)
            return *steady(path, shown, fps, own and float(own)), bool(container.streams.audio)
    except av.error.FFmpegError as error:
        raise UserError(f"{path} is not a video or picture that can be read, or damaged.") from error
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot read {path}: {reason.rstrip('.')}.") from error


def _stream(path: Path, container: Any) -> Any:
    """The best of those with pictures; the cover of a record is none."""
    from av.stream import Disposition

    stream = container.streams.best("video")
    if stream is None or stream.disposition & Disposition.attached_pic:
        raise UserError(f"{path} has no picture in it, sound alone.")
    if stream.codec_context is None:
        raise UserError(f"{path} has pictures of an unknown kind.")
    check(path, 0, stream.codec_context.width, stream.codec_context.height)
    return stream


def _shown(path: Path, container: Any, stream: Any, seconds: float, about: int | None) -> Iterator[Shown]:
    """Raises ``UserError`` at the end where all streams together end long before the ``seconds`` that the file says."""
    interval = float(1 / (stream.average_rate or stream.guessed_rate or 8))
    sides: tuple[int, int] | None = None
    start, latest = 0.0, 0.0
    for packet in container.demux():
        if packet.pts is not None and packet.time_base:
            latest = max(latest, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        joined = sides is None and container.format.name in RECORDED
        for frame in _decoded(packet, joined) if packet.stream.index == stream.index else ():
            shape = float(stream.sample_aspect_ratio or 1)  # of a pixel, which is not a square on a DVD
            sides = sides or fitted(frame.width * shape, frame.height, about)
            check(path, 0, *sides)
            start = start if frame.time is None else frame.time
            lasts = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else interval
            yield Shown(start, start + lasts, lambda frame=frame, sides=sides: _pixels(frame, sides))  # type: ignore[misc]
            start += lasts
    if latest - (container.start_time or 0) / 1e6 < 0.9 * (seconds - 0.1):
        raise UserError(f"{path} is cut short.")


def _decoded(packet: Any, joined: bool) -> list[Any]:
    """The frames in a packet. Where a recording ``joined`` a broadcast on its way, it lacks what they build on."""
    import av

    try:
        return list(packet.decode())
    except av.error.InvalidDataError:
        if joined:
            return []
        raise


def _pixels(frame: Any, sides: tuple[int, int]) -> Frames:
    """(height, width, 3), upright, with ``sides`` before it is turned; on white where it is transparent."""
    from av.video.reformatter import Interpolation as By

    clear = any(part.is_alpha for part in frame.format.components)
    width, height = sides
    way = By.BILINEAR
    if width < frame.width:  # without these, colours would come out half a pixel aside
        way = By.AREA | By.ACCURATE_RND | By.FULL_CHR_H_INT | By.FULL_CHR_H_INP
    kind = "rgba" if clear else "rgb24"
    small = frame.reformat(width, height, kind, interpolation=way, src_color_range=frame.color_range, threads=1)
    pixels = small.to_ndarray()
    if clear:
        opaque = pixels[..., 3:] / np.float32(255)
        pixels = (pixels[..., :3] * opaque + 255 * (1 - opaque)).round().astype(np.uint8)
    return np.rot90(pixels, round(frame.rotation / 90))
