"""Manifests: the files of a folder with their sizes and hashes, all compared before any of them is used."""

import hashlib
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Le, MaxLen

from genai.core.errors import CorruptCheckpoint, UserError, join_names, short_repr, short_text
from genai.core.files import file_hash, open_file, read_bytes, write_file
from genai.core.instantiate import validate_value
from genai.core.limits import check_memory
from genai.core.plain_data import parse_json

MANIFEST = "manifest.json"
FORMAT = 1
MAX_NAMES = 100
"""Files in a folder that are compared with its manifest."""
Size = Annotated[int, Ge(0), Le(2**60)]
Digest = Annotated[str, MaxLen(64)]


def write_manifest(folder: Path) -> None:
    """Write the manifest of all files in ``folder``."""
    files = {file.name: {"size": file.stat().st_size, "sha256": file_hash(file)} for file in sorted(folder.iterdir())}
    content = {"library_name": "genai", "format": FORMAT, "files": files}
    write_file(folder / MANIFEST, json.dumps(content, indent=2) + "\n")


def check_manifest(folder: Path, root: Path, allowed: Collection[str]) -> str:
    """Compare a folder with its manifest: names first, then sizes, then hashes.

    Hidden files, whose names begin with a dot, are left out: tools put them there, and nothing reads them.

    Args:
        folder: the folder.
        root: the folder that links may lead to; without links, ``folder``.
        allowed: names that the manifest may have.

    Returns:
        The sha256 of the manifest, and so of everything.

    Raises:
        CorruptCheckpoint: a file is missing, superfluous, or not as the manifest says; the message names it.
    """
    files, digest = _read_manifest(folder, root)
    for name in files:
        if name not in allowed:
            raise CorruptCheckpoint(
                f"{folder / MANIFEST} names {short_repr(name)}; it may name: {join_names(allowed)}."
            )
    for name in _names(folder):
        if name not in (*files, MANIFEST):
            raise CorruptCheckpoint(f"{folder} holds {short_repr(name)}, which {MANIFEST} does not name: remove it.")
    for name, (size, _) in files.items():
        path = folder / name
        if not os.path.lexists(path):
            raise CorruptCheckpoint(f"{folder} has no {name}, which {MANIFEST} names.")
        if root == folder and path.is_symlink():
            raise CorruptCheckpoint(f"{path} is a link: it is not read.")
        with open_file(path, folder=root) as file:
            actual_size = os.fstat(file.fileno()).st_size
        if actual_size != size:
            raise CorruptCheckpoint(f"{path} was changed: it has {actual_size:,} bytes, not {size:,}.")
    check_memory(sum(size for size, _ in files.values()), str(folder))
    for name, (_, expected) in files.items():
        if file_hash(folder / name) != expected:
            raise CorruptCheckpoint(f"{folder / name} was changed: its content does not match {MANIFEST}.")
    return digest


def _read_manifest(folder: Path, root: Path) -> tuple[dict[str, tuple[int, str]], str]:
    """Return size and hash of each file by its name, and the manifest's own hash. Raises ``CorruptCheckpoint``."""
    path = folder / MANIFEST
    try:
        if root == folder and path.is_symlink():
            raise UserError(f"{path} is a link: it is not read.")
        content = read_bytes(path, "config", root)
        values = parse_json(content, str(path))
        if not isinstance(values, dict) or values.get("format") != FORMAT or not isinstance(values.get("files"), dict):
            raise UserError(f"{path} is no manifest of format {FORMAT}.")
        files = {}
        for name, entry in values["files"].items():
            if not isinstance(entry, dict) or not {"size", "sha256"} <= entry.keys():
                raise UserError(f"{path}: {short_repr(name)} has no size and sha256.")
            where = short_text(name)
            files[name] = (
                validate_value(entry["size"], Size, f"{where}.size"),
                validate_value(entry["sha256"], Digest, f"{where}.sha256"),
            )
    except UserError as error:
        raise CorruptCheckpoint(str(error)) from error
    return files, hashlib.sha256(content).hexdigest()


def _names(folder: Path) -> list[str]:
    """Return the names in a folder that are not hidden. Raises ``CorruptCheckpoint`` for more than ``MAX_NAMES``."""
    names: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            names.append(entry.name)
            if len(names) > MAX_NAMES:
                raise CorruptCheckpoint(f"{folder} holds more than {MAX_NAMES} files: it is no exported model.")
    return sorted(names)
