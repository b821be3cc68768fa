"""Clips: video files <-> uint8 frames at a frame rate, with an optional sound."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from genai.core.errors import UserError, join_names
from genai.media import animation, video_reader, video_writer
from genai.media.data_url import data_url, file_data_url
from genai.media.sound import Sound

OUTPUT_SUFFIXES = (".mp4", ".webm", ".png", ".webp")
"""Suffixes of files that a clip can be written to, in order of preference."""
SUFFIXES_WITH_SOUND = tuple(suffix for suffix, form in video_writer.FILE_FORMATS.items() if form.audio_codec)
"""Those of them that can hold a sound."""
MAX_FPS = 1000
"""Highest frame rate, in frames per second."""


@dataclass(frozen=True, eq=False, repr=False)
class Clip:
    """A video: frames at equal intervals.

    Attributes:
        frames: (time, height, width, channels) uint8, one channel (gray) or three (RGB).
        fps: frames per second.
        sound: the soundtrack, if any.
        suffix: default suffix of files.
    """

    frames: NDArray[np.uint8]
    fps: float
    sound: Sound | None = None
    suffix: str = ".mp4"

    @classmethod
    def read(cls, path: Path, fps: float | None = None, short_side: int | None = None, sound: bool = False) -> Self:
        """Read a video that FFmpeg opens, an animated GIF, WebP or PNG, a folder of numbered images, or one image.

        Frame ``k`` is the one shown ``k / fps`` seconds after the first, so frames are at equal intervals. Rotation and
        pixel aspect ratio are applied, and transparent areas become white. A file that is shorter than it declares is
        refused; GIF and MPEG streams declare no length and are read to their end.

        Args:
            path: the file or folder.
            fps: frames per second; ``None``: the average of the file, or 8 for images without times.
            short_side: downscale while reading, so that the shorter side has at most this many pixels.
            sound: also read the sound, if the file has one.

        Raises:
            UserError: naming the file: missing, empty, without pictures, damaged, cut short, or too large; images of
                several sizes in a folder; a frame rate that is not above 0, or is above ``MAX_FPS``.
        """
        path = Path(path)
        if fps is not None and not 0 < fps <= MAX_FPS:
            raise UserError(f"fps={fps:g}: it should be above 0 and at most {MAX_FPS:,}.")
        try:
            if path.is_dir():
                return cls(*animation.read_frame_folder(path, fps, short_side))
            if not path.stat().st_size:
                raise UserError(f"{path} is an empty file.")
            if animation.is_image_file(path):
                return cls(*animation.read_image_frames(path, fps, short_side))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"cannot read {path}: {reason.rstrip('.')}.") from error
        frames, fps, has_sound = video_reader.read_video(path, fps, short_side)
        return cls(frames, fps, Sound.read(path) if sound and has_sound else None)

    def to_bytes(self, suffix: str | None = None) -> bytes:
        """Return the content of a file with one of ``OUTPUT_SUFFIXES``.

        ``.mp4`` (H.264, AAC) and ``.webm`` (VP9, Opus) play everywhere. In them, small clips are enlarged without
        smoothing, by an even factor, until the shorter side has 256 pixels, and an odd side is padded by repeating its
        edge. ``.png`` (animated) and ``.webp`` keep every pixel, and no sound; WebP merges equal frames, so a clip
        without motion becomes a single image.

        Raises:
            UserError: another suffix; PyAV lacks the codec; the format does not support this size.
        """
        suffix = "." + (suffix or self.suffix).lstrip(".").lower()
        if suffix not in OUTPUT_SUFFIXES:
            raise UserError(f"cannot write a clip as {suffix}. There are: {join_names(OUTPUT_SUFFIXES)}.")
        if suffix == ".webp":
            return animation.encode_webp(self.frames, self.fps)
        return video_writer.encode_video(suffix, self.frames, Fraction(self.fps).limit_denominator(1001), self.sound)

    def resample(self, fps: float) -> Self:
        """Return the clip at ``fps`` frames per second, by repeating or dropping frames."""
        if fps == self.fps or len(self.frames) == 1:
            return replace(self, fps=fps)
        count = max(1, round(self.seconds * fps))
        indices = np.floor(np.arange(count) * (self.fps / fps) + 1e-6).astype(int).clip(max=len(self.frames) - 1)
        return replace(self, frames=self.frames[indices], fps=fps)

    def with_sound(self, sound: Sound) -> Self:
        """Return the clip with ``sound``, which is written to files with ``SUFFIXES_WITH_SOUND``."""
        return replace(self, sound=sound)

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.frames) / self.fps

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.summary})"

    @property
    def summary(self) -> str:
        """Its length, size and frame rate, for people."""
        count, height, width = self.frames.shape[:3]
        return f"{count:,} frames of {width} x {height} pixels, {self.fps:g} a second"

    @property
    def on_terminal(self) -> str:
        return ""

    @classmethod
    def on_page(cls, path: Path) -> str:
        """Return HTML that plays the file itself, with its sound."""
        return _player_html(file_data_url(path))

    def _repr_html_(self) -> str:
        suffix = best_suffix()
        return _player_html(data_url(self.to_bytes(suffix), suffix))


def _player_html(source: str) -> str:
    """Return HTML that plays a clip in a loop, muted at first."""
    if source.startswith("data:image/"):
        return f"<img src='{source}' width='256' alt='' style='image-rendering: pixelated'>"
    return f"<video autoplay loop muted playsinline controls src='{source}'></video>"


def best_suffix() -> str:
    """Return the first of ``OUTPUT_SUFFIXES`` that this build of PyAV can write."""
    return next(suffix for suffix in OUTPUT_SUFFIXES if suffix == ".png" or video_writer.can_write(suffix))
