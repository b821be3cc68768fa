"""What makes a sample again: the ``X/000.json`` beside each sample.

It holds every option, those that were left at their defaults too, and the hash of each file that was used, so that it
says when something is not what it was.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from genai.core.errors import UserError

if TYPE_CHECKING:
    from genai.inference.model import Model

_KINDS: dict[str, Any] = {
    "options": dict,
    "checkpoint": str,
    "checkpoint_sha256": str,
    "weights": str,
    "batch": list,
    "item": int,
    "init": str | None,
    "files": dict,
}


def write(
    model: "Model",
    batch: Sequence[Mapping[str, Any]],
    item: int,
    options: Mapping[str, Any],
    init: str | None,
    sound: "Model | None" = None,
) -> dict[str, Any]:
    """The recipe of sample ``item`` of ``batch``, ``{"prompt": ..., "seed": ...}`` each; ``sound`` made its sound.

    The whole batch is part of it: floating point differs with what is computed together.
    """
    import genai
    from genai.runs.checkpoint import file_hash

    chosen = {name: value for part in model.split_options(options) for name, value in asdict(part).items()}
    chosen = {name: list(value) if isinstance(value, tuple) else value for name, value in chosen.items()}
    used = [path for path in (init, *(chosen[name] for name in files(model))) if path is not None]
    return {
        **batch[item],
        "options": chosen,
        "init": init,
        "files": {path: file_hash(Path(path)) for path in used},
        **origin(model),
        "weights": model.weights,
        "sound": sound and origin(sound),
        "version": genai.__version__,
        "item": item,
        "batch": list(batch),
    }


def origin(model: "Model") -> dict[str, Any]:
    """Where a model comes from."""
    file = str(model.file.absolute()) if model.file else ""
    return {"checkpoint": file, "checkpoint_sha256": model.digest, "step": model.step}


def check_origin(path: str, origin: Mapping[str, Any], model: "Model") -> None:
    """Raises ``UserError`` where ``model`` is not of the ``origin`` that the recipe in ``path`` names."""
    if origin["checkpoint_sha256"] != model.digest:
        raise UserError(f"{path} was made with another checkpoint than {model.file}, or it has changed since.")


def parse(path: Path) -> dict[str, Any]:
    """The recipe in a file. Raises ``UserError`` where it is none."""
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))
        fits = all(isinstance(recipe[key], kind) for key, kind in _KINDS.items())
        if not fits or not all(map(_is_item, recipe["batch"])) or not 0 <= recipe["item"] < len(recipe["batch"]):
            raise ValueError
        if recipe["init"] is not None and recipe["init"] not in recipe["files"]:
            raise ValueError
        sound = recipe.get("sound")
        if sound and not all(isinstance(sound[key], str) for key in ("checkpoint", "checkpoint_sha256")):
            raise ValueError
        return dict(recipe)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is not the recipe of a sample.") from error


def read(path: Path) -> dict[str, Any]:
    """``parse`` for making it again. Raises ``UserError``, also where a file that it needs is not what it was."""
    from genai.runs.checkpoint import file_hash

    recipe = parse(path)
    for name, digest in recipe["files"].items():
        if not Path(name).is_file() or file_hash(Path(name)) != digest:
            raise UserError(f"from={path}: {name} is not there, or not what it was.")
    return recipe


def checkpoint(recipe: Mapping[str, Any], root: Path, key: str = "ckpt") -> Path:
    """The checkpoint of an ``origin``: where it was, or, if runs have moved, the one below ``root`` with that hash.

    ``key`` is what else can say where it is.

    Raises:
        UserError: there is none.
    """
    wanted, digest = Path(recipe["checkpoint"]), recipe["checkpoint_sha256"]
    beside = sorted(root.expanduser().glob("**/checkpoints/*.ckpt.sha256"))
    there = [wanted.with_name(f"{wanted.name}.sha256")] if wanted.name else []
    for hashes in (*there, *beside):
        if hashes.is_file() and hashes.read_text(errors="replace").split()[:1] == [digest]:
            return hashes.with_suffix("")
    raise UserError(
        f"the checkpoint of this sample ({wanted}, sha256 {digest[:12]}...) is not there, or has changed since, and no "
        f"other in {root}/ is it. Say where it is: runs= or {key}="
    )


def absolute_files(model: "Model", options: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` with the files among them as absolute paths."""
    names = [name for name in files(model) if options.get(name) is not None]
    return {**options, **{name: str(Path(options[name]).expanduser().absolute()) for name in names}}


def files(model: "Model") -> list[str]:
    """The options that name a file: those of type ``FileName``."""
    from genai.media.base import FileName

    options = (model.modality.Options, model.method.Options)
    hints = {name: hint for each in options for name, hint in get_type_hints(each, include_extras=True).items()}
    return [name for name, hint in hints.items() if FileName in (hint, *get_args(hint))]


def _is_item(part: Any) -> bool:
    return isinstance(part["prompt"], str) and type(part["seed"]) is int and 0 <= part["seed"] < 2**62
