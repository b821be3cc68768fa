"""Frames -> the bytes of a file that plays in a browser."""

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from genai.errors import Mistake
from genai.modalities.sound import Sound

Frames = NDArray[np.uint8]
LEAST = 256
"""Pixels of the shorter side of a film: smaller frames are enlarged."""


def best() -> str:
    """The suffix of the first kind of film that this build of FFmpeg can write; an animated PNG if none."""
    import av

    wanted = {".mp4": "libx264", ".webm": "libvpx-vp9"}
    return next((suffix for suffix, codec in wanted.items() if codec in av.codecs_available), ".png")


def mp4(frames: Frames, fps: float, sound: Sound | None) -> bytes:
    """H.264 and AAC; the index comes first, so that a page can play it while it loads."""
    options = {"crf": "18", "preset": "fast"}
    return _film("mp4", "libx264", options, "aac", frames, fps, sound, {"movflags": "+faststart"})


def webm(frames: Frames, fps: float, sound: Sound | None) -> bytes:
    """VP9 and Opus."""
    options = {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "6"}
    return _film("webm", "libvpx-vp9", options, "libopus", frames, fps, sound, {})


def apng(frames: Frames, fps: float, sound: Sound | None) -> bytes:
    """Animated PNG, exact; without sound."""
    return _animated("png", frames, fps)


def webp(frames: Frames, fps: float, sound: Sound | None) -> bytes:
    """Animated WebP, exact; without sound."""
    return _animated("webp", frames, fps, lossless=True)


WRITERS: dict[str, Callable[[Frames, float, Sound | None], bytes]] = {
    ".mp4": mp4,
    ".webm": webm,
    ".png": apng,
    ".webp": webp,
}


def enlarged(frames: Frames, least: int = LEAST, even: bool = True) -> Frames:
    """(time, height, width, channels) by a whole factor, so that sides are ``least`` pixels or more, and ``even``."""
    factor = max(1, -(-least // min(frames.shape[1:3])))
    frames = frames.repeat(factor, 1).repeat(factor, 2)
    odd = [(0, side % 2 if even else 0) for side in frames.shape[1:3]]
    return np.pad(frames, [(0, 0), *odd, (0, 0)], "edge")


def _film(
    container: str,
    codec: str,
    options: dict[str, str],
    audio: str,
    frames: Frames,
    fps: float,
    sound: Sound | None,
    flags: dict[str, str],
) -> bytes:
    import av

    if codec not in av.codecs_available:
        raise Mistake(f"this build of FFmpeg cannot write {container} ({codec}): take format=apng.")
    large = enlarged(frames)
    large = large if large.shape[-1] == 3 else large.repeat(3, -1)
    with TemporaryDirectory() as folder:  # FFmpeg goes through a file again to put its index first
        path = Path(folder, f"film.{container}")
        with av.open(str(path), "w", options=flags) as output:
            _fill(output, codec, options, audio, large, fps, sound)
        return path.read_bytes()


def _fill(
    output: Any, codec: str, options: dict[str, str], audio: str, large: Frames, fps: float, sound: Sound | None
) -> None:
    import av

    video: Any = output.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options)
    video.width, video.height, video.pix_fmt = large.shape[2], large.shape[1], "yuv420p"
    heard: Any = None if sound is None else output.add_stream(audio, rate=48_000, layout="mono")
    for picture in large:
        output.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
    output.mux(video.encode())
    if sound is not None:
        _add_sound(output, heard, sound.at(48_000))


def _add_sound(output: Any, stream: Any, sound: Sound) -> None:
    import av

    for start in range(0, len(sound.samples), 4_800):
        part = np.ascontiguousarray(sound.samples[None, start : start + 4_800])
        frame = av.AudioFrame.from_ndarray(part, format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = sound.rate, start, Fraction(1, sound.rate)
        output.mux(stream.encode(frame))
    output.mux(stream.encode())


def _animated(kind: str, frames: Frames, fps: float, **options: Any) -> bytes:
    """Whole milliseconds, spread so that they do not add up to an error."""
    pictures = [Pillow.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame) for frame in frames]
    times = np.round(np.arange(len(frames) + 1) * (1000 / fps)).astype(int)
    file = io.BytesIO()
    pictures[0].save(
        file, kind, save_all=True, append_images=pictures[1:], duration=np.diff(times).tolist(), loop=0, **options
    )
    return file.getvalue()
