"""``python -m genai.sample``: samples of a trained model, each with its recipe beside it. ``--help`` says how."""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import genai.inference.provenance as recipes
from genai.cli.compose import CommandConfig, guarded, launch
from genai.cli.options import check, keys, loaded, say_which, set_apart, texts, typed
from genai.core.errors import RunError, UserError

if TYPE_CHECKING:
    from genai.inference.model import Model, Stream

RECIPE_KEYS = ("prompt", "prompts_file", "init", "n", "seed", "batch", "ckpt", "modality", "weights")
"""What ``from=`` says by itself, but for ``ckpt`` and ``sound``."""


def main() -> None:
    """The command."""
    words, options = set_apart("sample", sys.argv[1:])
    launch(lambda composed: sample(composed, options), "sample", words)


def sample(composed: CommandConfig, options: Mapping[str, str]) -> None:
    """Make the samples that the command line asks for. Raises ``UserError``, ``RunError``."""
    values = {**composed.values, "modality": options.get("modality")}
    options = {key: text for key, text in options.items() if key != "modality"}
    made_before = _recipe(values, composed.overrides, options) if values["from"] else None
    if made_before:
        values |= {key: made_before[key] for key in ("weights", "init")}
        for key, origin in {"ckpt": made_before, "sound": made_before.get("sound")}.items():
            values[key] = values[key] or (origin and recipes.checkpoint(origin, Path(values["runs"]), key))
    _check(values)
    model, sound, chosen = _models(values, options, made_before)
    say_which(model)
    if sound:
        say_which(sound, "sound")
    if values["interpolate"]:
        _between(model, values, chosen)
    elif made_before:
        _again(model, sound, values, made_before)
    else:
        _anew(model, sound, values, chosen)


def _models(
    values: Mapping[str, Any], options: Mapping[str, str], made_before: Mapping[str, Any] | None
) -> "tuple[Model, Model | None, dict[str, Any]]":
    """What makes the samples, what makes their sound, and the options of the first. Raises ``UserError``."""
    from genai.inference.soundtrack import model_of

    model = loaded(values)
    if values["animate"] and model.modality.animated is None:
        raise UserError(f"animate=true: {type(model.modality).__name__.lower()} has no pictures of its making to show.")
    if made_before:
        recipes.check_origin(values["from"], made_before, model)
    chosen = made_before["options"] if made_before else typed(model, options, [*keys("sample"), "modality"])
    model.split_options(chosen)
    sound = model_of(values, model, chosen)
    if made_before and sound:
        recipes.check_origin(values["from"], made_before["sound"], sound)
    return model, sound, chosen


