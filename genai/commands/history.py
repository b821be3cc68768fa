"""``python -m genai history``: show the runs, compare two of them, or delete what is of no use. See ``--help``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genai.cli.compose import CommandConfig, launch
from genai.cli.exit_codes import exit_on_error
from genai.core.errors import RunError, UserError, did_you_mean, short_text
from genai.core.terminal import one_line

if TYPE_CHECKING:
    from genai.cli.settings import HistorySettings
    from genai.runs.run import Run

MAX_WIDTH = 40
"""Longest text of a column of the table."""
HEADER = ("run", "steps", "minutes", "val_loss", "MB", "state", "data")


def main() -> None:
    """Run the command."""
    launch(history, "history", sys.argv[1:])


def history(config: CommandConfig) -> None:
    """Print what the options ask for. Raises ``UserError``."""
    from genai.cli.settings import HistorySettings, parse_settings
    from genai.runs.compare import config_rows, result_rows
    from genai.runs.run import all_runs

    settings = parse_settings(HistorySettings, config)
    runs = list(all_runs(Path(settings.runs).expanduser()))
    if names := settings.run_names:
        first, second = (_find(name, runs) for name in names)
        rows = [*config_rows(first, second), *result_rows(first, second)]
        _print_table([("setting", *(run.folder.name for run in (first, second))), *rows])
    elif settings.prune:
        _prune(settings, runs)
    elif runs:
        _print_table([HEADER, *(_row(run, Path(settings.runs).expanduser()) for run in runs)], max_width=None)
    else:
        print(one_line(f"no runs are in {settings.runs}/. Train one: python -m genai.train"))


def _row(run: "Run", root: Path) -> tuple[str, ...]:
    from genai.runs.compare import short_description

    record = run.record
    size = sum(file.lstat().st_size for file in run.folder.rglob("*") if file.is_file() and not file.is_symlink())
    return (
        str(run.folder.relative_to(root)),
        f"{record.steps:,}",
        f"{record.seconds / 60:.1f}",
        f"{record.best.val_loss:.4f}" if record.best else "-",
        f"{size / 1e6:.1f}",
        _state(run),
        _cut(short_description(record.data.description), MAX_WIDTH),
    )


def _state(run: "Run") -> str:
    """Return ``running``, ``finished``, ``unfinished``, or ``no checkpoint``."""
    if run.is_running:
        return "running"
    if not run.has_checkpoint:
        return "no checkpoint"
    return "finished" if run.record.finished else "unfinished"


def _find(name: str, runs: Sequence["Run"]) -> "Run":
    """Return the run in a folder, or the only one whose name contains ``name``. Raises ``UserError``."""
    from genai.runs.run import find_run

    if Path(name).expanduser().is_dir():
        return find_run(name)
    found = [run for run in runs if name in run.folder.as_posix()]
    if len(found) != 1:
        hint = did_you_mean(name, (run.folder.name for run in runs))
        raise UserError(f"compare={short_text(name)}: {len(found)} runs have this in their name.{hint}")
    return found[0]


def _prune(settings: "HistorySettings", runs: Sequence["Run"]) -> None:
    """Print what can be deleted; delete it if the settings say yes. Raises ``RunError`` if that fails."""
    from genai.runs.prune import KINDS, find_unused

    kinds: Sequence[str] = KINDS if isinstance(settings.prune, bool) else settings.prune
    if unknown := next((kind for kind in kinds if kind not in KINDS), None):
        raise UserError(f"prune=[{short_text(unknown)}]:{did_you_mean(unknown, KINDS)} There are: {', '.join(KINDS)}.")
    root, samples = Path(settings.runs).expanduser(), Path(settings.samples).expanduser()
    found = [item for item in find_unused(runs, root, samples) if item.kind in kinds]
    rows = [(item.kind, f"{item.size / 1e6:.1f} MB", str(item.path), item.reason) for item in found]
    _print_table(rows, max_width=None)
    total = sum(item.size for item in found)
    if not settings.yes:
        print(f"{total / 1e6:,.1f} MB can be freed{': add yes=true' if found else ''}")
        return
    for item in found:
        try:
            item.delete()
        except OSError as error:
            raise RunError(f"cannot delete {item.path}: {error.strerror}.") from error
    print(f"{total / 1e6:,.1f} MB are freed")


def _print_table(rows: Sequence[Sequence[str]], max_width: int | None = MAX_WIDTH) -> None:
    """Print rows in columns as wide as their longest text; a longer text than ``max_width`` is cut."""
    cells = [[one_line(text) if max_width is None else _cut(one_line(text), max_width) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


if __name__ == "__main__":
    exit_on_error(main)
