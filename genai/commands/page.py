"""``python -m genai.page``: samples and losses of the newest runs on one HTML page. See ``--help``."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import genai.inference.provenance as recipes
from genai.cli.compose import CommandConfig, launch
from genai.cli.exit_codes import exit_on_error
from genai.cli.options import output_file, parse_prompts
from genai.cli.settings import PageSettings, parse_settings
from genai.core.errors import RunError, UserError
from genai.core.files import MIB, check_file, is_inside, write_file
from genai.core.terminal import one_line
from genai.inference.sample_files import find_sample_files

if TYPE_CHECKING:
    from genai.media.base import Media
    from genai.report.html import Section
    from genai.runs.run import Run

MAX_SAMPLES = 24
"""Maximum number of samples per run."""
MAX_INPUTS = 8
"""Maximum number of files that samples of a run were made from."""
MAX_SECTION_BYTES = 32 * MIB
"""Maximum length of the samples of a run on the page."""
Sample = tuple[list[Path], recipes.SampleRecipe]
"""The files of a sample and its recipe."""


def main() -> None:
    """Run the command."""
    launch(page, "page", sys.argv[1:])


def page(config: CommandConfig) -> Path:
    """Write the page and return its path. Raises ``UserError``, ``RunError``."""
    from genai.report.html import render_page

    settings = parse_settings(PageSettings, config)
    runs = _without_revoked(_find_runs(settings), is_named=settings.ckpt is not None)
    folders = _find_samples(Path(settings.samples).expanduser())
    root = Path(settings.samples).expanduser()
    sections = [_make_section(run, folders, root, tuple(settings.plugins)) for run in runs]
    out = output_file(settings.out, "page.html")
    _write(out, render_page(sections))
    print(f"page in {out.absolute().as_uri()}", flush=True)
    return out


def _find_runs(settings: PageSettings) -> "list[Run]":
    from genai.runs.run import find_run, latest_run_per_modality

    if settings.ckpt is not None:
        return [_open_package(Path(name).expanduser()) or find_run(name) for name in parse_prompts(settings.ckpt)]
    return latest_run_per_modality(Path(settings.runs))


def _without_revoked(runs: "Sequence[Run]", is_named: bool) -> "list[Run]":
    """Return the runs without those with a voice whose consent was revoked; raise ``UserError`` if they are named."""
    from genai.runs.voices import check_voices

    usable = []
    for run in runs:
        try:
            check_voices(run.record.consent, run.folder)
            usable.append(run)
        except UserError as error:
            if is_named or len(runs) == 1:
                raise
            print(one_line(f"{error} It is skipped."), file=sys.stderr)
    return usable


def _open_package(folder: Path) -> "Run | None":
    """Return what an exported folder tells of its run; ``None`` for other paths.

    Raises:
        UserError: it is the model of another tool.
    """
    from genai.inference.stored_model import is_exported_path

    if not is_exported_path(folder):
        return None
    from genai.exchange.package import PackageRun, is_package

    if is_package(folder):
        return PackageRun.read(folder)
    raise UserError(
        f"{folder} is a model of another tool, without a run to show: page needs a run folder, or a folder of "
        "python -m genai export format=genai."
    )


def _find_samples(root: Path) -> list[list[Sample]]:
    """Return the samples of each folder below ``root``, in order; the newest folder first."""
    if not root.is_dir():
        raise UserError(f"samples={root}: there is no such folder. Make samples first: python -m genai.sample")
    folders: dict[Path, list[Sample]] = {}
    for recipe_file, media_files in find_sample_files(root):
        try:
            files = [check_file(file, folder=root) for file in media_files]
            if files:
                sample = files, recipes.read_recipe(recipe_file, root)
                folders.setdefault(recipe_file.parent, []).append(sample)
        except UserError as error:
            print(one_line(f"{error} It is skipped."), file=sys.stderr)
    return sorted(folders.values(), key=_newest_time, reverse=True)


def _newest_time(samples: Sequence[Sample]) -> float:
    return max(file.stat().st_mtime for files, _ in samples for file in files)


def _make_section(run: "Run", folders: Sequence[Sequence[Sample]], root: Path, plugins: tuple[str, ...]) -> "Section":
    """Collect the content of a run's section, with the newest samples of its checkpoints.

    Args:
        folders: the samples of each folder below ``root``.
    """
    from genai.report.html import Section

    hashes = run.checkpoint_hashes
    candidates = (
        [(files, recipe) for files, recipe in samples if recipe.checkpoint_sha256 in hashes] for samples in folders
    )
    samples = next(filter(None, candidates), [])
    media = _media_class(run, plugins)
    figures: list[tuple[Mapping[str, Any], str]] = []
    size = 0
    for files, recipe in samples[:MAX_SAMPLES]:
        try:
            content = media.on_page(_media_file(files, media))
        except UserError as error:
            print(one_line(f"{error} It is skipped."), file=sys.stderr)
            continue
        size += len(content)
        if size > MAX_SECTION_BYTES:
            line = f"{run.folder}: the page shows {len(figures)} of its samples; more would be too large."
            print(one_line(line), file=sys.stderr)
            break
        figures.append((vars(recipe.batch[recipe.item]), content))
    folder = samples[0][0][0].parent if samples else None
    inputs = _input_figures(samples[: len(figures)], [root, run.folder])
    return Section(run, figures, len(samples), folder, _sample_command(run, samples, plugins), inputs)


def _media_file(files: Sequence[Path], media: "type[Media]") -> Path:
    """Return the newest of a sample's files that a page can show. Raises ``UserError`` if there is none."""
    from genai.media.data_url import MIME_TYPES

    suffixes = {media.suffix} if media.suffix not in MIME_TYPES else {media.suffix, *MIME_TYPES}
    usable = [file for file in files if file.suffix.lower() in suffixes]
    if not usable:
        raise UserError(f"{files[0]} is not a file of this model.")
    return max(usable, key=lambda file: file.stat().st_mtime)


