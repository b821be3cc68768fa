"""``python -m genai.sample``: generate samples with a trained model, each with a recipe. See ``--help``."""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import genai.inference.provenance as recipes
from genai.cli.compose import CommandConfig, exit_on_error, launch
from genai.cli.options import (
    check_common_keys,
    command_keys,
    load_model,
    parse_options,
    parse_prompts,
    report_checkpoint,
    split_options,
)
from genai.core.errors import RunError, UserError
from genai.core.renamed import current_options

if TYPE_CHECKING:
    from genai.inference.model import Model, Stream

RECIPE_KEYS = ("prompt", "prompts_file", "init", "n", "seed", "batch", "ckpt", "modality", "weights")
"""Keys that a recipe sets, so that ``from=`` excludes them, except ``ckpt``."""


def main() -> None:
    """Run the command."""
    overrides, options = split_options("sample", sys.argv[1:])
    launch(lambda config: sample(config, options), "sample", overrides)


def sample(config: CommandConfig, options: Mapping[str, str]) -> None:
    """Generate the samples that the command line requests. Raises ``UserError``, ``RunError``."""
    values = {**config.values, "modality": options.get("modality")}
    options = {key: text for key, text in options.items() if key != "modality"}
    recipe = _read_recipe(values, config.overrides, options) if values["from"] else None
    if recipe:
        values |= {key: recipe[key] for key in ("weights", "init")}
        for key, origin in {"ckpt": recipe, "soundtrack": recipe.get("sound")}.items():
            values[key] = values[key] or (origin and recipes.find_checkpoint(origin, Path(values["runs"]), key))
    _check_values(values)
    model, soundtrack_model, parsed = _load_models(values, options, recipe)
    report_checkpoint(model)
    if soundtrack_model:
        report_checkpoint(soundtrack_model, "soundtrack")
    if values["interpolate"]:
        _write_interpolation(model, values, parsed)
    elif recipe:
        _repeat_sample(model, soundtrack_model, values, {**recipe, "options": parsed})
    else:
        _write_samples(model, soundtrack_model, values, parsed)


def _load_models(
    values: Mapping[str, Any], options: Mapping[str, str], recipe: Mapping[str, Any] | None
) -> "tuple[Model, Model | None, dict[str, Any]]":
    """Load the model and the soundtrack model, and parse the options. Raises ``UserError``."""
    from genai.inference.soundtrack import load_soundtrack_model

    model = load_model(values)
    if values["animate"] and model.modality.preview().animation_class is None:
        raise UserError(f"animate=true is not supported for {type(model.modality).__name__.lower()}.")
    if recipe:
        recipes.check_origin(values["from"], recipe, model)
        parsed = current_options(recipe["options"], set().union(*model.option_names))
    else:
        parsed = parse_options(model, options, [*command_keys("sample"), "modality"])
    model.build_options(parsed)
    soundtrack_model = load_soundtrack_model(values, model, parsed)
    if recipe and soundtrack_model:
        recipes.check_origin(values["from"], recipe["sound"], soundtrack_model)
    return model, soundtrack_model, parsed


def _write_samples(
    model: "Model", soundtrack_model: "Model | None", values: Mapping[str, Any], options: Mapping[str, Any]
) -> None:
    """Generate and write ``n`` samples of each prompt, batch by batch."""
    from genai.core.batch import batch_ranges
    from genai.inference.model import Stream, expand_prompts
    from genai.inference.soundtrack import add_soundtracks
    from genai.modalities.optional import request_notes

    options = recipes.with_absolute_files(model, options)
    init = str(Path(values["init"]).expanduser().absolute()) if values["init"] else None
    prompts, seeds = expand_prompts(_prompts(values, model, options), values["n"], values["seed"])
    input_files = {"init": init, **{name: options.get(name) for name in recipes.file_options(model)}}
    _check_input_files(input_files, values["out"], len(prompts))
    first = Stream(model, prompts[:1], seeds[:1], init, options)  # check everything before the folder is created
    for note in request_notes(model.modality, prompts, first.init):
        print(note, file=sys.stderr)
    folder = _create_folder(values["out"])
    samples, preview = list[tuple[str, Any]](), model.modality.preview()
    for rows in batch_ranges(len(prompts), values["batch"]):
        batch = [{"prompt": prompts[i], "seed": seeds[i]} for i in rows]
        stream = Stream(model, prompts[rows.start : rows.stop], seeds[rows.start : rows.stop], init, options)
        names = [f"{number:03d}" for number in rows]
        with ExitStack() as stack:
            writers = _open_stream_writers(model, stream, folder, names, stack)
            try:
                media, steps = _show_stream(stream, None, rows.start, values["animate"], writers)
            except KeyboardInterrupt:
                if writers:
                    print(f"\n{stream.length:.1f} {stream.unit} are in {folder}/{names[0]}.*", file=sys.stderr)
                raise
        batch_seeds = seeds[rows.start : rows.stop]
        batch_media = add_soundtracks(soundtrack_model, media, batch_seeds) if soundtrack_model else media
        for item, (name, sample) in enumerate(zip(names, batch_media, strict=True)):  # write each as soon as it is done
            _write(folder, name, sample, recipes.make_recipe(model, batch, item, options, init, soundtrack_model))
            if values["animate"]:
                _write(folder, f"{name}-making", preview.animation_class([step[item] for step in steps]))
        samples += zip(prompts[rows.start : rows.stop], media, strict=True)
    if contact_sheet := preview.contact_sheet(samples):
        _write(folder, "sheet", contact_sheet)
    _report_folder(folder, len(prompts))


