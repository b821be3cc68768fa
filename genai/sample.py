"""``python -m genai.sample``: samples of a trained model, each with its recipe beside it. ``--help`` says how."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genai.config import Composed, guarded, launch
from genai.errors import Failure, Mistake
from genai.options import check, set_apart, texts, typed

if TYPE_CHECKING:
    from genai.model import Model, Stream

RECIPE_KEYS = ("prompt", "prompts_file", "init", "n", "seed", "batch", "ckpt", "modality", "weights")


def main() -> None:
    """The command."""
    words, options = set_apart("sample", sys.argv[1:])
    launch(lambda composed: sample(composed, options), "sample", words)


def sample(composed: Composed, options: Mapping[str, str]) -> None:
    """Make the samples that the command line asks for. Raises ``Mistake``, ``Failure``."""
    values = {**composed.values, "modality": options.get("modality")}
    options = {key: text for key, text in options.items() if key != "modality"}
    recipe = _recipe(values, composed.overrides, options) if values["from"] else None
    if recipe:
        values |= {"ckpt": values["ckpt"] or recipe["checkpoint"], "weights": recipe["weights"]}
    check(values)
    if values["prompt"] is not None and values["prompts_file"] is not None:
        raise Mistake("prompt= and prompts_file=: give one of them.")
    from genai.batch import batched
    from genai.model import Stream, items, load

    model = load(
        values["ckpt"],
        modality=values["modality"],
        weights=values["weights"],
        device=values["device"],
        runs_folder=values["runs"],
        plugins=values["plugins"],
    )
    if recipe and recipe["checkpoint_sha256"] != model.digest:
        raise Mistake(f"{values['from']} was made with another checkpoint: {model.file} has changed since. Give ckpt=.")
    chosen = recipe["options"] if recipe else typed(model, options, RECIPE_KEYS)
    model.split_options(chosen)
    _say_which(model)
    if recipe:
        batch = recipe["batch"]
        stream = Stream(model, [i["prompt"] for i in batch], [i["seed"] for i in batch], recipe["init"], chosen)
        folder = _folder(values["out"])
        media = _follow(stream, recipe["item"])
        _write(folder, "000", media[recipe["item"]], recipe)
        _say_where(folder, 1)
        return
    prompts, seeds = items(_prompts(values, model), values["n"], values["seed"])
    Stream(model, prompts[:1], seeds[:1], values["init"], chosen)  # is init= fine? Before there is a folder
    folder = _folder(values["out"])
    made: list[tuple[str, Any]] = []
    for rows in batched(len(prompts), values["batch"]):
        batch = [{"prompt": prompts[i], "seed": seeds[i]} for i in rows]
        stream = Stream(model, [prompts[i] for i in rows], [seeds[i] for i in rows], values["init"], chosen)
        for item, media in enumerate(_follow(stream, None, rows.start)):
            _write(folder, f"{rows.start + item:03d}", media, recipe_of(model, values, chosen, batch, item))
            made.append((prompts[rows.start + item], media))
    if sheet := model.modality.sheet(made):
        _write(folder, "sheet", sheet)
    _say_where(folder, len(prompts))


def recipe_of(
    model: "Model", values: Mapping[str, Any], options: Mapping[str, Any], batch: list[dict[str, Any]], item: int
) -> dict[str, Any]:
    """All that makes a sample again. ``batch`` is part of it: floating point differs with what is computed together."""
    import genai

    return {
        **batch[item],
        "options": dict(options),
        "init": values["init"],
        "checkpoint": str(model.file.absolute()) if model.file else None,
        "checkpoint_sha256": model.digest,
        "weights": values["weights"],
        "step": model.step,
        "version": genai.__version__,
        "item": item,
        "batch": batch,
    }


def _prompts(values: Mapping[str, Any], model: "Model") -> list[str]:
    if values["prompts_file"] is not None:
        file = Path(values["prompts_file"]).expanduser()
        try:
            lines = file.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise Mistake(
                f"cannot read prompts_file={file}: {getattr(error, 'strerror', None) or 'it is not UTF-8'}."
            ) from error
        prompts = [line.rstrip("\r") for line in lines]
        prompts = prompts[:-1] if prompts[-1] == "" else prompts
        if not prompts:
            raise Mistake(f"prompts_file={file} is empty.")
        return prompts
    if values["prompt"] is None:
        return model.record.get("prompts") or [""]
    return texts(values["prompt"])


def _recipe(values: Mapping[str, Any], overrides: Sequence[str], options: Mapping[str, str]) -> dict[str, Any]:
    """What ``X/000.json`` says. Raises ``Mistake`` where it is no such file, or the command line contradicts it."""
    others = [*options, *(word.partition("=")[0] for word in overrides if word.partition("=")[0] in RECIPE_KEYS)]
    if clash := [key for key in others if key != "ckpt"]:
        raise Mistake(f"from={values['from']} makes that sample again as it was: leave out {', '.join(clash)}.")
    path = Path(values["from"]).expanduser()
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))
        wrong = [key for key, kind in _RECIPE.items() if not isinstance(recipe[key], kind)]
        for part in recipe["batch"]:
            fits = isinstance(part["prompt"], str) and type(part["seed"]) is int and 0 <= part["seed"] < 2**62
            wrong += [] if fits else ["batch"]
        if wrong or not 0 <= recipe["item"] < len(recipe["batch"]):
            raise ValueError(wrong)
    except OSError as error:
        raise Mistake(f"cannot read from={path}: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise Mistake(f"from={path} is not the recipe of a sample.") from error
    return dict(recipe)


_RECIPE: dict[str, Any] = {
    "options": dict,
    "checkpoint": str,
    "checkpoint_sha256": str,
    "weights": str,
    "batch": list,
    "item": int,
    "init": str | None,
}


def _follow(stream: "Stream", item: int | None = None, first: int = 0) -> list[Any]:
    """Drain the stream; the terminal shows one sample as it grows, then the others."""
    shown = item or 0
    print(_heading(stream, shown, first), file=sys.stderr, flush=True)
    print(stream.given(shown), end="", flush=True)
    for parts in stream:
        print(parts[shown].on_terminal, end="", flush=True)
    media = stream.results()
    printed = any(sample.on_terminal for sample in media)
    if printed:
        print(flush=True)
    for index, sample in enumerate(media if item is None and printed else []):
        if index != shown:
            print(_heading(stream, index, first), file=sys.stderr, flush=True)
            print(sample.on_terminal, flush=True)
    return media


def _heading(stream: "Stream", item: int, first: int) -> str:
    return f"--- {first + item:03d}  seed {stream.seeds[item]}  prompt {stream.prompts[item]!r}"


def _say_which(model: "Model") -> None:
    for note in model.notes:
        print(f"{note} Using {model.file} instead.", file=sys.stderr)
    print(f"model {model.file}, step {model.step}", file=sys.stderr, flush=True)


def _say_where(folder: Path, count: int) -> None:
    print(f"{count} sample{'s' * (count > 1)} in {folder}/", file=sys.stderr, flush=True)


def _folder(wanted: str | None) -> Path:
    now = datetime.now()
    folder = start = Path(wanted).expanduser() if wanted else Path("samples") / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S}"
    number = 1
    while not wanted and folder.exists():  # another one of this second
        number += 1
        folder = start.with_name(f"{start.name}-{number}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Mistake(f"cannot make the folder out={folder}: {error.strerror}.") from error
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
            raise Failure(f"cannot write {path} ({len(data):,} bytes): {error.strerror}.") from error


if __name__ == "__main__":
    guarded(main)