def _media_class(run: "Run", plugins: tuple[str, ...]) -> "type[Media]":
    from genai.data.registry import modality_classes

    name, classes = str(run.record.modality), modality_classes(plugins)
    if name not in classes:
        raise UserError(f"{run.folder} has an unknown modality {name}. There are: {', '.join(classes)}.")
    return classes[name].media


def _sample_command(run: "Run", samples: Sequence[Sample], plugins: tuple[str, ...]) -> str:
    """Return the command for more samples like the first: its prompt, files and options, and unused seeds."""
    from shlex import quote

    from genai.report.paths import public_path
    from genai.runs.checkpoint_files import read_hashes

    words = {"ckpt": public_path(run.folder)}
    if samples:
        recipe = samples[0][1]
        prompt = recipe.batch[recipe.item].prompt
        if run.best.exists() and recipe.checkpoint_sha256 not in read_hashes(run.best):
            words["ckpt"] += f"/checkpoints/{Path(recipe.checkpoint).name}"
        words |= {"prompt": prompt if parse_prompts(prompt) == [prompt] else json.dumps([prompt])} if prompt else {}
        words |= {"init": public_path(recipe.init)} if recipe.init else {}
        words |= {key: public_path(at.checkpoint) for key, at in recipe.origins.items() if key != "ckpt"}
        words |= _option_words(recipe, _default_options(run, plugins))
        words |= {"weights": recipe.weights} if recipe.weights != "ema" else {}
        words["seed"] = str(1 + max(recipe.batch[recipe.item].seed for _, recipe in samples))
    words |= {"plugins": f"[{','.join(plugins)}]"} if plugins else {}
    return " ".join(["python -m genai.sample", *(f"{key}={quote(text)}" for key, text in words.items()), "n=4"])


def _option_words(recipe: recipes.SampleRecipe, defaults: Mapping[str, Any]) -> dict[str, str]:
    """Return the options of a recipe that differ from ``defaults``, as the command line takes them."""
    from genai.report.paths import public_path

    words = {}
    for key, value in recipe.options.items():
        if value is None or not key.isidentifier() or (key in defaults and defaults[key] == value):
            continue
        if isinstance(value, str):
            words[key] = public_path(value) if value in recipe.files else value
        elif isinstance(value, bool | int | float) or (value and all(isinstance(item, str) for item in value)):
            words[key] = json.dumps(value, ensure_ascii=False)
    return words


def _default_options(run: "Run", plugins: tuple[str, ...]) -> dict[str, Any]:
    """Return the values of options that are not given, as far as the parts of the run's model are known."""
    from dataclasses import MISSING, fields

    from genai.core.instantiate import import_class
    from genai.core.renamed import current_node
    from genai.data.registry import modality_classes
    from genai.methods.base import Method

    node = current_node(run.read_config().get("model"))
    parts: list[Any] = [modality_classes(plugins)[str(run.record.modality)]]
    sampling: Any = node.get("sampling") if isinstance(node, Mapping) else None
    with suppress(UserError):
        if isinstance(node, Mapping):
            parts.append(import_class(str(node.get("_target_")), Method, "model", plugins))
    defaults = {field.name: field.default for part in parts for field in fields(part.Options)}
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()}
    values |= sampling if isinstance(sampling, Mapping) else {}
    return {name: value for name, value in values.items() if value is not MISSING}


def _input_figures(samples: Sequence[Sample], folders: Sequence[Path]) -> list[tuple[str, str]]:
    """Return key and name of each file that samples were made from, and HTML of those in ``folders``."""
    names: dict[str, str] = {}
    for _, recipe in samples:
        keys = {text: key for key, text in recipe.options.items() if isinstance(text, str)}
        names |= {
            file: f"{'init' if file == recipe.init else keys.get(file, 'file')}={Path(file).name}"
            for file in recipe.files
        }
    return [
        (name, next((_input_html(Path(file)) for folder in folders if is_inside(Path(file), folder)), ""))
        for file, name in list(names.items())[:MAX_INPUTS]
    ]


def _input_html(file: Path) -> str:
    """Return HTML that shows a file of a common type; "", with a message, if that fails."""
    from genai.media.clip import Clip
    from genai.media.data_url import MIME_TYPES
    from genai.media.picture import Picture
    from genai.media.sound import Sound
    from genai.media.text import Document

    kind = MIME_TYPES.get(file.suffix.lower(), "").partition("/")[0]
    media: Any = {"audio": Sound, "video": Clip}.get(kind, Document if file.suffix.lower() == ".txt" else Picture)
    try:
        check_file(file, MAX_SECTION_BYTES / 4)
        return str(media.on_page(file))
    except UserError as error:
        print(one_line(f"{error} It is not shown."), file=sys.stderr)
        return ""


def _write(path: Path, content: str) -> None:
    try:
        write_file(path, content)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}.") from error


if __name__ == "__main__":
    exit_on_error(main)
