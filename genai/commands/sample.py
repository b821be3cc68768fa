"""``python -m genai.sample``: generate samples with a trained model, each with a recipe. See ``--help``."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import genai.inference.provenance as recipes
from genai.cli.compose import CommandConfig, launch
from genai.cli.exit_codes import exit_on_error
from genai.cli.launched import process_group
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
from genai.commands.sample_stream import open_stream_writers, show_stream
from genai.core.errors import UserError
from genai.core.files import make_folder, read_text
from genai.core.filesystem import safe_name
from genai.core.limits import check_samples
from genai.core.place import Place, find_place
from genai.core.renamed import current_options
from genai.core.terminal import one_line
from genai.inference.labels import Labeler, create_labeler
from genai.inference.sample_files import new_sample_folder, write_sample
from genai.trust.label import MANIFEST_SUFFIX, media_hash

if TYPE_CHECKING:
    from genai.inference.model import Model

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

MIN_ENERGY_SAMPLES = 100
"""Samples from which a line says what energy 1,000 need: fewer are mostly start."""


def main() -> None:
    """Run the command."""
    overrides, options = split_options("sample", sys.argv[1:])

    def run() -> None:
        with process_group():
            launch(lambda config: sample(config, options), "sample", overrides)

    exit_on_error(run)


def sample(config: CommandConfig, options: Mapping[str, str]) -> None:
    """Generate the samples that the command line requests. Raises ``UserError``, ``RunError``."""
    from genai.core.process_group import only_first_prints, run_local_main_first

    place = find_place()
    model, settings, parsed, recipe = run_local_main_first(place, lambda: _prepare(config, options))
    if not place.is_first and (recipe or settings.interpolate):
        return  # one process is enough
    with only_first_prints(place):
        report_checkpoints(model)
        print_description(model)
        labeler = run_local_main_first(place, lambda: create_labeler(settings)).of(model)
    if recipe and recipe.interpolation:
        _write_interpolation(model, settings.out, recipe.batch, recipe.interpolation, recipe.options, labeler, True)
    elif recipe:
        _repeat_sample(model, settings, recipe, labeler)
    elif settings.interpolate:
        from genai.inference.interpolation import interpolation_ends

        ends = interpolation_ends(_prompts(settings, model, parsed), settings.n, settings.seed)
        _write_interpolation(model, settings.out, ends, settings.batch, parsed, labeler)
    else:
        request = run_local_main_first(place, lambda: _prepare_request(model, settings, parsed))
        _write_samples(model, settings, request, labeler, place)


def _prepare(
    config: CommandConfig, options: Mapping[str, str]
) -> "tuple[Model, SampleSettings, dict[str, Any], recipes.SampleRecipe | None]":
    """Return the model, the settings, the model's options, and the recipe to repeat. Raises ``UserError``."""
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
    return model, settings, parsed, recipe


@dataclass(frozen=True)
class _Request:
    """Samples to make: prompts and seeds, one each, what they start from, options, and notes for people."""

    prompts: list[str]
    seeds: list[int]
    init: str | None
    options: Mapping[str, Any]
    notes: list[str]

    def batch(self, rows: range) -> list[recipes.RecipeItem]:
        """Return the prompts and seeds of a batch."""
        return [recipes.RecipeItem(self.prompts[row], self.seeds[row]) for row in rows]


