"""Clips of one's own, with the captions that lie beside them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Le, Lt

from genai.core.errors import UserError
from genai.data.timed_folder import TimedFolder
from genai.media.animation import STILLS
from genai.media.clip import FASTEST, Clip

SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .mts .m2ts .vob .wmv .asf .flv .ogv .3gp .gif .webp .apng".split()
)
FRAMES = STILLS - SUFFIXES


class VideoFolder(TimedFolder):
    """Clips of any kind, size and length, from a folder with its sub-folders; prompts and division as in ``Folder``.

    A sub-folder with nothing in it but pictures, two or more, whose names end in numbers is a clip as well: its prompt
    is what ``NAME.txt`` beside it says, or its row in a table there, or the name of the folder that it is in.

    Args:
        path: a folder (searched through by ``SUFFIXES``, hidden files left out) or a glob such as ``cats/**/*.mp4``,
            which finds files alone.
        val_fraction: what is held out; equal files are on the same side.
        fps: frames a second that they are needed in; their own where that is ``None``.
        size: pixels that their shorter side is needed in; no more are kept while a file is read.

    Raises:
        UserError: nothing is there, or too little of it can be used.
    """

    media = Clip
    metrics: ClassVar[tuple[str, ...]] = ("val_loss", "motion", "nearest")
    suffixes = SUFFIXES
    things = "clips"

    def __init__(
        self,
        path: str,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        fps: Annotated[float, Gt(0), Le(FASTEST)] | None = None,
        size: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        super().__init__(path, val_fraction)
        self.fps, self.size = fps, size
        self.loaded_as = [fps, size]

    def load(self, file: Path) -> Clip:
        return Clip.read(file, self.fps, self.size)

    def look(self, file: Path) -> dict[str, Any]:
        """Decodes all of it: what is damaged is known before anything is packed."""
        clip = Clip.read(file, about=8)
        if len(clip.frames) < 2:
            raise UserError(f"{file} has a single frame.")
        return {"seconds": clip.seconds}

    def media_in(self, folder: Path, files: Sequence[Path]) -> list[Path]:
        inside: dict[Path, list[Path]] = {}
        for file in files:
            inside.setdefault(file.parent, []).append(file)
        frames = {place for place, every in inside.items() if place != folder and _are_frames(every)}
        return sorted([*super().media_in(folder, files), *frames], key=str)


def _are_frames(files: Sequence[Path]) -> bool:
    return len(files) > 1 and all(file.suffix.lower() in FRAMES and file.stem[-1:].isdigit() for file in files)
