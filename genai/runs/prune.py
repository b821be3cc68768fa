"""Find files to delete: runs without a checkpoint, samples of missing checkpoints, cached and left-over files."""

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from genai.core.cache import cache_dir, is_cache_file
from genai.core.errors import UserError
from genai.core.files import is_inside, read_text, remove_path
from genai.core.plain_data import parse_json
from genai.runs.checkpoint_files import read_hashes
from genai.runs.run import Run

Kind = Literal["runs", "samples", "cache", "leftovers"]
KINDS: tuple[Kind, ...] = get_args(Kind)
RUN_FILES = {
    "config.yaml", "record.json", "metrics.csv", "metrics.json", "mlflow_run_id", ".lock", "data_card.md",
    "data_card.json",
}  # fmt: skip
RUN_FOLDERS = {"checkpoints", "previews", "tensorboard", "profile"}
"""Files and folders that a run writes. A folder with others is left alone: they are its user's."""
RECIPE = re.compile(r"[0-9]{3,}\.json")
SAMPLE_FILES = re.compile(r"([0-9]{3,})(-making)?\.\w+|sheet\.\w+")


@dataclass(frozen=True)
class Unused:
    """Something that can be deleted.

    Attributes:
        kind: what it is one of.
        reason: why it is of no use, for people.
        path: the folder, or the one that contains ``files``.
        files: the files and folders in it to delete; empty: the whole folder.
    """

    kind: Kind
    reason: str
    path: Path
    files: tuple[Path, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that are freed. Links are not followed."""
        files = [path for file in self.files or (self.path,) for path in (file, *file.rglob("*"))]
        return sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink())

    def delete(self) -> None:
        """Delete it, unless it is a run that has been continued since. Raises ``OSError``."""
        if self.kind == "runs" and not _is_without_use(Run(self.path)):
            return
        for file in self.files:
            remove_path(file)
        if not self.files:
            shutil.rmtree(self.path)


def find_unused(runs: Iterable[Run], root: Path, samples: Path) -> Iterator[Unused]:
    """Yield what can be deleted, kind by kind.

    Args:
        runs: all runs.
        root: the folder that contains them.
        samples: the folder of samples.
    """
    all_runs = list(runs)
    hashes = {digest for run in all_runs for digest in run.checkpoint_hashes}
    has_ended = not any(run.is_running for run in all_runs)
    runs = [run for run in all_runs if not run.folder.is_symlink() and is_inside(run.folder, root)]
    yield from (Unused("runs", "without a checkpoint", run.folder) for run in runs if _is_without_use(run))
    yield from (Unused("samples", "of a checkpoint that is gone", folder) for folder in _old_samples(samples, hashes))
    files = tuple(sorted(file for file in cache_dir().iterdir() if is_cache_file(file)))
    if files and has_ended:  # a run that goes on reads them
        yield Unused("cache", "made again when it is needed", cache_dir(), files)
    for run in runs:
        if run.has_checkpoint and not run.is_running and (files := tuple(run.temporary_files())):
            yield Unused("leftovers", "of a process that was ended while saving", run.folder, files)


def _is_without_use(run: Run) -> bool:
    """Return whether a run never had a checkpoint, nobody trains it, and its folder has only what a run writes."""
    if run.is_running or run.has_checkpoint or run.record.steps or not (run.folder / "config.yaml").is_file():
        return False
    for path in run.folder.iterdir():
        is_own = path.name in (RUN_FOLDERS if path.is_dir() else RUN_FILES)
        if path.is_symlink() or not (is_own or path in run.temporary_files()):
            return False
    checkpoints = run.folder / "checkpoints"
    files = [*checkpoints.iterdir()] if checkpoints.is_dir() else []
    return all(file.name.endswith(".ckpt.sha256") or file in run.temporary_files() for file in files)


def _old_samples(root: Path, hashes: set[str]) -> Iterator[Path]:
    """Yield folders that have only samples, whose recipes all name a checkpoint that is gone."""
    for folder in sorted({file.parent for file in root.glob("**/[0-9][0-9][0-9]*.json")}):
        content = list(folder.iterdir())
        recipes = [file for file in content if RECIPE.fullmatch(file.name)]
        if folder == root or not is_inside(folder, root) or not all(_is_sample_file(file, recipes) for file in content):
            continue
        try:
            values = [parse_json(read_text(file, "recipe", root), str(file)) for file in recipes]
            if values and all(_is_missing(value, hashes) for value in values):
                yield folder
        except UserError:
            continue


def _is_sample_file(file: Path, recipes: Sequence[Path]) -> bool:
    """Return whether a file belongs to one of ``recipes``, or is their sheet."""
    match = SAMPLE_FILES.fullmatch(file.name)
    is_known = match is not None and (match[1] is None or file.with_name(f"{match[1]}.json") in recipes)
    return is_known and file.is_file() and not file.is_symlink()


def _is_missing(recipe: Any, hashes: set[str]) -> bool:
    """Return whether the checkpoint of a recipe is neither among ``hashes`` nor where it was. Raises ``UserError``."""
    digest = recipe.get("checkpoint_sha256") if isinstance(recipe, dict) else None
    if not isinstance(digest, str) or digest in hashes:
        return False
    file = Path(str(recipe.get("checkpoint") or ""))
    known = read_hashes(file) if file.is_file() else []  # models of other tools have no file with their hash
    return not file.is_file() or (bool(known) and digest not in known)