def _prepare_request(model: "Model", settings: SampleSettings, options: Mapping[str, Any]) -> _Request:
    """Return ``n`` samples of each prompt to make. Raises ``UserError`` before there is a folder."""
    from genai.inference.known_prompts import prompt_notes
    from genai.inference.model import expand_prompts
    from genai.inference.upscaled import upscale_notes
    from genai.modalities.optional import request_notes

    options = recipes.with_absolute_files(model, options)
    init = str(Path(settings.init).expanduser().absolute()) if settings.init else None
    prompts = _chat_prompts(settings, model, options, _prompts(settings, model, options))
    check_samples(settings.n * len(prompts), f"n={settings.n:,}", settings.yes)
    prompts, seeds = expand_prompts(prompts, settings.n, settings.seed)
    input_files = {"init": init, **{name: options.get(name) for name in recipes.file_options(model)}}
    _check_input_files(input_files, settings.out, len(prompts))
    first = model.open_stream(prompts[:1], seeds[:1], init, options)
    first.check_options(options)
    modality_options, _ = model.build_options(options)
    notes = request_notes(model.modality, prompts, first.init, modality_options)
    if all(each is None for each in (settings.prompt, settings.prompts_file, settings.messages)) and any(prompts):
        notes.insert(0, "the prompts are those of the run's previews; prompt= gives your own")
    return _Request(prompts, seeds, init, options, [*prompt_notes(model, prompts), *notes, *upscale_notes(model)])


def _write_samples(model: "Model", settings: SampleSettings, request: _Request, labeler: Labeler, place: Place) -> None:
    """Generate and write samples batch by batch; the processes of a launcher make batches in turn."""
    from genai.core.batch import batch_ranges
    from genai.core.energy import EnergyMeter, energy_of
    from genai.core.process_group import gather_shares, only_first_prints, run_on_main, share_of
    from genai.modalities.optional import sample_notes

    with only_first_prints(place):
        for note in request.notes:
            print(one_line(note), file=sys.stderr)
        folder = run_on_main(place, lambda: _create_folder(settings.out))
        count, preview = len(request.prompts), model.modality.preview()
        ranges = share_of(place, [*batch_ranges(count, settings.batch)])
        has_side_files = settings.animate or bool(request.options.get("logprobs"))
        is_new = settings.out is None or not place.is_launched or has_side_files
        meter = EnergyMeter(str(model.method.device))
        batches = gather_shares(
            place,
            [
                (None if is_new else _read_batch(model, request, labeler, rows, folder))
                or _write_batch(model, settings, request, labeler, rows, folder)
                for rows in ranges
            ],
        )
        joules = sum(gather_shares(place, [meter.joules()]))
    if not place.is_first:
        return
    samples = [pair for batch in batches for pair in batch]
    if contact_sheet := preview.contact_sheet(samples):
        write_sample(folder, "sheet", contact_sheet, labeler=labeler)
    _report_folder(folder, count)
    if count >= MIN_ENERGY_SAMPLES and is_new:
        print(f"energy of 1,000 samples: {energy_of(joules * 1000 / count, meter.how)}", file=sys.stderr, flush=True)
    if request.options.get("watermark"):
        _print_watermark_note(model, [sample for _, sample in samples])
    for note in sample_notes(model.modality, [sample for _, sample in samples]):
        print(note, file=sys.stderr, flush=True)


def _print_watermark_note(model: "Model", samples: Sequence[Any]) -> None:
    from genai.modalities.optional import watermark_tokenizer
    from genai.trust.watermarks.key import read_key
    from genai.trust.watermarks.samples import watermark_note

    print(watermark_note(samples, read_key(), watermark_tokenizer(model.modality)), file=sys.stderr, flush=True)


def _read_batch(
    model: "Model", request: _Request, labeler: Labeler, rows: range, folder: Path
) -> list[tuple[str, Any]] | None:
    """Return what ``_write_batch`` has written in an earlier start with the same recipes; ``None``: not all of it."""
    from genai.inference.provenance import read_recipe

    batch = request.batch(rows)
    samples: list[tuple[str, Any]] = []
    for item, number in enumerate(rows):
        try:
            recipe = read_recipe(folder / f"{number:03d}.json", folder)
            files = [path for path in folder.glob(f"{number:03d}.*") if path.suffix not in (".json", MANIFEST_SUFFIX)]
            expected = recipes.make_recipe(model, batch, item, request.options, request.init)
            is_same = replace(recipe, media_sha256="", label="") == expected and recipe.label == labeler.kind
            if not is_same or len(files) != 1:
                return None
            samples.append((batch[item].prompt, model.modality.media.read(files[0])))
        except UserError:
            return None
    return samples


