"""What folders of one's own have in common, whatever media are in them: which files, which captions, which side."""

import fnmatch
import glob
import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Gt, Lt

from genai.core.cache import cache_key
from genai.core.data import Divided, Example, Split
from genai.core.errors import UserError
from genai.data import dedup as alike
from genai.data.captions import one_line, printable, read_captions
from genai.data.file_index import THREADS, Looked, survey

SIDES = ("val", "validation", "valid", "test")
"""Names of what is held out beside a sub-folder ``train``; the first that is there counts."""


@dataclass(frozen=True)
class Item:
    """A file that may be used.

    Attributes:
        file: where it is.
        prompt: what describes it.
        held: whether it is held out, where the data themselves say so.
    """

    file: Path
    prompt: str
    held: bool | None = None


Side = list[tuple[Item, Looked]]


class Folder(Divided):
    """Files below a folder, or of a glob.

    The prompt of ``a.png`` is what ``a.txt`` or ``a.caption`` says, else its row in a table of the folder (see
    ``genai.data.captions``), else the name of its sub-folder, with spaces for underscores, else "".

    Sub-folders ``train`` and ``val`` (or ``validation``, ``valid``, ``test``) at the top are the two sides, and no
    prompts. Otherwise ``val_fraction`` is held out, by what is in the files.

    Raises:
        UserError: nothing is there, or too little of it can be used.
    """

    suffixes: ClassVar[frozenset[str]]
    things: ClassVar[str]
    """What is in the files, in the plural: ``pictures``."""
    loaded_as: Any = None
    """What ``load`` depends on besides the file, in plain values."""

    def __init__(self, path: str, val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1) -> None:
        self.path, self.val_fraction = path, val_fraction
        self.skipped = ()

    @abstractmethod
    def look(self, file: Path) -> dict[str, Any]:
        """What is to be remembered of a file: fields of ``Looked``. Raises ``UserError`` where it cannot be used."""

    @abstractmethod
    def load(self, file: Path) -> Any:
        """The media in a file."""

    @property
    def description(self) -> str:
        prompts = [*(self.train.prompts or ()), *(self.val.prompts or ())]
        counts = f"{len(self.train):,} {self.things} to train on, {len(self.val):,} held out"
        skipped = f", {len(self.skipped):,} skipped" if self.skipped else ""
        without = f" ({prompts.count(''):,} without)" if any(prompts) and "" in prompts else ""
        return f"{one_line(self.path)}: {counts}{skipped}, {len(set(prompts)):,} different prompts{without}{self.note}"

    @property
    def note(self) -> str:
        """What else is to be said of the division, and of files that are there more than once."""
        return f"{self._divided[2]}{_copies([*self._divided[0], *self._divided[1]])}"

    def groups(self, looks: Sequence[Looked]) -> tuple[list[int], str]:
        """A number for each file, the same one for those that belong on one side, and what is to be said of it."""
        return _equal(looks), ""

    def files(self) -> tuple[list[Path], list[Path], list[str]]:
        """Those with media, and all files in their folders, in order; nothing hidden. And what cannot be looked into.

        Raises:
            UserError: there is none.
        """
        if not self.path:
            raise UserError(f"data.path= is empty: give a folder of {self.things}, or a glob.")
        path = Path(self.path).expanduser()
        if path.is_dir():
            files, closed = _below(path)
            media = self.media_in(path, files)
        else:
            named, closed = ([path], []) if path.is_file() else _matching(path)
            media = [file for file in named if self._fits(file) and file.is_file()]
            folders = sorted({file.parent for file in media})
            files = [file for folder in folders for file in sorted(folder.iterdir()) if not file.name.startswith(".")]
            if not named:
                raise UserError(f"data.path={printable(self.path)}: there is no such folder, file or glob.")
        if not media:
            looked_for = " ".join(sorted(self.suffixes))
            raise UserError(f"data.path={printable(self.path)}: no {self.things}. Looked for {looked_for}.")
        return media, files, closed

    def media_in(self, folder: Path, files: Sequence[Path]) -> list[Path]:
        """Those of ``files``, all of ``folder``, that there are media in; in order."""
        return [file for file in files if self._fits(file)]

    def items(self) -> tuple[Path, list[Item], list[str]]:
        """The folder of them all, the files with their prompts, and a line about each other thing that is of no use."""
        media, files, closed = self.files()
        path = Path(self.path).expanduser()
        root = path if path.is_dir() else Path(os.path.commonpath([file.parent for file in media]))
        captions = read_captions(files, [*media, *filter(self._fits, files)], self.things)
        notes = [*closed, *captions.notes]
        sides = _sides(path, media)
        if not sides:
            return root, [Item(file, captions.of(file, root)) for file in media], notes
        side = {file: folder for file in media for folder in sides if file.is_relative_to(folder)}
        items = [Item(file, captions.of(file, folder), folder == sides[1]) for file, folder in side.items()]
        left = [f"{file} is in neither {sides[0].name} nor {sides[1].name}." for file in media if file not in side]
        return root, items, [*notes, *left]

    @cached_property
    def _divided(self) -> tuple[Side, Side, str]:
        """Both sides, and what is to be said of the division."""
        root, items, notes = self.items()
        looked = list(zip(items, survey(root, [item.file for item in items], self.things, self.look), strict=True))
        self.skipped = tuple(map(one_line, (*(look.wrong for _, look in looked if look.wrong), *notes)))
        good = [(item, look) for item, look in looked if not look.wrong]
        given = any(item.held is not None for item in items)
        train, val, note = self._as_given(good) if given else self._drawn(good)
        if not train or not val:
            wrong = " ".join(["", *self.skipped[:3]])
            needed = f"two different {self.things} are needed, one to hold out"
            raise UserError(f"data.path={printable(self.path)}: {needed}.{wrong}")
        return train, val, note

    def _as_given(self, good: Side) -> tuple[Side, Side, str]:
        """What is on both sides is held out."""
        val = [(item, look) for item, look in good if item.held]
        held = {look.content for _, look in val}
        train = [(item, look) for item, look in good if not item.held and look.content not in held]
        twice = [item.file for item, look in good if not item.held and look.content in held]
        self.skipped += tuple(one_line(f"{file} is held out as well: it is not trained on.") for file in twice)
        return train, val, ""

    def _drawn(self, good: Side) -> tuple[Side, Side, str]:
        if len({look.content for _, look in good}) < 2:
            return [], [], ""
        numbers, note = self.groups([look for _, look in good])
        if len(set(numbers)) < 2:  # a film in single frames, say: then only equal files are kept together
            numbers = _equal([look for _, look in good])
        held = alike.held_out([look.content for _, look in good], numbers, self.val_fraction)
        train = [pair for index, pair in enumerate(good) if index not in held]
        return train, [good[index] for index in sorted(held)], note

    @cached_property
    def _splits(self) -> tuple[Split, Split]:
        train, val, _ = self._divided
        return self._split("train", train), self._split("val", val)

    def _split(self, name: str, items: Sequence[tuple[Item, Looked]]) -> Split:
        prompts = [item.prompt for item, _ in items]
        fingerprint = cache_key(self.things, self.loaded_as, [(look.content, item.prompt) for item, look in items])
        load = lambda index: Example(self.load(items[index][0].file), prompts[index])  # noqa: E731
        return Split(name, len(items), load, fingerprint, prompts, THREADS)

    def _fits(self, file: Path) -> bool:
        return file.suffix.lower() in self.suffixes


