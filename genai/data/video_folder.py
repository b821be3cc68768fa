"""Clips from a folder, with captions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from genai.core.errors import UserError
from genai.data.exclude import ExcludedValues
from genai.data.file_table import FileInfo
from genai.data.folder import CaptionColumns, CaptionKind
from genai.data.item_weights import ItemWeights
from genai.data.parts import Part
from genai.data.personal_filter import PersonalMode
from genai.data.scenes import detect_cuts, split_scenes
from genai.data.timed_folder import TimedFolder
from genai.media.animation import FRAME_SUFFIXES
from genai.media.clip import MAX_FPS, Clip

SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .mts .m2ts .vob .wmv .asf .flv .ogv .3gp .gif .webp .apng".split()
)
FRAME_ONLY_SUFFIXES = FRAME_SUFFIXES - SUFFIXES
"""Suffixes of images that are not clips by themselves."""


class VideoFolder(TimedFolder):
    """Clips of any type, size and length from a folder and its sub-folders; prompts and splits as in ``Folder``.

    A sub-folder that contains only images, at least two, whose names end in numbers is also a clip. Its prompt is the
    text of ``NAME.txt`` next to it, or its row in a table there, or the name of its parent folder.

    Args:
        path: a folder (searched for ``SUFFIXES``, without hidden files) or a glob such as ``cats/**/*.mp4``, which
            matches only files.
        val_fraction: fraction for validation; identical files go to the same split.
        fps: frames per second to read them at; ``None``: the frame rate of each file.
        size: shorter side in pixels; larger clips are downscaled while they are read.
        caption: ``auto`` as in ``Folder``, or ``name``: the names of the files are their prompts.
        scenes: cut clips at their scene changes. The scenes are items, and those of a file go to the same split.
        personal: what to do about personal data in captions, see ``PersonalFilter``.
        license: of the files, for records and cards.
        captions: columns of the table of captions, of which one is drawn in each epoch, see ``Folder``.
        exclude: values of columns whose files are left out of both splits, such as ``{"style": "openmoji"}``.
        weights: by columns and values, how many times as often training draws them: ``{"folder": {"dogs": 3}}``.

    Raises:
        UserError: there are no clips, or too few that can be used.
    """

    media = Clip
    metrics: tuple[str, ...] = ("val_loss", "motion", "nearest")
    suffixes = SUFFIXES
    item_name = "clips"
    min_seconds, enough = 2.0, "6 seconds"

    def __init__(
        self,
        path: str,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        fps: Annotated[float, Gt(0), Le(MAX_FPS)] | None = None,
        size: Annotated[int, Ge(1)] | None = None,
        caption: CaptionKind = "auto",
        scenes: bool = True,
        personal: PersonalMode | None = None,
        license: str = "",
        captions: CaptionColumns | None = None,
        exclude: ExcludedValues | None = None,
        weights: ItemWeights | None = None,
    ) -> None:
        super().__init__(path, val_fraction, caption, personal, license, captions, exclude, weights)
        self.fps, self.size, self.scenes = fps, size, scenes
        self.num_cuts, self.num_short_scenes = 0, 0
        self.load_options = [fps, size]

    def load(self, file: Path) -> Clip:
        return Clip.read(file, self.fps, self.size)

    def take_part(self, media: Clip, part: Part) -> Clip:
        start, end = (round(seconds * media.fps) for seconds in part)
        return Clip(media.frames[start:end].copy(), media.fps)

    def inspect(self, file: Path) -> dict[str, Any]:
        """Decode the whole file, so that damaged files are found before packing."""
        clip = Clip.read(file, short_side=8)
        if len(clip.frames) < 2:
            raise UserError(f"{file} has only one frame.")
        return {"seconds": clip.seconds, "fps": clip.fps, "cuts": [cut / clip.fps for cut in detect_cuts(clip.frames)]}

    def cuts(self, info: FileInfo) -> Sequence[float]:
        return info.cuts if self.scenes else ()

    def cut(self, file: Path, info: FileInfo) -> tuple[list[Part], list[Part], str] | None:
        """Cut a single film in time, and both parts at their scene changes."""
        parts = super().cut(file, info)
        if parts is None:
            return None
        (train,), (val,), note = parts
        return self._split_scenes(info, train), self._split_scenes(info, val), note

    def parts(self, info: FileInfo) -> Sequence[Part | None]:
        return self._split_scenes(info, (0.0, info.seconds)) if self.cuts(info) else [None]

    def _split_scenes(self, info: FileInfo, part: Part) -> list[Part]:
        scenes, num_short = split_scenes(self.cuts(info), part, self.fps or info.fps)
        self.num_cuts += len(scenes) + num_short - 1
        self.num_short_scenes += num_short
        return scenes

    @property
    def note(self) -> str:
        note = super().note
        if not self.num_cuts:
            return note
        short = f", {self.num_short_scenes:,} of a single frame left out" if self.num_short_scenes else ""
        return f"{note}; cut at {self.num_cuts:,} scene change{'s' * (self.num_cuts > 1)}{short}"

    def find_media(self, folder: Path, files: Sequence[Path]) -> list[Path]:
        files_by_folder: dict[Path, list[Path]] = {}
        for file in files:
            files_by_folder.setdefault(file.parent, []).append(file)
        frame_folders = {
            path for path, folder_files in files_by_folder.items() if path != folder and _are_frames(folder_files)
        }
        return sorted([*super().find_media(folder, files), *frame_folders], key=Path.as_posix)


def _are_frames(files: Sequence[Path]) -> bool:
    return len(files) > 1 and all(
        file.suffix.lower() in FRAME_ONLY_SUFFIXES and file.stem[-1:].isdigit() for file in files
    )
