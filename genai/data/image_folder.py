"""Pictures of one's own, with the captions that lie beside them."""

import glob
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Lt

from genai.data import alike
from genai.data.base import Example, Source, Split
from genai.data.captions import printable, read_captions
from genai.data.survey import THREADS, THUMBNAIL, Looked, survey
from genai.errors import Mistake
from genai.modalities import cache
from genai.modalities.picture import Picture

SUFFIXES = frozenset(
    ".png .jpg .jpeg .jfif .webp .gif .bmp .tif .tiff .avif .heic .heif .jp2 .ppm .pgm .pbm .pnm .tga .ico".split()
)


class ImageFolder(Source):
    """Pictures of any size and kind, from a folder with its sub-folders.

    The prompt of ``a.png`` is what ``a.txt`` or ``a.caption`` says, else its row in a ``metadata.jsonl`` or
    ``metadata.csv`` of the folder (``file_name``, and ``text``, ``caption`` or ``prompt``), else the name of its
    sub-folder, with spaces for underscores, else "".

    Args:
        path: a folder (searched through by ``SUFFIXES``, hidden files left out) or a glob such as ``cats/**/*.png``.
        val_fraction: what is held out; pictures that look the same are on the same side.
        size: that they are needed in; a large JPEG is decoded in no more than twice that.

    Raises:
        Mistake: nothing is there, or too little of it can be used.
    """

    media = Picture
    metrics = ("val_loss", "nearest")

    def __init__(
        self,
        path: str,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        size: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        self.path, self.val_fraction, self.about = path, val_fraction, size and 2 * size
        self.skipped = ()

    @property
    def train(self) -> Split:
        return self._divided[0]

    @property
    def val(self) -> Split:
        return self._divided[1]

    @property
    def description(self) -> str:
        train, val, note = self._divided
        prompts = len({*(train.prompts or ()), *(val.prompts or ())})
        return (
            f"{printable(self.path)}: {len(train):,} pictures to train on, {len(val):,} held out, "
            f"{prompts:,} different prompts{note}"
        )

    def files(self) -> tuple[list[Path], list[Path]]:
        """The pictures, and all files in their folders, in order; nothing hidden. Raises ``Mistake`` for none."""
        if not self.path:
            raise Mistake("data.path= is empty: give a folder of pictures, or a glob.")
        path = Path(self.path).expanduser()
        if path.is_dir():
            files = sorted(_below(path), key=str)
            pictures = [file for file in files if _is_picture(file)]
        else:
            named = [path] if path.is_file() else sorted(map(Path, glob.glob(str(path), recursive=True)))
            pictures = [file for file in named if _is_picture(file) and file.is_file()]
            folders = sorted({file.parent for file in pictures})
            files = [file for folder in folders for file in sorted(folder.iterdir()) if not file.name.startswith(".")]
            if not named:
                raise Mistake(f"data.path={printable(self.path)}: there is no such folder, file or glob.")
        if not pictures:
            raise Mistake(f"data.path={printable(self.path)}: no pictures. Looked for {' '.join(sorted(SUFFIXES))}.")
        return pictures, files

    @cached_property
    def _divided(self) -> tuple[Split, Split, str]:
        """Both splits, and what is to be said of the division."""
        pictures, files = self.files()
        path = Path(self.path).expanduser()
        root = path if path.is_dir() else Path(os.path.commonpath([file.parent for file in pictures]))
        captions = read_captions(files, [file for file in files if _is_picture(file)])
        looked = list(zip(pictures, survey(root, pictures), strict=True))
        self.skipped = (*(printable(look.wrong) for _, look in looked if look.wrong), *captions.notes)
        good = [(file, captions.of(file, root), look) for file, look in looked if not look.wrong]
        if len({look.content for _, _, look in good}) < 2:
            wrong = " ".join(["", *self.skipped[:3]])
            raise Mistake(
                f"data.path={printable(self.path)}: two different pictures are needed, one to hold out.{wrong}"
            )
        numbers, note = _alike([look for _, _, look in good])
        held = alike.held_out([look.content for _, _, look in good], numbers, self.val_fraction)
        train = _split("train", [item for index, item in enumerate(good) if index not in held], self.about)
        return train, _split("val", [good[index] for index in sorted(held)], self.about), note


def _alike(looks: Sequence[Looked]) -> tuple[list[int], str]:
    """A number for each picture, the same one for those that belong on one side, and what is to be said of it."""

    def numbers() -> dict[str, list[int]]:
        pixels = np.frombuffer(bytes.fromhex("".join(look.thumbnail for look in looks)), np.uint8)
        return {"numbers": alike.groups(pixels.reshape(-1, THUMBNAIL, THUMBNAIL, 3))}

    key = cache.key("alike", 1, [look.thumbnail for look in looks])
    found: list[int] = cache.plain(cache.folder() / f"{key}.json", numbers)["numbers"]
    if len(set(found)) > 1:
        return found, ""
    first: dict[str, int] = {}  # a film in single frames, say: then only equal files are kept together
    equal = [first.setdefault(look.content, index) for index, look in enumerate(looks)]
    return equal, "; all look alike, held out or not"


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


def _below(folder: Path) -> Iterator[Path]:
    """All files in ``folder`` and its sub-folders, none that is hidden."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names if not name.startswith("."))


def _split(name: str, items: Sequence[tuple[Path, str, Looked]], about: int | None) -> Split:
    prompts = [prompt for _, prompt, _ in items]
    fingerprint = cache.key("pictures", about, [(look.content, prompt) for _, prompt, look in items])
    load = lambda index: Example(Picture.read(items[index][0], about), prompts[index])  # noqa: E731
    return Split(name, len(items), load, fingerprint, prompts, THREADS)