def _equal(looks: Sequence[Looked]) -> list[int]:
    """The same number for files of the same bytes."""
    first: dict[str, int] = {}
    return [first.setdefault(look.content, index) for index, look in enumerate(looks)]


def _sides(path: Path, media: Sequence[Path]) -> list[Path]:
    """The two folders of a division that somebody has made; none where it is not made so."""
    if not path.is_dir():
        return []
    full = {file.relative_to(path).parts[0] for file in media if file.parent != path}
    held = next((name for name in SIDES if name in full), None)
    return [path / "train", path / held] if held and "train" in full else []


def _copies(side: Side) -> str:
    """How many files have the bytes of another, and the first few by name."""
    first: dict[str, Path] = {}
    pairs = [(item.file, first.setdefault(look.content, item.file)) for item, look in side]
    copies = [f"{copy.name} of {file.name}" for copy, file in pairs if copy != file]
    if not copies:
        return ""
    few = ", ".join(copies[:3])
    return one_line(
        f"; {len(copies):,} {'is a copy' if len(copies) == 1 else 'are copies'}: {few}{', ...' * (len(copies) > 3)}"
    )


def _below(folder: Path) -> tuple[list[Path], list[str]]:
    """All files in ``folder`` and its sub-folders, in order, none that is hidden; and a line for each closed folder.

    Folders that are links come last, and none twice: so a link to a folder above ends there.
    """
    files, closed = list[Path](), list[str]()
    seen, links = set[str](), [folder]
    for top in links:
        for place, folders, names in os.walk(top, onerror=lambda error: closed.append(_closed(error))):
            if (real := os.path.realpath(place)) in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = [name for name in folders if not name.startswith(".")]
            links += sorted(Path(place, name) for name in folders if os.path.islink(os.path.join(place, name)))
            files += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(files, key=str), closed


def _closed(error: OSError) -> str:
    return f"cannot look into {error.filename}: {error.strerror}."


def _matching(pattern: Path) -> tuple[list[Path], list[str]]:
    """What a glob names, in order, as ``_below``: Python's own ``**`` goes round and round through links."""
    if "**" not in pattern.parts:
        return sorted(map(Path, glob.glob(str(pattern)))), []
    at = pattern.parts.index("**")
    found, closed = list[Path](), list[str]()
    for folder in map(Path, sorted(glob.glob(str(Path(*pattern.parts[:at]))))):
        files, shut = _below(folder)
        found += [file for file in files if _named(file.relative_to(folder).parts, pattern.parts[at:])]
        closed += shut
    return sorted(found), closed


def _named(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path fit those of a glob, of which ``**`` is any number."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_named(path[start:], pattern[1:]) for start in range(len(path) + 1))
    return bool(path) and fnmatch.fnmatchcase(path[0], pattern[0]) and _named(path[1:], pattern[1:])
