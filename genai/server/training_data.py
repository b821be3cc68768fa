"""What a training that begins on the page may read: data sets below one folder, data that are made, experiments."""

import inspect
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import yaml

from genai.core.errors import UserError, did_you_mean, join_names, short_text
from genai.core.files import is_inside
from genai.core.paths import config_dir
from genai.data.captions import CAPTION_SUFFIXES
from genai.data.registry import compatible_data, modality_classes, source_classes

DATA_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,127}")
MAX_SETS, MAX_FILES = 200, 2_000
"""Data sets that are listed, and files of one that are looked at."""
BUILT_IN = {"world": "toy world: made by genai, nothing is read", "stdlib": "the source code of Python's library here"}
"""Data that need no files, and what they are."""
ARRAY_SUFFIXES = (".npz", ".npy")


@dataclass(frozen=True)
class DataSet:
    """Data for a training.

    Attributes:
        id: name.
        path: of the folder or file; ``None``: it is made.
        source: member of the config group ``data``; "" if an experiment has to say how to read it.
        modalities: what it can train.
        description: for people.
    """

    id: str
    path: Path | None
    source: str
    modalities: tuple[str, ...]
    description: str

    @property
    def words(self) -> list[str]:
        """Words of the command line that read it."""
        source = [f"data={self.source}"] if self.source else []
        return [*source, *([f"data.path={self.path}"] if self.path else [])]

    def describe(self) -> dict[str, Any]:
        """Return it as plain data, without its path."""
        modality = self.modalities[0] if len(self.modalities) == 1 else None
        return {
            "id": self.id,
            "name": self.id,
            "modality": modality,
            "modalities": [*self.modalities],
            "is_own": self.path is not None,
            "description": self.description,
        }


def find_data(root: Path | None) -> dict[str, DataSet]:
    """Return the data sets by id: those that are made, and folders and files directly in ``root``."""
    sets = {name: _built_in(name) for name in BUILT_IN}
    if root is None or not root.is_dir():
        return sets
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        path = Path(entry.path)
        if len(sets) >= MAX_SETS:
            break
        if DATA_ID.fullmatch(entry.name) and entry.name not in sets and is_inside(path, root):
            found = _read_set(path)
            if found:
                sets[entry.name] = found
    return sets


def find_set(root: Path | None, name: str) -> DataSet:
    """Return a data set. Raises ``UserError``."""
    sets = find_data(root)
    if name not in sets:
        raise UserError(f"data=: there is no data set '{short_text(name)}'.{did_you_mean(name, sets)}")
    return sets[name]


def _built_in(name: str) -> DataSet:
    modalities = tuple(each for each, cls in modality_classes().items() if name in compatible_data(cls))
    return DataSet(name, None, name, modalities, BUILT_IN[name])


def _read_set(path: Path) -> DataSet | None:
    """Return the data set of a folder or file; ``None``: it has nothing that is known."""
    files = [path] if path.is_file() else list(islice(_files(path), MAX_FILES))
    suffixes = Counter(file.suffix.lower() for file in files)
    if path.is_file() and path.suffix.lower() in ARRAY_SUFFIXES:
        return DataSet(path.name, path, "", tuple(modality_classes()), "arrays, to be read by an experiment")
    counts = {name: sum(suffixes[suffix] for suffix in known) for name, known in folder_suffixes().items()}
    media = {n: c for n, c in counts.items() if c and not {*CAPTION_SUFFIXES} & folder_suffixes()[n]}
    counts = media or {name: count for name, count in counts.items() if count}  # texts beside media are captions
    if not counts or (path.is_file() and media):
        return None
    source = max(counts, key=counts.__getitem__)
    number = f"{counts[source]:,}{' or more' if len(files) == MAX_FILES else ''} file{'s' * (counts[source] != 1)}"
    return DataSet(path.name, path, source, _modalities(source), number)


def _files(folder: Path) -> Any:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


@cache
def folder_suffixes() -> dict[str, frozenset[str]]:
    """Return the suffixes of files by the name of the source that reads folders of them."""
    return {
        name: frozenset(sys.modules[classes[0].__module__].SUFFIXES)
        for name, classes in source_classes().items()
        if name.endswith("_folder")
    }


def _modalities(source: str) -> tuple[str, ...]:
    return tuple(name for name, cls in modality_classes().items() if source in compatible_data(cls))


def modalities_with(argument: str) -> list[str]:
    """Return the names of the modalities that have an argument."""
    return [name for name, cls in modality_classes().items() if argument in inspect.signature(cls).parameters]


def describe_modalities() -> list[dict[str, str]]:
    """Return name and description of each modality."""
    folder = config_dir() / "modality"
    return [{"name": name, "description": _first_comment(folder / f"{name}.yaml")} for name in modality_classes()]


@dataclass(frozen=True)
class Experiment:
    """An experiment that needs no other run.

    Attributes:
        name: of its config.
        modality: name of the modality; "" if it does not say that.
        description: for people.
        needs_data: whether its data have to be given.
    """

    name: str
    modality: str
    description: str
    needs_data: bool


@cache
def experiments() -> dict[str, Experiment]:
    """Return the experiments by name, without those that change a trained model, ``init_from=``."""
    found = {}
    for path in sorted((config_dir() / "experiment").glob("*.yaml")):
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        groups = {
            key: name for each in values.get("defaults", []) if isinstance(each, dict) for key, name in each.items()
        }
        if "override /method" not in groups and "adapter" not in values:
            needs_data = _needs_path(str(groups.get("override /data", "")), values.get("data") or {})
            modality = str(groups.get("override /modality", ""))
            found[path.stem] = Experiment(path.stem, modality, _first_comment(path), needs_data)
    return found


def _needs_path(source: str, values: Mapping[str, Any]) -> bool:
    """Return whether a source has an argument ``path`` without a value, neither in ``values`` nor by default."""
    arguments = [inspect.signature(cls).parameters.get("path") for cls in source_classes().get(source, ())]
    is_required = any(argument is not None and argument.default is argument.empty for argument in arguments)
    return is_required and values.get("path") in ("???", "", None)


def check_modality(name: str, allowed: Sequence[str], what: str) -> None:
    """Raise ``UserError`` if a modality is none of ``allowed``."""
    if name not in allowed:
        hint = did_you_mean(name, allowed)
        raise UserError(f"modality={short_text(name)}: {what} is for {join_names(allowed)}.{hint}")


def _first_comment(path: Path) -> str:
    """Return the first sentence of the comment at the beginning of a config."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "@package" not in line]
    comment = takewhile(lambda line: line.startswith("# ") and not line.startswith("#  "), lines)
    return " ".join(line.removeprefix("# ") for line in comment).partition(". ")[0].rstrip(".")
