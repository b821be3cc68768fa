"""``python -m genai.sample``: generate samples with a trained model, each with a recipe. See ``--help``."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import genai.inference.provenance as recipes
from genai.cli.compose import CommandConfig, launch
from genai.cli.exit_codes import exit_on_error
from genai.cli.options import (
    command_keys,
    load_model,
    parse_options,
    parse_prompts,
    print_description,
    report_checkpoints,
    split_options,
)
from genai.cli.settings import SampleSettings, parse_settings
from genai.core.errors import RunError, UserError
from genai.core.files import make_folder, read_text
from genai.core.filesystem import safe_name
from genai.core.limits import check_samples
from genai.core.renamed import current_options
from genai.core.terminal import one_line
from genai.inference.sample_files import new_sample_folder, write_sample

if TYPE_CHECKING:
    from genai.inference.model import Model, Stream

RECIPE_KEYS = (
    "prompt",
    "prompts_file",
    "messages",
    "system",
    "init",
    "n",
    "seed",
    "batch",
    "ckpt",
    "modality",
    "weights",
    "adapter",
    "dtype",
    "quantize",
)
"""Keys that a recipe sets, so that ``from=`` excludes them, except ``ckpt``."""


def main() -> None:
    """Run the command."""
    overrides, options = split_options("sample", sys.argv[1:])
    launch(lambda config: sample(config, options), "sample", overrides)


def sample(config: CommandConfig, options: Mapping[str, str]) -> None:
    """Generate the samples that the command line requests. Raises ``UserError``, ``RunError``."""
    settings = parse_settings(SampleSettings, config, modality=options.get("modality"))
    options = {key: text for key, text in options.items() if key != "modality"}
    recipe = _read_recipe(settings, config.overrides, options) if settings.recipe_file else None
    if recipe:
        settings = _with_recipe(settings, recipe)
    model = load_model(settings)
    if settings.animate and model.modality.preview().animation_class is None:
        raise UserError(f"animate=true is not supported for {type(model.modality).__name__.lower()}.")
    if settings.animate and not model.method.is_iterative:
        raise UserError("animate=true shows the steps of sampling, but this model has one step only. Leave it out.")
    if recipe:
        recipes.check_origins(str(settings.recipe_file), recipe, model)
        recipe = replace(recipe, options=current_options(recipe.options, set().union(*model.option_names)))
    parsed = recipe.options if recipe else parse_options(model, options, [*command_keys("sample"), "modality"])
    model.build_options(parsed)
    report_checkpoints(model)
    print_description(model)
    if recipe and recipe.interpolation:
        _write_interpolation(model, settings.out, recipe.batch, recipe.interpolation, recipe.options, True)
    elif recipe:
        _repeat_sample(model, settings, recipe)
    elif settings.interpolate:
        from genai.inference.interpolation import interpolation_ends

        ends = interpolation_ends(_prompts(settings, model, parsed), settings.n, settings.seed)
        _write_interpolation(model, settings.out, ends, settings.batch, parsed)
    else:
        _write_samples(model, settings, parsed)


def _write_samples(model: "Model", settings: SampleSettings, options: Mapping[str, Any]) -> None:
    """Generate and write ``n`` samples of each prompt, batch by batch."""
    from genai.core.batch import batch_ranges
    from genai.inference.known_prompts import prompt_notes
    from genai.inference.model import expand_prompts
    from genai.modalities.optional import request_notes, sample_notes

    options = recipes.with_absolute_files(model, options)
    init = str(Path(settings.init).expanduser().absolute()) if settings.init else None
    prompts = _chat_prompts(settings, model, options, _prompts(settings, model, options))
    check_samples(settings.n * len(prompts), f"n={settings.n:,}", settings.yes)
    prompts, seeds = expand_prompts(prompts, settings.n, settings.seed)
    input_files = {"init": init, **{name: options.get(name) for name in recipes.file_options(model)}}
    _check_input_files(input_files, settings.out, len(prompts))
    first = model.open_stream(prompts[:1], seeds[:1], init, options)  # check everything before the folder is created
    first.check_options(options)
    modality_options, _ = model.build_options(options)
    notes = request_notes(model.modality, prompts, first.init, modality_options)
    if all(each is None for each in (settings.prompt, settings.prompts_file, settings.messages)) and any(prompts):
        notes.insert(0, "the prompts are those of the run's previews; prompt= gives your own")
    for note in [*prompt_notes(model, prompts), *notes]:
        print(one_line(note), file=sys.stderr)
    folder = _create_folder(settings.out)
    samples, preview = list[tuple[str, Any]](), model.modality.preview()
    for rows in batch_ranges(len(prompts), settings.batch):
        batch = [recipes.RecipeItem(prompts[i], seeds[i]) for i in rows]
        stream = model.open_stream(prompts[rows.start : rows.stop], seeds[rows.start : rows.stop], init, options)
        names = [f"{number:03d}" for number in rows]
        with ExitStack() as stack:
            writers = _open_stream_writers(model, stream, folder, names, stack)
            try:
                steps = _show_stream(stream, None, rows.start, settings.animate, writers)
            except KeyboardInterrupt:
                if writers:
                    where = one_line(f"{folder}/{names[0]}.*")
                    print(f"\n{stream.length:.1f} {stream.unit} are in {where}", file=sys.stderr)
                raise
        for item, sample in enumerate(stream.iter_results()):  # write each as soon as it is done
            name = names[item]
            write_sample(folder, name, sample, recipes.make_recipe(model, batch, item, options, init))
            if settings.animate:
                write_sample(folder, f"{name}-making", preview.animation_class([step[item] for step in steps]))
            samples.append((batch[item].prompt, sample))
    if contact_sheet := preview.contact_sheet(samples):
        write_sample(folder, "sheet", contact_sheet)
    _report_folder(folder, len(prompts))
    for note in sample_notes(model.modality, [sample for _, sample in samples]):
        print(note, file=sys.stderr, flush=True)


def _repeat_sample(model: "Model", settings: SampleSettings, recipe: recipes.SampleRecipe) -> None:
    """Generate the sample of a recipe again, under the same file name."""
    paths = {recipe.options.get(name) for name in recipes.file_options(model)} - {None}
    if unverified := paths - {*recipe.files}:
        raise UserError(f"{settings.recipe_file} names {unverified.pop()} without its hash.")
    item, name = recipe.item, safe_name(Path(str(settings.recipe_file)).stem)
    prompts, seeds = [each.prompt for each in recipe.batch], [each.seed for each in recipe.batch]
    stream = model.open_stream(prompts, seeds, recipe.init, recipe.options)
    folder = _create_folder(settings.out)
    steps = _show_stream(stream, item, keep_steps=settings.animate)
    write_sample(folder, name, next(stream.iter_results([item])), recipe)
    if settings.animate:
        write_sample(folder, f"{name}-making", model.modality.preview().animation_class([step[item] for step in steps]))
    _report_folder(folder, 1)


def _write_interpolation(
    model: "Model",
    out: str | None,
    ends: Sequence[recipes.RecipeItem],
    batch: int,
    options: Mapping[str, Any],
    from_recipe: bool = False,
) -> None:
    """Write the interpolation between two samples as a strip, with a recipe, and an animation."""
    from genai.inference.interpolation import interpolate

    strip, animation = interpolate(model, ends, batch, options, from_recipe)
    folder = _create_folder(out)
    write_sample(folder, "strip", strip, recipes.make_recipe(model, ends, 0, options, None, batch))
    write_sample(folder, "interpolation", animation)
    print(one_line(f"from {ends[0].prompt!r} to {ends[1].prompt!r} in {folder}/"), file=sys.stderr, flush=True)


def _prompts(settings: SampleSettings, model: "Model", options: Mapping[str, Any]) -> list[str]:
    if settings.prompts_file is not None:
        file = Path(settings.prompts_file).expanduser()
        try:
            lines = read_text(file, "prompts").split("\n")
        except UserError as error:
            raise UserError(f"prompts_file=: {error}") from error
        prompts = [line.rstrip("\r") for line in lines]
        prompts = prompts[:-1] if prompts[-1] == "" else prompts
        if not prompts:
            raise UserError(f"prompts_file={file} is empty.")
        return prompts
    if settings.prompt is None:
        has_input = settings.init or any(options.get(name) for name in recipes.file_options(model))
        return [""] if has_input else model.record.get("prompts") or [""]
    return parse_prompts(settings.prompt)


def _chat_prompts(
    settings: SampleSettings, model: "Model", options: Mapping[str, Any], prompts: list[str]
) -> list[str]:
    """Return the prompts of answers if ``messages=`` or ``system=`` is given, else ``prompts``. Raise ``UserError``."""
    from genai.inference.conversation import Conversation, read_messages

    if settings.messages is None and settings.system is None:
        return prompts
    system = [{"role": "system", "content": settings.system}] if settings.system else []
    questions: list[Any] = [[{"role": "user", "content": prompt}] for prompt in prompts]
    if settings.messages is not None:
        questions = [read_messages(Path(settings.messages).expanduser())]
    conversations = [Conversation.from_messages(model, [*system, *messages]) for messages in questions]
    return [conversation.prompt(options.get("length")) for conversation in conversations]


def _read_recipe(
    settings: SampleSettings, overrides: Sequence[str], options: Mapping[str, str]
) -> recipes.SampleRecipe:
    """Read the recipe ``from=``. Raises ``UserError`` if it is not one, or if other options contradict it."""
    keys = [*options, *(word.partition("=")[0] for word in overrides if word.partition("=")[0] in RECIPE_KEYS)]
    if conflicts := [key for key in keys if key != "ckpt"]:
        raise UserError(f"from={settings.recipe_file} repeats a sample exactly: leave out {', '.join(conflicts)}.")
    recipe = recipes.read_verified_recipe(Path(str(settings.recipe_file)).expanduser())
    check_samples(len(recipe.batch), f"the batch of from={settings.recipe_file}", settings.yes)
    if settings.soundtrack is not None and "soundtrack" not in recipe.origins:
        raise UserError(f"from={settings.recipe_file} repeats a sample that has no soundtrack: leave out soundtrack.")
    return recipe


def _with_recipe(settings: SampleSettings, recipe: recipes.SampleRecipe) -> SampleSettings:
    """Return the settings with what the recipe sets; checkpoints may be named instead. Raises ``UserError``."""
    checkpoints: dict[str, Any] = {
        key: getattr(settings, key) or str(recipes.find_checkpoint(origin, Path(settings.runs), key))
        for key, origin in recipe.origins.items()
    }
    weights: Any = recipe.weights
    adapter = recipes.find_adapters(recipe, Path(settings.runs))
    formats: dict[str, Any] = {"dtype": recipe.dtype, "quantize": recipe.quantize}
    return replace(settings, weights=weights, init=recipe.init, adapter=adapter, **formats, **checkpoints)


def _show_stream(
    stream: "Stream", item: int | None = None, offset: int = 0, keep_steps: bool = False, writers: Sequence[Any] = ()
) -> list[list[Any]]:
    """Run the stream; print one sample as it is generated, then the others.

    Args:
        item: the only sample to print; ``None``: all.
        offset: number of the first sample of the stream.
        keep_steps: return the intermediate results.
        writers: one per sample; they receive each part as it is generated.

    Returns:
        The intermediate results of each step if ``keep_steps``.
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
    texts = stream.texts()
    if any(texts):
        print(flush=True)
    for index, text in enumerate(texts if item is None and any(texts) else []):
        if index != streamed_item:
            print(_heading(stream, index, offset), file=sys.stderr, flush=True)
            print(text, flush=True)
    return steps


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
        bar.step(0)  # a loop may have to be compiled before the first sample
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
    print(one_line(f"{count} sample{'s' * (count > 1)} in {folder}/"), file=sys.stderr, flush=True)


def _create_folder(out: str | None) -> Path:
    """Create the folder ``out`` or, for ``None``, a new ``samples/<date>/<time>``. Raises ``UserError``."""
    folder = Path(out).expanduser() if out else Path("samples")
    if out and any(folder.glob("[0-9][0-9][0-9]*.json")):
        print(one_line(f"{folder}/ has samples already: those with the same numbers are replaced"), file=sys.stderr)
    try:
        return make_folder(folder) if out else new_sample_folder(folder)
    except OSError as error:
        raise UserError(f"cannot create the folder out={folder}: {error.strerror}.") from error


if __name__ == "__main__":
    exit_on_error(main)
