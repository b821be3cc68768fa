"""Files below a folder, and files that a glob matches."""

import fnmatch
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from genai.core.errors import UserError
from genai.core.filesystem import sort_paths
from genai.core.terminal import printable


def walk_folder(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the sorted files in a folder and its sub-folders, without hidden ones, and errors about folders.

    Linked folders are visited last and each folder only once, so a link to a parent folder does not loop.
    """
    files, errors = list[Path](), list[str]()
    visited, links = set[str](), [folder]
    for top in links:
        for path, folders, names in os.walk(top, onerror=lambda error: errors.append(_error_line(error))):
            if (real_path := os.path.realpath(path)) in visited:
                folders.clear()
                continue
            visited.add(real_path)
            folders[:] = [name for name in folders if not name.startswith(".")]
            links += sort_paths(Path(path, name) for name in folders if os.path.islink(os.path.join(path, name)))
            files += [Path(path, name) for name in names if not name.startswith(".")]
    return sorted(files, key=Path.as_posix), errors


def _error_line(error: OSError) -> str:
    return f"cannot read folder {error.filename}: {error.strerror}."


def expand_glob(pattern: Path) -> tuple[list[Path], list[str]]:
    """Return the sorted files that match a glob, and errors as in ``walk_folder``, where links cannot loop.

    Raises:
        UserError: ".." follows a wildcard.
    """
    first = next((index for index, part in enumerate(pattern.parts) if glob.has_magic(part)), len(pattern.parts))
    if ".." in pattern.parts[first:]:  # each such pair of parts lists all folders again
        raise UserError(f"data.path={printable(str(pattern))}: '..' cannot follow a wildcard.")
    if "**" not in pattern.parts:
        return sort_paths(map(Path, glob.glob(str(pattern)))), list(_closed_folders(pattern.parts))
    index = pattern.parts.index("**")
    matches, errors = list[Path](), list(_closed_folders(pattern.parts[:index]))
    folders = filter(Path.is_dir, map(Path, glob.glob(str(Path(*pattern.parts[:index])))))
    for folder in sorted(folders, key=Path.as_posix):
        files, folder_errors = walk_folder(folder)
        matches += [file for file in files if _matches_glob(file.relative_to(folder).parts, pattern.parts[index:])]
        errors += folder_errors
    return sort_paths(matches), errors


def _closed_folders(parts: Sequence[str]) -> Iterator[str]:
    """Yield an error about each folder that a glob without ``**`` cannot list; the library passes over them."""
    for index in (index for index, part in enumerate(parts) if glob.has_magic(part)):
        for folder in glob.glob(str(Path(*parts[:index]))):
            try:
                if os.path.isdir(folder):
                    os.scandir(folder).close()
            except OSError as error:
                yield _error_line(error)


def _matches_glob(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a path match those of a glob, where ``**`` matches any number of parts."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_matches_glob(path[start:], pattern[1:]) for start in range(len(path) + 1))
    return bool(path) and fnmatch.fnmatchcase(path[0], pattern[0]) and _matches_glob(path[1:], pattern[1:])