def _repeat_sample(
    model: "Model", soundtrack_model: "Model | None", values: Mapping[str, Any], recipe: Mapping[str, Any]
) -> None:
    """Generate the sample of a recipe again, under the same file name."""
    from genai.inference.model import Stream
    from genai.inference.soundtrack import add_soundtracks

    paths = {recipe["options"].get(name) for name in recipes.file_options(model)} - {None}
    if unverified := paths - {*recipe["files"]}:
        raise UserError(f"{values['from']} names {unverified.pop()} without its hash.")
    batch, item, name = recipe["batch"], recipe["item"], Path(values["from"]).stem
    prompts, seeds = [entry["prompt"] for entry in batch], [entry["seed"] for entry in batch]
    stream = Stream(model, prompts, seeds, recipe["init"], recipe["options"])
    folder = _create_folder(values["out"])
    media, steps = _show_stream(stream, item, keep_steps=values["animate"])
    sample = media[item]
    if soundtrack_model:
        sample = next(add_soundtracks(soundtrack_model, [sample], [seeds[item]]))
    _write(folder, name, sample, recipe)
    if values["animate"]:
        _write(folder, f"{name}-making", model.modality.preview().animation_class([step[item] for step in steps]))
    _report_folder(folder, 1)


def _write_interpolation(model: "Model", values: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Write the interpolation between two samples as a strip and an animation."""
    from genai.inference.interpolation import interpolate

    prompts = _prompts(values, model, options)
    strip, animation = interpolate(model, prompts, values["n"], values["seed"], values["batch"], options)
    folder = _create_folder(values["out"])
    _write(folder, "strip", strip)
    _write(folder, "interpolation", animation)
    print(f"from {prompts[0]!r} to {prompts[-1]!r} in {folder}/", file=sys.stderr, flush=True)


def _check_values(values: Mapping[str, Any]) -> None:
    from genai.core.instantiate import validate_value

    check_common_keys(values)
    for key in ("animate", "interpolate"):
        validate_value(values[key], bool, key)
    conflicts = [key for key in ("init", "soundtrack", "from", "animate") if values[key]]
    if values["interpolate"] and conflicts:
        raise UserError(f"interpolate=true and {conflicts[0]}=: give one of them.")
    if values["prompt"] is not None and values["prompts_file"] is not None:
        raise UserError("prompt= and prompts_file=: give one of them.")


def _prompts(values: Mapping[str, Any], model: "Model", options: Mapping[str, Any]) -> list[str]:
    if values["prompts_file"] is not None:
        file = Path(values["prompts_file"]).expanduser()
        try:
            lines = file.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"cannot read prompts_file={file}: {getattr(error, 'strerror', None) or 'it is not UTF-8'}."
            ) from error
        prompts = [line.rstrip("\r") for line in lines]
        prompts = prompts[:-1] if prompts[-1] == "" else prompts
        if not prompts:
            raise UserError(f"prompts_file={file} is empty.")
        return prompts
    if values["prompt"] is None:
        has_input = values["init"] or any(options.get(name) for name in recipes.file_options(model))
        return [""] if has_input else model.record.get("prompts") or [""]
    return parse_prompts(values["prompt"])


def _read_recipe(values: Mapping[str, Any], overrides: Sequence[str], options: Mapping[str, str]) -> dict[str, Any]:
    """Read the recipe ``from=``. Raises ``UserError`` if it is not one, or if other options contradict it."""
    keys = [*options, *(word.partition("=")[0] for word in overrides if word.partition("=")[0] in RECIPE_KEYS)]
    if conflicts := [key for key in keys if key != "ckpt"]:
        raise UserError(f"from={values['from']} repeats a sample exactly: leave out {', '.join(conflicts)}.")
    recipe = recipes.read_verified_recipe(Path(values["from"]).expanduser())
    if values["soundtrack"] is not None and not recipe.get("sound"):
        raise UserError(f"from={values['from']} repeats a sample that has no soundtrack: leave out soundtrack.")
    return recipe


def _show_stream(
    stream: "Stream", item: int | None = None, offset: int = 0, keep_steps: bool = False, writers: Sequence[Any] = ()
) -> tuple[list[Any], list[list[Any]]]:
    """Run the stream; print one sample as it is generated, then the others.

    Args:
        item: the only sample to print; ``None``: all.
        offset: number of the first sample of the stream.
        keep_steps: return the intermediate results.
        writers: one per sample; they receive each part as it is generated.

    Returns:
        The samples, and the intermediate results of each step if ``keep_steps``.
    """
    streamed_item = item or 0
    print(_heading(stream, streamed_item, offset), file=sys.stderr, flush=True)
    print(stream.init_text(streamed_item), end="", flush=True)
    steps = []
    for parts in _with_progress(stream):
        print(parts[streamed_item].on_terminal, end="", flush=True)
        for writer, part in zip(writers, parts, strict=False):
            try:
                writer.append(part)
            except OSError as error:
                raise RunError(f"cannot write the samples: {error.strerror}.") from error
        if keep_steps:
            steps.append(parts)
    media = stream.results()
    is_text = any(sample.on_terminal for sample in media)
    if is_text:
        print(flush=True)
    for index, sample in enumerate(media if item is None and is_text else []):
        if index != streamed_item:
            print(_heading(stream, index, offset), file=sys.stderr, flush=True)
            print(sample.on_terminal, flush=True)
    return media, steps


def _with_progress(stream: "Stream") -> Iterator[list[Any]]:
    """Iterate over the stream with a progress bar; print the speed at the end if samples have a length."""
    from genai.core.progress import ProgressBar

    if stream.unit is None:
        with ProgressBar("sampling, %", 100) as bar:
            previous_progress = 0.0
            for parts in stream:
                if stream.progress is not None:
                    bar.step(100 * (stream.progress - previous_progress))
                    previous_progress = stream.progress
                yield parts
        return
    start_time, latency, length = time.monotonic(), "", 0.0
    with ProgressBar(stream.unit, stream.max_length, delay=0) as bar:
        bar.step(0)  # a loop may have to be compiled before the first sound
        for parts in stream:
            latency = latency or f"first {stream.length:.1f} after {time.monotonic() - start_time:.2f} s"
            bar.step(stream.length - length)
            length = stream.length
            yield parts
    seconds, count = time.monotonic() - start_time, len(stream.seeds)
    each = " each" if count > 1 else ""
    speed = f"{count * length / seconds:.1f}x real time"
    print(f"{length:.1f} {stream.unit}{each} in {seconds:.1f} s, {latency}; {speed}", file=sys.stderr, flush=True)


def _open_stream_writers(
    model: "Model", stream: "Stream", folder: Path, names: Sequence[str], stack: ExitStack
) -> list[Any]:
    """Open files that are written while samples are generated, if the media support it; final files replace them.

    Recipes with the same names are deleted first, because they describe other samples.
    """
    from genai.modalities.optional import stream_writer

    writers = []
    for name, decoder in zip(names, stream.decoders, strict=True):
        path = folder / f"{name}{decoder.initial.suffix}"
        try:
            writer = stream_writer(model.modality, path, decoder.initial)
            if writer is not None:
                writers.append(stack.enter_context(writer))
                path.with_suffix(".json").unlink(missing_ok=True)
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror}.") from error
    return writers


def _check_input_files(input_files: Mapping[str, str | None], out: str | None, count: int) -> None:
    """Check that no input file (by its key) is a folder or would be replaced by a sample. Raises ``UserError``."""
    for key, name in input_files.items():
        if name is not None and Path(name).is_dir():
            raise UserError(f"{key}={name} is a folder: name a file.")
        if name is None or out is None:
            continue
        path = Path(name).resolve()
        if path.parent == Path(out).expanduser().resolve() and path.stem.isdigit() and int(path.stem) < count:
            raise UserError(f"{key}={name} would be replaced by the samples: give another folder than out={out}.")


def _heading(stream: "Stream", item: int, offset: int) -> str:
    return f"--- {offset + item:03d}  seed {stream.seeds[item]}  prompt {stream.prompts[item]!r}"


def _report_folder(folder: Path, count: int) -> None:
    print(f"{count} sample{'s' * (count > 1)} in {folder}/", file=sys.stderr, flush=True)


def _create_folder(out: str | None) -> Path:
    """Create the folder ``out`` or, for ``None``, a new ``samples/<date>/<time>``. Raises ``UserError``."""
    now = datetime.now()
    folder = base = Path(out).expanduser() if out else Path("samples") / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}"
    if out and any(folder.glob("[0-9][0-9][0-9]*.json")):
        print(f"{folder}/ has samples already: those with the same numbers are replaced", file=sys.stderr)
    number = 1
    while not out and folder.exists():  # several in the same second
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create the folder out={folder}: {error.strerror}.") from error
    return folder


def _write(folder: Path, name: str, media: Any, recipe: Mapping[str, Any] | None = None) -> None:
    files = {media.suffix: media.to_bytes()}
    if recipe is not None:
        files[".json"] = json.dumps(recipe, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
    for suffix, data in files.items():
        path = folder / f"{name}{suffix}"
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise RunError(f"cannot write {path} ({len(data):,} bytes): {error.strerror}.") from error


if __name__ == "__main__":
    exit_on_error(main)
