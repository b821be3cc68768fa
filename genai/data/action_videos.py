"""Films of actions that torchvision knows by name, with their official division; the name of a class is the prompt.

We read the files: torchvision has no reader of videos any more. Kinetics needs nothing of this, its folders say it all.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from genai.core.errors import UserError
from genai.data.captions import printable
from genai.data.folder import Item
from genai.data.video_folder import VideoFolder

Name = Literal["UCF101", "HMDB51"]


@dataclass(frozen=True)
class Known:
    """How a set comes out of its archives.

    Attributes:
        lists: the folder of the lists of its division, which lies beside that of its classes.
        train, test: patterns of their names, which have the number of the fold in them.
    """

    lists: str
    train: str
    test: str


SETS: dict[Name, Known] = {
    "UCF101": Known("ucfTrainTestlist", "trainlist{fold:02}.txt", "testlist{fold:02}.txt"),
    "HMDB51": Known("testTrainMulti_7030_splits", "*_test_split{fold}.txt", "*_test_split{fold}.txt"),
}


class TorchvisionFilms(VideoFolder):
    """Films of human actions.

    Args:
        name: as torchvision spells it.
        path: the folder of the classes, which torchvision calls ``root``: ``UCF-101``, ``hmdb51_org``.
        lists: the folder of the lists that say what is held out, ``annotation_path``; ``None``: the one beside ``path``
            that is called as in the archive, ``ucfTrainTestlist`` or ``testTrainMulti_7030_splits``.
        fold: which of the three divisions.
        fps: frames a second that the films are needed in; their own where that is ``None``.
        size: that they are needed in.

    Raises:
        UserError: folders or lists are not there, or no film of a list is.
    """

    metrics = ("val_loss", "motion", "frechet", "nearest")
    suffixes = frozenset((".avi", ".mp4", ".mkv", ".webm"))
    things = "films"

    def __init__(
        self,
        name: Name,
        path: str,
        lists: str | None = None,
        fold: Annotated[int, Ge(1), Le(3)] = 1,
        fps: Annotated[float, Gt(0)] | None = None,
        size: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        super().__init__(path, fps=fps, size=size)
        beside = Path(path).expanduser().parent / SETS[name].lists
        self.name, self.lists, self.fold = name, Path(lists).expanduser() if lists else beside, fold

    def items(self) -> tuple[Path, list[Item], list[str]]:
        media, *_ = self.files()
        by_name = {file.name: file for file in media}  # no two films of these sets have the same name
        held = dict(self._listed())
        items = [
            Item(by_name[name], prompt(by_name[name].parent.name), side)
            for name, side in held.items()
            if name in by_name
        ]
        if not items:
            raise UserError(
                f"data.path={printable(self.path)}: none of the {len(held):,} films in {self.lists} is there."
            )
        notes = (
            [f"{len(held) - len(items):,} films of fold {self.fold} are not there."] if len(held) > len(items) else []
        )
        if rest := len(media) - len(items):
            notes.append(f"{rest:,} films are on neither side of fold {self.fold}.")
        return Path(self.path).expanduser(), items, notes

    def _listed(self) -> Iterator[tuple[str, bool]]:
        """The name of each film of the fold, and whether it is held out."""
        known = SETS[self.name]
        for pattern, held in ((known.train, False), (known.test, True)):
            files = sorted(self.lists.glob(pattern.format(fold=self.fold)))
            if not files:
                raise UserError(
                    f"data.lists={printable(str(self.lists))}: there is no {pattern.format(fold=self.fold)}, the list "
                    f"of {self.name} that says what is held out."
                )
            for file in files:
                for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                    film, _, tag = line.strip().partition(" ")
                    # a list of UCF101 is a side, the number behind a film its class; of HMDB51 1 and 2 are the sides
                    if film and (self.name == "UCF101" or tag.strip() == str(1 + held)):
                        yield film.rpartition("/")[2], held


def prompt(name: str) -> str:
    """A class as one would type it: "apply eye makeup" for "ApplyEyeMakeup", "brush hair" for "brush_hair"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", printable(name)).replace("_", " ").lower()
