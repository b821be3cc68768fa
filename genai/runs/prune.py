"""What can be deleted: runs without a checkpoint, samples of runs that are gone, cached and left-over files."""

import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from genai.core.cache import cache_dir, is_cache_file
from genai.core.errors import UserError
from genai.core.files import is_inside, read_text
from genai.core.plain_data import parse_json
from genai.runs.run import Run

Kind = Literal["runs", "samples", "cache", "leftovers"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Unused:
    """Something that can be deleted.

    Attributes:
        kind: what it is one of.
        reason: why it is of no use, for people.
        path: the folder, or the one that contains ``files``.
        files: the files to delete; empty: the whole folder.
    """

    kind: Kind
    reason: str
    path: Path
    files: tuple[Path, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that are freed. Links are not followed."""
        files = self.files or tuple(self.path.rglob("*"))
        return sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink())

    def delete(self) -> None:
        """Delete it. Raises ``OSError``."""
        for file in self.files:
            file.unlink(missing_ok=True)
        if not self.files:
            shutil.rmtree(self.path)


def find_unused(runs: Iterable[Run], root: Path, samples: Path) -> Iterator[Unused]:
    """Yield what can be deleted, kind by kind.

    Args:
        runs: all runs.
        root: the folder that contains them.
        samples: the folder of samples.
    """
    runs = [run for run in runs if not run.folder.is_symlink() and is_inside(run.folder, root)]
    ended = [run for run in runs if not run.is_running]
    without = [run for run in ended if not run.has_checkpoint]
    yield from (Unused("runs", "without a checkpoint", run.folder) for run in without)
    hashes = {digest for run in runs for digest in run.checkpoint_hashes}
    yield from (Unused("samples", "of a checkpoint that is gone", folder) for folder in _old_samples(samples, hashes))
    files = tuple(sorted(file for file in cache_dir().iterdir() if is_cache_file(file)))
    if files and len(ended) == len(runs):  # a run that goes on reads them
        yield Unused("cache", "made again when it is needed", cache_dir(), files)
    for run in ended:
        if run.has_checkpoint and (files := tuple(run.temporary_files())):
            yield Unused("leftovers", "of a process that was ended while saving", run.folder, files)


def _old_samples(root: Path, hashes: set[str]) -> Iterator[Path]:
    """Yield folders of samples whose recipes all name a checkpoint that is not among ``hashes``."""
    for folder in sorted({file.parent for file in root.glob("**/[0-9][0-9][0-9]*.json")}):
        content = list(folder.iterdir())
        if folder == root or not is_inside(folder, root) or any(path.is_dir() for path in content):
            continue
        recipes = [file for file in content if re.fullmatch(r"[0-9]{3,}\.json", file.name)]
        try:
            values = [parse_json(read_text(file, "recipe", root), str(file)) for file in recipes]
        except UserError:
            continue
        digests = [value.get("checkpoint_sha256") for value in values if isinstance(value, dict)]
        if len(digests) == len(values) and all(isinstance(digest, str) and digest not in hashes for digest in digests):
            yield folder
