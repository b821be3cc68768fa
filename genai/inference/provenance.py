"""Recipes: the ``X/000.json`` beside each sample, with all that is needed to generate it again.

A recipe holds every option, including defaults, and the hash of each input file, so that a changed file is detected.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from genai.core.errors import UserError

if TYPE_CHECKING:
    from genai.inference.model import Model

_REQUIRED_KEYS: dict[str, Any] = {
    "options": dict,
    "checkpoint": str,
    "checkpoint_sha256": str,
    "weights": str,
    "batch": list,
    "item": int,
    "init": str | None,
    "files": dict,
}


def make_recipe(
    model: "Model",
    batch: Sequence[Mapping[str, Any]],
    item: int,
    options: Mapping[str, Any],
    init: str | None,
    soundtrack_model: "Model | None" = None,
) -> dict[str, Any]:
    """Make the recipe of sample ``item`` of ``batch``, a list of ``{"prompt": ..., "seed": ...}``.

    The recipe contains the whole batch, because floating-point results depend on the batch.
    """
    import genai
    from genai.runs.checkpoint import file_hash

    all_options = {name: value for part in model.build_options(options) for name, value in asdict(part).items()}
    all_options = {name: list(value) if isinstance(value, tuple) else value for name, value in all_options.items()}
    paths = [path for path in (init, *(all_options[name] for name in file_options(model))) if path is not None]
    return {
        **batch[item],
        "options": all_options,
        "init": init,
        "files": {path: file_hash(Path(path)) for path in paths},
        **checkpoint_origin(model),
        "weights": model.weights,
        "sound": soundtrack_model and checkpoint_origin(soundtrack_model),
        "version": genai.__version__,
        "item": item,
        "batch": list(batch),
    }


def checkpoint_origin(model: "Model") -> dict[str, Any]:
    """Return the path, hash and step of a model's checkpoint."""
    file = str(model.file.absolute()) if model.file else ""
    return {"checkpoint": file, "checkpoint_sha256": model.digest, "step": model.step}


def check_origin(path: str, origin: Mapping[str, Any], model: "Model") -> None:
    """Check that ``model`` is from the checkpoint ``origin`` of the recipe in ``path``. Raises ``UserError``."""
    if origin["checkpoint_sha256"] != model.digest:
        raise UserError(f"{path} was made with a checkpoint other than {model.file}, or it has changed since.")


def read_recipe(path: Path) -> dict[str, Any]:
    """Read a recipe from a file. Raises ``UserError`` if it is not one."""
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))
        valid = all(isinstance(recipe[key], kind) for key, kind in _REQUIRED_KEYS.items())
        if not valid or not all(map(_is_item, recipe["batch"])) or not 0 <= recipe["item"] < len(recipe["batch"]):
            raise ValueError
        if recipe["init"] is not None and recipe["init"] not in recipe["files"]:
            raise ValueError
        origin = recipe.get("sound")
        if origin and not all(isinstance(origin[key], str) for key in ("checkpoint", "checkpoint_sha256")):
            raise ValueError
        return dict(recipe)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is not the recipe of a sample.") from error


def read_verified_recipe(path: Path) -> dict[str, Any]:
    """Read a recipe in order to repeat it. Raises ``UserError`` if it is not one or an input file has changed."""
    from genai.runs.checkpoint import file_hash

    recipe = read_recipe(path)
    for name, digest in recipe["files"].items():
        if not Path(name).is_file() or file_hash(Path(name)) != digest:
            raise UserError(f"from={path}: {name} is missing or has changed.")
    return recipe


def find_checkpoint(origin: Mapping[str, Any], root: Path, key: str = "ckpt") -> Path:
    """Find the checkpoint of an ``origin``: at its recorded path or, if runs have moved, below ``root`` by its hash.

    Args:
        key: the option that can name the checkpoint instead, for the message.

    Raises:
        UserError: it was not found.
    """
    path, digest = Path(origin["checkpoint"]), origin["checkpoint_sha256"]
    hash_files = sorted(root.expanduser().glob("**/checkpoints/*.ckpt.sha256"))
    if path.name:
        hash_files.insert(0, path.with_name(f"{path.name}.sha256"))
    for file in hash_files:
        if file.is_file() and file.read_text(errors="replace").split()[:1] == [digest]:
            return file.with_suffix("")
    raise UserError(
        f"the checkpoint of this sample ({path}, sha256 {digest[:12]}...) is missing or has changed since, and no copy "
        f"is in {root}/. Say where it is: runs= or {key}="
    )


def with_absolute_files(model: "Model", options: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``options`` with absolute paths for options that name a file."""
    names = [name for name in file_options(model) if options.get(name) is not None]
    return {**options, **{name: str(Path(options[name]).expanduser().absolute()) for name in names}}


def file_options(model: "Model") -> list[str]:
    """Return the names of the options that name a file, those of type ``FileName``."""
    from genai.media.base import FileName

    classes = (model.modality.Options, model.method.Options)
    hints = {name: hint for cls in classes for name, hint in get_type_hints(cls, include_extras=True).items()}
    return [name for name, hint in hints.items() if FileName in (hint, *get_args(hint))]


def _is_item(item: Any) -> bool:
    return isinstance(item["prompt"], str) and type(item["seed"]) is int and 0 <= item["seed"] < 2**62
