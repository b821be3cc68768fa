"""Videos of human actions: UCF101 and HMDB51 with their official splits; the class name is the prompt.

The files are read here because torchvision no longer reads videos. For Kinetics, ``VideoFolder`` is enough.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from genai.core.errors import UserError
from genai.core.files import read_bytes
from genai.core.filesystem import sort_paths
from genai.core.terminal import printable
from genai.data.folder import Item
from genai.data.video_folder import VideoFolder

DatasetName = Literal["UCF101", "HMDB51"]


@dataclass(frozen=True)
class SplitFiles:
    """Files that define the splits of a data set.

    Attributes:
        lists: name of the folder of the lists, next to the folder of the classes.
        train, test: patterns of the names of the lists, with the number of the fold.
    """

    lists: str
    train: str
    test: str


DATASETS: dict[DatasetName, SplitFiles] = {
    "UCF101": SplitFiles("ucfTrainTestlist", "trainlist{fold:02}.txt", "testlist{fold:02}.txt"),
    "HMDB51": SplitFiles("testTrainMulti_7030_splits", "*_test_split{fold}.txt", "*_test_split{fold}.txt"),
}


class ActionVideos(VideoFolder):
    """UCF101 or HMDB51.

    Args:
        name: name of the data set, as in torchvision.
        path: the folder of the classes, ``root`` in torchvision: ``UCF-101``, ``hmdb51_org``.
        lists: the folder of the lists that define the splits, ``annotation_path`` in torchvision; ``None``: the folder
            next to ``path`` named as in the archive, ``ucfTrainTestlist`` or ``testTrainMulti_7030_splits``.
        fold: which of the three official splits.
        fps: frames per second to read the videos at; ``None``: the frame rate of each file.
        size: shorter side in pixels to read them at.

    Raises:
        UserError: folders or lists are missing, or all videos of the lists are.
    """

    metrics = ("val_loss", "motion", "frechet", "nearest")
    suffixes = frozenset((".avi", ".mp4", ".mkv", ".webm"))
    item_name = "films"

    def __init__(
        self,
        name: DatasetName,
        path: str,
        lists: str | None = None,
        fold: Annotated[int, Ge(1), Le(3)] = 1,
        fps: Annotated[float, Gt(0)] | None = None,
        size: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        super().__init__(path, fps=fps, size=size, scenes=False)
        self.dataset = DATASETS[name]
        default_lists = Path(path).expanduser().parent / self.dataset.lists
        self.name, self.fold = name, fold
        self.lists = Path(lists).expanduser() if lists else default_lists

    def items(self) -> tuple[Path, list[Item], list[str]]:
        media, *_ = self.files()
        by_name = {file.name: file for file in media}  # names are unique in these data sets
        is_val = dict(self._read_lists())
        items = [
            Item(by_name[name], class_prompt(by_name[name].parent.name), is_val[name])
            for name in is_val
            if name in by_name
        ]
        if not items:
            raise UserError(
                f"data.path={printable(self.path)}: none of the {len(is_val):,} films in {self.lists} exists."
            )
        notes = []
        if missing := len(is_val) - len(items):
            notes.append(f"{missing:,} films of fold {self.fold} are missing.")
        if unlisted := len(media) - len(items):
            notes.append(f"{unlisted:,} films are in neither split of fold {self.fold}.")
        return Path(self.path).expanduser(), items, notes

    def _read_lists(self) -> Iterator[tuple[str, bool]]:
        """Yield the name of each video of the fold, and whether it is validation data."""
        for pattern, is_val in ((self.dataset.train, False), (self.dataset.test, True)):
            files = sort_paths(self.lists.glob(pattern.format(fold=self.fold)))
            if not files:
                raise UserError(
                    f"data.lists={printable(str(self.lists))}: there is no {pattern.format(fold=self.fold)}, which "
                    f"defines the splits of {self.name}."
                )
            for file in files:
                for line in read_bytes(file, "table").decode("utf-8", "replace").splitlines():
                    path, _, tag = line.strip().partition(" ")
                    # UCF101 has a list for each split, and tags are classes; in HMDB51 tags 1 and 2 are the splits
                    if path and (self.name == "UCF101" or tag.strip() == str(1 + is_val)):
                        yield path.rpartition("/")[2], is_val


def class_prompt(name: str) -> str:
    """Turn a class name into a prompt: "apply eye makeup" for "ApplyEyeMakeup", "brush hair" for "brush_hair"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", printable(name)).replace("_", " ").lower()
