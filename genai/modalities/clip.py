"""Clips as people have them: frames at a rate, with a sound where there is one; any video file <-> a clip."""

import base64
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from genai.errors import Mistake, listing
from genai.modalities import film_reader, film_writer
from genai.modalities.sound import Sound

FPS = 8.0
"""Frames a second of what has no rate of its own, such as a folder of pictures."""


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
        """Any video that FFmpeg opens, any picture that Pillow opens, one that moves or not, a folder of pictures.

        Frames are those that stand there at each moment, by their time stamps; upright; transparency on white.

        Args:
            path: of the file, or of a folder whose pictures are the frames, in the order of the numbers in their names.
            fps: that it comes out at; its own mean rate where that is ``None``.
            about: frames may come out smaller, their shorter side no smaller than this.
            sound: read the sound of a video too.

        Raises:
            Mistake: naming the file: missing, without a picture, empty, damaged or cut short, more than
                ``film_reader.LARGEST`` bytes of frames.
        """
        path = Path(path)
        frames, rate = film_reader.read(path, fps, FPS, about)
        heard = Sound.read(path) if sound and film_reader.has_sound(path) else None
        return cls(frames, rate, heard)

    def at(self, fps: float) -> Self:
        """The same clip with ``fps`` frames a second: those that stand there at each moment."""
        if fps == self.fps or len(self.frames) == 1:
            return replace(self, fps=fps)
        count = max(1, round(self.seconds * fps))
        shown = np.floor(np.arange(count) * (self.fps / fps) + 1e-6).astype(int).clip(max=len(self.frames) - 1)
        return replace(self, frames=self.frames[shown], fps=fps)

    @property
    def seconds(self) -> float:
        return len(self.frames) / self.fps

    def to_bytes(self, suffix: str | None = None) -> bytes:
        """MP4 (H.264, AAC), WebM (VP9, Opus), or, exact to the pixel and without sound, animated PNG or WebP.

        In MP4 and WebM small frames are enlarged by a whole factor, to be seen: browsers would blur them.

        Raises:
            Mistake: another suffix, or one that this build of FFmpeg cannot write.
        """
        kind = "." + (suffix or self.suffix).lstrip(".").lower()
        if kind not in film_writer.WRITERS:
            raise Mistake(f"cannot write a clip as {kind}. There are: {listing(film_writer.WRITERS)}.")
        return film_writer.WRITERS[kind](self.frames, self.fps, self.sound)

    @property
    def on_terminal(self) -> str:
        return ""

    def _repr_html_(self) -> str:
        kind = film_writer.best()
        data = base64.b64encode(self.to_bytes(kind)).decode()
        if kind == ".png":
            return f"<img src='data:image/png;base64,{data}'>"
        return f"<video autoplay loop muted controls src='data:video/{kind[1:]};base64,{data}'></video>"
