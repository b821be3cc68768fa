"""Samples in folders: ``000.png``, its recipe ``000.json`` and its side files; commands and the server write them."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from genai.core.errors import RunError, UserError
from genai.core.files import unique_folder, write_file
from genai.inference.labels import NO_LABEL, Labeler
from genai.inference.provenance import SampleRecipe, read_recipe
from genai.trust.label import MANIFEST_SUFFIX

RECIPE_NAME = re.compile(r"[0-9]{3}.*\.json")
"""Names of the files with recipes."""
SIDE_FILES = ("-logprobs.json", "-words.json")
"""Endings of the files beside a sample, see ``side_files`` of media."""


def new_sample_folder(root: Path) -> Path:
    """Create a new folder ``root/<date>/<time>``. Raises ``OSError``."""
    now = datetime.now()
    return unique_folder(root / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}")


def write_sample(
    folder: Path, name: str, media: Any, recipe: SampleRecipe | None = None, labeler: Labeler = NO_LABEL
) -> None:
    """Write a sample, labeled, its side files and its recipe. Raises ``RunError``."""
    files = {**labeler.encode(media, None, recipe), **getattr(media, "side_files", {})}
    if MANIFEST_SUFFIX not in files:
        (folder / f"{name}{MANIFEST_SUFFIX}").unlink(missing_ok=True)  # of a sample that was here before
    if recipe is not None:
        recipe = labeler.describe(media, recipe)
        content = json.dumps(asdict(recipe), indent=2, ensure_ascii=False) + "\n"
        files[".json"] = content.encode("utf-8", "backslashreplace")
    for suffix, data in files.items():
        path = folder / f"{name}{suffix}"
        try:
            write_file(path, data)
        except OSError as error:
            raise RunError(f"cannot write {path} ({len(data):,} bytes): {error.strerror}.") from error


def sample_files(recipe_file: Path) -> list[Path]:
    """Return the files of a sample: its recipe, those of the same name, and its side files.

    A file of another sample, whose name only begins in the same way, is none, and no folder is. Raises ``OSError``.
    """
    stem = recipe_file.stem
    found = []
    for path in recipe_file.parent.iterdir():
        is_side_file = path.name in {f"{stem}{ending}" for ending in SIDE_FILES} or path.stem == f"{stem}-making"
        if (path.stem == stem or (is_side_file and not _is_sample(path))) and (path.is_symlink() or not path.is_dir()):
            found.append(path)
    return found


def _is_sample(path: Path) -> bool:
    """Return whether a file belongs to a recipe of its own name."""
    try:
        read_recipe(path.with_suffix(".json"), path.parent)
    except UserError:
        return False
    return True


def find_sample_files(root: Path, newest_first: bool = False) -> Iterator[tuple[Path, list[Path]]]:
    """Yield each recipe below ``root``, folder by folder, with the other files of its name; no link is followed.

    Whether they are files, and inside ``root``, and a recipe, is left to the reader.

    Args:
        root: the folder.
        newest_first: begin with the last date; folders that have other names come at the end.
    """
    for place, folders, names in os.walk(root):
        folders.sort(key=lambda name: (name[:1].isdigit() and newest_first, name), reverse=newest_first)
        names += folders
        stems: dict[str, list[Path]] = {}
        for name in sorted(names):
            path = Path(place, name)
            if path.suffix not in (".json", MANIFEST_SUFFIX):
                stems.setdefault(path.stem, []).append(path)
        for name in sorted(filter(RECIPE_NAME.fullmatch, names), reverse=newest_first):
            recipe_file = Path(place, name)
            yield recipe_file, stems.get(recipe_file.stem, [])
