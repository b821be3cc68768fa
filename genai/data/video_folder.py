"""Clips of one's own, with the captions that lie beside them."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Le, Lt

from genai.data.audio_folder import duration
from genai.data.folder import Folder
from genai.errors import Mistake
from genai.modalities.clip import Clip

SUFFIXES = frozenset(".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .flv .wmv .ogv .3gp .gif .webp .apng .png".split())


class VideoFolder(Folder):
    """Films and animations of any kind and length, from a folder with its sub-folders; prompts and division as in
    ``Folder``.

    Args:
        path: a folder (searched through by ``SUFFIXES``, hidden files left out) or a glob such as ``birds/**/*.mp4``.
        val_fraction: what is held out; equal files are on the same side.
        fps: frames a second that they are needed in; their own where that is ``None``.
        size: that they are needed in; larger ones are decoded in no more than twice that.

    Raises:
        Mistake: nothing is there, or too little of it can be used.
    """

    media = Clip
    metrics: ClassVar[tuple[str, ...]] = ("val_loss", "motion", "nearest_film")
    suffixes = SUFFIXES
    things = "clips"

    def __init__(
        self,
        path: str,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        fps: Annotated[float, Gt(0), Le(240)] | None = None,
        size: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        super().__init__(path, val_fraction)
        self.fps, self.loaded_as = fps, size and 2 * size

    def load(self, file: Path) -> Clip:
        return Clip.read(file, self.fps, self.loaded_as)

    def look(self, file: Path) -> dict[str, Any]:
        clip = Clip.read(file, about=16)
        if len(clip.frames) == 1:
            raise Mistake(f"{file} has a single frame.")
        return {"seconds": clip.seconds}

    @property
    def note(self) -> str:
        return f", {duration(sum(look.seconds for side in self._divided[:2] for _, look in side))} in all"