def _write_batch(
    model: "Model", settings: SampleSettings, request: _Request, labeler: Labeler, rows: range, folder: Path
) -> list[tuple[str, Any]]:
    """Generate and write the samples of ``rows``; return their prompts, and them."""
    batch = request.batch(rows)
    prompts, seeds = [each.prompt for each in batch], [each.seed for each in batch]
    stream = model.open_stream(prompts, seeds, request.init, request.options)
    names = [f"{number:03d}" for number in rows]
    with ExitStack() as stack:
        writers = open_stream_writers(model, stream, folder, names, stack, labeler.wav_info())
        try:
            steps = show_stream(stream, None, rows.start, settings.animate, writers)
        except KeyboardInterrupt:
            if writers:
                where = one_line(f"{folder}/{names[0]}.*")
                print(f"\n{stream.length:.1f} {stream.unit} are in {where}", file=sys.stderr)
            raise
    samples: list[tuple[str, Any]] = []
    for item, sample in enumerate(stream.iter_results()):  # write each as soon as it is done
        name = names[item]
        (folder / f"{name}.json").unlink(missing_ok=True)  # it may describe another sample
        recipe = recipes.make_recipe(model, batch, item, request.options, request.init)
        write_sample(folder, name, sample, recipe, labeler)
        if settings.animate:
            animation = model.modality.preview().animation_class([step[item] for step in steps])
            write_sample(folder, f"{name}-making", animation, labeler=labeler)
        samples.append((batch[item].prompt, sample))
    return samples


def _repeat_sample(model: "Model", settings: SampleSettings, recipe: recipes.SampleRecipe, labeler: Labeler) -> None:
    """Generate the sample of a recipe again, under the same file name."""
    paths = {recipe.options.get(name) for name in recipes.file_options(model)} - {None}
    if unverified := paths - {*recipe.files}:
        raise UserError(f"{settings.recipe_file} names {unverified.pop()} without its hash.")
    item, name = recipe.item, safe_name(Path(str(settings.recipe_file)).stem)
    prompts, seeds = [each.prompt for each in recipe.batch], [each.seed for each in recipe.batch]
    stream = model.open_stream(prompts, seeds, recipe.init, recipe.options)
    folder = _create_folder(settings.out)
    steps = show_stream(stream, item, keep_steps=settings.animate)
    sample = next(stream.iter_results([item]))
    write_sample(folder, name, sample, recipe, labeler)
    if settings.animate:
        animation = model.modality.preview().animation_class([step[item] for step in steps])
        write_sample(folder, f"{name}-making", animation, labeler=labeler)
    if recipe.media_sha256 not in ("", media_hash(sample.to_bytes())):
        print("the sample differs from that of the recipe: its software or its machine was another", file=sys.stderr)
    _report_folder(folder, 1)


def _write_interpolation(
    model: "Model",
    out: str | None,
    ends: Sequence[recipes.RecipeItem],
    batch: int,
    options: Mapping[str, Any],
    labeler: Labeler,
    from_recipe: bool = False,
) -> None:
    """Write the interpolation between two samples as a strip, with a recipe, and an animation."""
    from genai.inference.interpolation import interpolate

    strip, animation = interpolate(model, ends, batch, options, from_recipe)
    folder = _create_folder(out)
    write_sample(folder, "strip", strip, recipes.make_recipe(model, ends, 0, options, None, batch), labeler)
    write_sample(folder, "interpolation", animation, labeler=labeler)
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
    for key in ("soundtrack", "then", "vocoder"):
        if getattr(settings, key) is not None and key not in recipe.origins:
            raise UserError(f"from={settings.recipe_file} repeats a sample that was made without {key}=: leave it out.")
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
