"""``python -m genai.page``: samples and losses of the newest runs on one HTML page. ``--help`` says how."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import genai.inference.provenance as recipes
from genai.cli.compose import CommandConfig, guarded, launch
from genai.cli.options import output, texts
from genai.core.errors import RunError, UserError

if TYPE_CHECKING:
    from genai.media.base import Media
    from genai.report.html import Section
    from genai.runs.run import Run

SHOWN = 24
"""The most samples of one run: the first of them."""
Sample = tuple[Path, dict[str, Any]]
"""The file and its recipe."""


def main() -> None:
    """The command."""
    launch(page, "page", sys.argv[1:])


def page(composed: CommandConfig) -> Path:
    """Write the page that the command line asks for. Raises ``UserError``, ``RunError``."""
    from genai.core.instantiate import validate_value
    from genai.report.html import html

    values = composed.values
    for key in ("samples", "out", "runs"):
        validate_value(values[key], str, key)
    runs = _runs(values)
    folders = _samples(Path(values["samples"]).expanduser())
    sections = [_section(run, folders) for run in runs]
    out = output(values["out"], "page.html")
    _write(out, html(sections))
    print(f"page in {out.absolute().as_uri()}", flush=True)
    return out


def _runs(values: Mapping[str, Any]) -> "list[Run]":
    from genai.runs.run import find_run, latest_run_per_modality

    if values["ckpt"] is not None:
        return [find_run(name) for name in texts(values["ckpt"])]
    return latest_run_per_modality(Path(values["runs"]).expanduser())


def _samples(root: Path) -> list[list[Sample]]:
    """The samples of each folder at any depth of ``root``, in their order; of folders the newest first."""
    if not root.is_dir():
        raise UserError(f"samples={root}: there is no such folder. Make some: python -m genai.sample")
    folders: dict[Path, list[Sample]] = {}
    for file in sorted(root.glob("**/[0-9][0-9][0-9]*.json")):
        made = [each for each in file.parent.glob(f"{file.stem}.*") if each.suffix != ".json"]
        try:
            if made:
                newest = max(made, key=lambda each: each.stat().st_mtime)
                folders.setdefault(file.parent, []).append((newest, recipes.parse(file)))
        except UserError as error:
            print(f"{error} It is passed over.", file=sys.stderr)
    return sorted(folders.values(), key=lambda samples: max(made.stat().st_mtime for made, _ in samples), reverse=True)


def _section(run: "Run", folders: Sequence[Sequence[Sample]]) -> "Section":
    """What the page says of a run: the newest samples that its checkpoints made."""
    from genai.report.html import Section

    digests = run.digests
    ours = ([each for each in samples if each[1]["checkpoint_sha256"] in digests] for samples in folders)
    samples = next(filter(None, ours), [])
    media = _media(run)
    shown = []
    for made, recipe in samples[:SHOWN]:
        try:
            shown.append((recipe["batch"][recipe["item"]], media.on_page(made)))
        except UserError as error:
            print(f"{error} It is passed over.", file=sys.stderr)
    return Section(run, shown, len(samples), samples[0][0].parent if samples else None, _more(run, samples))


def _media(run: "Run") -> "type[Media]":
    from genai.data.registry import modalities

    name = str(run.record.get("modality"))
    if name not in modalities():
        raise UserError(
            f"{run.folder} is of modality {name}, which is not known. There are: {', '.join(modalities())}."
        )
    return modalities()[name].media


def _more(run: "Run", samples: Sequence[Sample]) -> str:
    """The command that makes more samples of what the first was asked for, from unused seeds, options that are numbers
    left out."""
    from shlex import quote

    from genai.runs.run import shell_path

    words = ["python -m genai.sample", f"ckpt={shell_path(run.folder)}"]
    if samples:
        recipe = samples[0][1]
        sound = (recipe.get("sound") or {}).get("checkpoint")
        asked = {"prompt": recipe["batch"][recipe["item"]]["prompt"], "init": recipe["init"], "sound": sound}
        asked |= {key: text for key, text in recipe["options"].items() if text in list(recipe["files"])}
        words += [f"{key}={quote(text)}" for key, text in asked.items() if text]
        words.append(f"seed={1 + max(each['batch'][each['item']]['seed'] for _, each in samples)}")
    return " ".join([*words, "n=4"])


def _write(path: Path, content: str) -> None:
    from genai.runs.checkpoint import atomic_write

    try:
        atomic_write(path, content)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}.") from error


if __name__ == "__main__":
    guarded(main)