def _anew(model: "Model", sound: "Model | None", values: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """``n`` samples of each prompt, batch by batch."""
    from genai.core.batch import batch_ranges
    from genai.inference.model import Stream, items
    from genai.inference.soundtrack import with_sounds

    options = recipes.absolute_files(model, options)
    init = str(Path(values["init"]).expanduser().absolute()) if values["init"] else None
    prompts, seeds = items(_prompts(values, model, options), values["n"], values["seed"])
    used = {"init": init, **{name: options.get(name) for name in recipes.files(model)}}
    _check_apart(used, values["out"], len(prompts))
    first = Stream(model, prompts[:1], seeds[:1], init, options)  # does all of it fit? Before there is a folder
    for remark in model.modality.remarks(prompts, first.init):
        print(remark, file=sys.stderr)
    folder = _folder(values["out"])
    made: list[tuple[str, Any]] = []
    for rows in batch_ranges(len(prompts), values["batch"]):
        batch = [{"prompt": prompts[i], "seed": seeds[i]} for i in rows]
        stream = Stream(model, prompts[rows.start : rows.stop], seeds[rows.start : rows.stop], init, options)
        names = [f"{number:03d}" for number in rows]
        with ExitStack() as opened:
            files = _growing(model, stream, folder, names, opened)
            try:
                media, frames = _follow(stream, None, rows.start, values["animate"], files)
            except KeyboardInterrupt:
                if files:
                    print(f"\n{stream.made:.1f} {stream.unit} are in {folder}/{names[0]}.*", file=sys.stderr)
                raise
        finished = with_sounds(sound, media, seeds[rows.start : rows.stop]) if sound else media
        for item, (name, sample) in enumerate(zip(names, finished, strict=True)):  # each is written as it is done
            _write(folder, name, sample, recipes.write(model, batch, item, options, init, sound))
            if values["animate"]:
                _write(folder, f"{name}-making", model.modality.animated([parts[item] for parts in frames]))
        made += zip(prompts[rows.start : rows.stop], media, strict=True)
    if sheet := model.modality.sheet(made):
        _write(folder, "sheet", sheet)
    _say_where(folder, len(prompts))


def _again(model: "Model", sound: "Model | None", values: Mapping[str, Any], made_before: Mapping[str, Any]) -> None:
    """The one sample of a recipe, under the name that it had."""
    from genai.inference.model import Stream
    from genai.inference.soundtrack import with_sounds

    if unknown := {made_before["options"].get(name) for name in recipes.files(model)} - {None, *made_before["files"]}:
        raise UserError(f"{values['from']} names {unknown.pop()} without its hash.")
    batch, item, name = made_before["batch"], made_before["item"], Path(values["from"]).stem
    prompts, seeds = [part["prompt"] for part in batch], [part["seed"] for part in batch]
    stream = Stream(model, prompts, seeds, made_before["init"], made_before["options"])
    folder = _folder(values["out"])
    media, frames = _follow(stream, item, keep=values["animate"])
    made = next(with_sounds(sound, [media[item]], [seeds[item]])) if sound else media[item]
    _write(folder, name, made, made_before)
    if values["animate"]:
        _write(folder, f"{name}-making", model.modality.animated([parts[item] for parts in frames]))
    _say_where(folder, 1)


def _between(model: "Model", values: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """What lies between two samples."""
    from genai.inference.interpolation import passage

    prompts = _prompts(values, model, options)
    strip, moving = passage(model, prompts, values["n"], values["seed"], values["batch"], options)
    folder = _folder(values["out"])
    _write(folder, "strip", strip)
    _write(folder, "interpolation", moving)
    print(f"from {prompts[0]!r} to {prompts[-1]!r} in {folder}/", file=sys.stderr, flush=True)


def _check(values: Mapping[str, Any]) -> None:
    from genai.core.instantiate import validate_value

    check(values)
    for key in ("animate", "interpolate"):
        validate_value(values[key], bool, key)
    if values["interpolate"] and (clash := next((k for k in ("init", "sound", "from", "animate") if values[k]), None)):
        raise UserError(f"interpolate=true and {clash}=: give one of them.")
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
        given = values["init"] or any(options.get(name) for name in recipes.files(model))
        return [""] if given else model.record.get("prompts") or [""]
    return texts(values["prompt"])


def _recipe(values: Mapping[str, Any], overrides: Sequence[str], options: Mapping[str, str]) -> dict[str, Any]:
    """What the file ``from=`` says. Raises ``UserError`` where it is no such file, or the command line contradicts it."""
    others = [*options, *(word.partition("=")[0] for word in overrides if word.partition("=")[0] in RECIPE_KEYS)]
    if clash := [key for key in others if key != "ckpt"]:
        raise UserError(f"from={values['from']} makes that sample again as it was: leave out {', '.join(clash)}.")
    recipe = recipes.read(Path(values["from"]).expanduser())
    if values["sound"] is not None and not recipe.get("sound"):
        raise UserError(f"from={values['from']} makes that sample again as it was, without a sound: leave out sound.")
    return recipe


def _follow(
    stream: "Stream", item: int | None = None, first: int = 0, keep: bool = False, files: Sequence[Any] = ()
) -> tuple[list[Any], list[list[Any]]]:
    """Drain the stream; the terminal shows one sample as it grows, then the others; so do ``files``, one a sample.

    Returns:
        The samples; and, with ``keep``, all pieces.
    """
    shown = item or 0
    print(_heading(stream, shown, first), file=sys.stderr, flush=True)
    print(stream.given(shown), end="", flush=True)
    pieces = []
    for parts in _watched(stream):
        print(parts[shown].on_terminal, end="", flush=True)
        for file, part in zip(files, parts, strict=False):
            try:
                file.append(part)
            except OSError as error:
                raise RunError(f"cannot write the samples: {error.strerror}.") from error
        if keep:
            pieces.append(parts)
    media = stream.results()
    printed = any(sample.on_terminal for sample in media)
    if printed:
        print(flush=True)
    for index, sample in enumerate(media if item is None and printed else []):
        if index != shown:
            print(_heading(stream, index, first), file=sys.stderr, flush=True)
            print(sample.on_terminal, flush=True)
    return media, pieces


def _watched(stream: "Stream") -> Iterator[list[Any]]:
    """The stream under a bar; where its length is counted in a unit, with a line about its speed behind it."""
    from genai.core.progress import ProgressBar

    if stream.unit is None:
        with ProgressBar("sampling, %", 100) as bar:
            done = 0.0
            for parts in stream:
                if stream.share is not None:
                    bar.step(100 * (stream.share - done))
                    done = stream.share
                yield parts
        return
    began, first, before = time.monotonic(), "", 0.0
    with ProgressBar(stream.unit, stream.total, patience=0) as bar:
        bar.step(0)  # before the first sound a loop may have to be compiled
        for parts in stream:
            first = first or f"the first {stream.made:.1f} after {time.monotonic() - began:.2f} s"
            bar.step(stream.made - before)
            before = stream.made
            yield parts
    took, count = time.monotonic() - began, len(stream.seeds)
    each = " each" if count > 1 else ""
    speed = f"{count * before / took:.1f} times as fast as it sounds"
    print(f"{before:.1f} {stream.unit}{each} in {took:.1f} s, {first}; {speed}", file=sys.stderr, flush=True)


def _growing(model: "Model", stream: "Stream", folder: Path, names: Sequence[str], opened: ExitStack) -> list[Any]:
    """Files that grow with the samples, where their media can; at the end the whole ones take their places.

    The recipes of what they replace go: until the end they would speak of another sample.
    """
    files = []
    for name, decoder in zip(names, stream.decoders, strict=True):
        path = folder / f"{name}{decoder.given.suffix}"
        try:
            file = model.modality.growing(path, decoder.given)
            if file is not None:
                files.append(opened.enter_context(file))
                path.with_suffix(".json").unlink(missing_ok=True)
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror}.") from error
    return files


def _check_apart(used: Mapping[str, str | None], out: str | None, count: int) -> None:
    """Raises ``UserError`` where what is ``used``, by its key, is a folder, or a file that samples would replace."""
    for key, name in used.items():
        if name is not None and Path(name).is_dir():
            raise UserError(f"{key}={name} is a folder: name a file.")
        if name is None or out is None:
            continue
        path = Path(name).resolve()
        if path.parent == Path(out).expanduser().resolve() and path.stem.isdigit() and int(path.stem) < count:
            raise UserError(f"{key}={name} would be replaced by the samples: give another folder than out={out}.")


def _heading(stream: "Stream", item: int, first: int) -> str:
    return f"--- {first + item:03d}  seed {stream.seeds[item]}  prompt {stream.prompts[item]!r}"


def _say_where(folder: Path, count: int) -> None:
    print(f"{count} sample{'s' * (count > 1)} in {folder}/", file=sys.stderr, flush=True)


def _folder(wanted: str | None) -> Path:
    now = datetime.now()
    folder = start = Path(wanted).expanduser() if wanted else Path("samples") / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}"
    if wanted and any(folder.glob("[0-9][0-9][0-9]*.json")):
        print(f"{folder}/ has samples already: those of the same number are replaced, others stay", file=sys.stderr)
    number = 1
    while not wanted and folder.exists():  # another one of this second
        number += 1
        folder = start.with_name(f"{start.name}-{number}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder out={folder}: {error.strerror}.") from error
    return folder


def _write(folder: Path, name: str, media: Any, made_by: Mapping[str, Any] | None = None) -> None:
    files = {media.suffix: media.to_bytes()}
    if made_by is not None:
        files[".json"] = json.dumps(made_by, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
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
    guarded(main)
