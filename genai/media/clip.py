"""Clips as people have them: any video file <-> uint8 frames at a frame rate, with a sound where there is one."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from genai.core.errors import UserError, join_names
from genai.media import animation, video_reader, video_writer
from genai.media.data_url import data_url, of_file
from genai.media.sound import Sound

WRITTEN = (".mp4", ".webm", ".png", ".webp")
"""Suffixes of files that a clip can be written to, the best for people first."""
SOUNDING = tuple(suffix for suffix, kind in video_writer.KINDS.items() if kind.sound)
"""Those of them that have a place for a sound."""
FASTEST = 1000
"""Frames a second."""


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames that follow each other at equal intervals.

    Attributes:
        frames: (time, height, width, channels) uint8, one channel (grey) or three (RGB).
        fps: frames a second.
        sound: that goes with them.
        suffix: of the file that it is written to.
    """

    frames: NDArray[np.uint8]
    fps: float
    sound: Sound | None = None
    suffix: str = ".mp4"

    @classmethod
    def read(cls, path: Path, fps: float | None = None, about: int | None = None, sound: bool = False) -> Self:
        """A video that FFmpeg opens, an animated GIF, WebP or PNG, a folder of numbered pictures, or one picture.

        Frame ``k`` is what is shown ``k / fps`` seconds after the first, so that any rate comes out even. Pictures are
        upright, in the shape that they are shown in, and on white where they are transparent. A file that is shorter
        than it says is refused; GIF and MPEG streams do not say, and are read as far as they go.

        Args:
            path: of the file or folder.
            fps: frames a second; their own average where that is ``None``, 8 for pictures that have none.
            about: what the shorter side is made where it is longer, while the file is read: whole films fit then.
            sound: whether the sound is read too, where the file has one.

        Raises:
            UserError: naming the file: missing, empty, no picture in it, damaged, cut short, too large; pictures of
                several sizes in a folder; a rate that is not above 0, or above ``FASTEST``.
        """
        path = Path(path)
        if fps is not None and not 0 < fps <= FASTEST:
            raise UserError(f"fps={fps:g}: it should be above 0, and at most {FASTEST:,}.")
        try:
            if path.is_dir():
                return cls(*animation.folder(path, fps, about))
            if not path.stat().st_size:
                raise UserError(f"{path} is an empty file.")
            if animation.is_picture(path):
                return cls(*animation.read(path, fps, about))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"cannot read {path}: {reason.rstrip('.')}.") from error
        frames, rate, heard = video_reader.read(path, fps, about)
        return cls(frames, rate, Sound.read(path) if sound and heard else None)

    def to_bytes(self, suffix: str | None = None) -> bytes:
        """The content of a file of one of the kinds ``WRITTEN``.

        ``.mp4`` (H.264, AAC) and ``.webm`` (VP9, Opus) play everywhere: small clips are enlarged without smoothing,
        by an even factor, until the shorter side has 256 pixels, and an odd side has its edge twice. ``.png``
        (animated) and ``.webp`` keep every pixel as it is, and no sound; WebP joins frames that are the same, so that
        a clip in which nothing moves is a single picture.

        Raises:
            UserError: another suffix; PyAV lacks what it needs; the kind has no such sizes.
        """
        kind = "." + (suffix or self.suffix).lstrip(".").lower()
        if kind not in WRITTEN:
            raise UserError(f"cannot write a clip as {kind}. There are: {join_names(WRITTEN)}.")
        if kind == ".webp":
            return animation.webp(self.frames, self.fps)
        return video_writer.write(kind, self.frames, Fraction(self.fps).limit_denominator(1001), self.sound)

    def at(self, fps: float) -> Self:
        """The same clip with ``fps`` frames a second: those that are shown at each moment."""
        if fps == self.fps or len(self.frames) == 1:
            return replace(self, fps=fps)
        count = max(1, round(self.seconds * fps))
        shown = np.floor(np.arange(count) * (self.fps / fps) + 1e-6).astype(int).clip(max=len(self.frames) - 1)
        return replace(self, frames=self.frames[shown], fps=fps)

    def with_sound(self, sound: Sound) -> Self:
        """The same frames with ``sound``; files of the kinds ``SOUNDING`` hold both."""
        return replace(self, sound=sound)

    @property
    def seconds(self) -> float:
        return len(self.frames) / self.fps

    @property
    def on_terminal(self) -> str:
        return ""

    @classmethod
    def on_page(cls, path: Path) -> str:
        """The file itself, so that its sound is kept."""
        return _playing(of_file(path))

    def _repr_html_(self) -> str:
        kind = best_suffix()
        return _playing(data_url(self.to_bytes(kind), kind))


def _playing(source: str) -> str:
    """HTML that plays a clip without end, silent until it is told otherwise."""
    if source.startswith("data:image/"):
        return f"<img src='{source}' width='256' alt='' style='image-rendering: pixelated'>"
    return f"<video autoplay loop muted playsinline controls src='{source}'></video>"


def best_suffix() -> str:
    """The first of ``WRITTEN`` that this build of PyAV can write."""
    return next(kind for kind in WRITTEN if kind == ".png" or video_writer.can_write(kind))
