"""Recipes: the ``X/000.json`` beside each sample, with all that is needed to generate it again.

A recipe holds every option, including defaults, and the hash of each input file, so that a changed file is detected.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

from annotated_types import Ge, Lt

from genai.core.errors import UserError, short_text
from genai.core.files import read_text
from genai.core.plain_data import parse_json
from genai.runs.record import AdapterRecord
from genai.trust.watermarks.key import VARIABLE, find_key, key_name
from genai.version import __version__

if TYPE_CHECKING:
    from genai.inference.model import Model


@dataclass(frozen=True)
class CheckpointOrigin:
    """The checkpoint of a model: path, hash and step."""

    checkpoint: str
    checkpoint_sha256: str
    step: int = 0


@dataclass(frozen=True)
class RecipeItem:
    """Prompt and seed of a sample."""

    prompt: str
    seed: Annotated[int, Ge(0), Lt(2**62)]


@dataclass(frozen=True, kw_only=True)
class SampleRecipe:
    """Recipe of a sample, with the keys of its file.

    Attributes:
        prompt, seed: of the sample.
        options: of the modality and the method, including defaults.
        init: file to start from.
        files: hash of each input file.
        checkpoint, checkpoint_sha256, step, weights: of the model.
        adapters: merged into the weights of the model.
        dtype, quantize: format of the weights, if it was not that of the file.
        rung: how a text model generated.
        sound: checkpoint of the model that generated the soundtrack.
        then: checkpoint of the model that enlarged the sample.
        vocoder: checkpoint of the model that made the sound of speech.
        version: of genai.
        item: number of the sample in ``batch``.
        batch: the whole batch, because floating-point results depend on it.
        interpolation: for the strip between the two samples of ``batch``, the number of images that are generated at
            once; ``None``: a sample.
        media_sha256: of the file before it was labeled, which is what the recipe gives again.
        label: how the file is labeled: ``signed``, ``metadata`` or ``none``.
        watermark_key: name of the key, if the sample has a watermark.
    """

    prompt: str = ""
    seed: int = 0
    options: dict[str, Any]
    init: str | None
    files: dict[str, str]
    checkpoint: str
    checkpoint_sha256: str
    step: int = 0
    weights: str
    adapters: list[AdapterRecord] = field(default_factory=list)
    dtype: str | None = None
    quantize: str | None = None
    rung: str = ""
    sound: CheckpointOrigin | None = None
    then: CheckpointOrigin | None = None
    vocoder: CheckpointOrigin | None = None
    version: str = ""
    item: Annotated[int, Ge(0)]
    batch: list[RecipeItem]
    interpolation: Annotated[int, Ge(1)] | None = None
    media_sha256: str = ""
    label: str = ""
    watermark_key: str = ""

    @property
    def origins(self) -> dict[str, CheckpointOrigin]:
        """The checkpoints of the model's parts, by the keys that name them on the command line."""
        origin = CheckpointOrigin(self.checkpoint, self.checkpoint_sha256, self.step)
        others = {"soundtrack": self.sound, "then": self.then, "vocoder": self.vocoder}
        return {"ckpt": origin, **{key: each for key, each in others.items() if each}}


def make_recipe(
    model: "Model",
    batch: Sequence[RecipeItem],
    item: int,
    options: Mapping[str, Any],
    init: str | None,
    interpolation: int | None = None,
) -> SampleRecipe:
    """Make the recipe of sample ``item`` of ``batch``, or of the interpolation between its two samples."""
    from genai.core.files import file_hash

    parts = model.build_options(options)
    all_options = {name: value for part in parts for name, value in asdict(part).items()}
    all_options = {name: list(value) if isinstance(value, tuple) else value for name, value in all_options.items()}
    paths = [path for path in (init, *(all_options[name] for name in file_options(model))) if path is not None]
    return SampleRecipe(
        **vars(batch[item]),
        options=all_options,
        init=init,
        files={path: file_hash(Path(path)) for path in paths},
        **vars(checkpoint_origin(model)),
        weights=model.weights,
        adapters=list(model.parts["ckpt"].adapters),
        dtype=model.parts["ckpt"].dtype,
        quantize=model.parts["ckpt"].quantize,
        rung=model.rung,
        sound=_part_origin(model, "soundtrack"),
        then=_part_origin(model, "then"),
        vocoder=_part_origin(model, "vocoder"),
        version=__version__,
        item=item,
        batch=list(batch),
        interpolation=interpolation,
        watermark_key=key_name(parts[0]),
    )


def checkpoint_origin(model: "Model") -> CheckpointOrigin:
    """Return the path, hash and step of a model's checkpoint."""
    return CheckpointOrigin(str(model.file.absolute()) if model.file else "", model.digest, model.step)


def origin_entries(model: "Model") -> dict[str, Any]:
    """Return the entries of a report that name the checkpoints of a model's parts."""
    sound = _part_origin(model, "soundtrack")
    adapters = {"adapters": [asdict(adapter) for adapter in model.adapters]} if model.adapters else {}
    vocoder = _part_origin(model, "vocoder")
    vocoders = {"vocoder": asdict(vocoder)} if vocoder else {}
    return {**asdict(checkpoint_origin(model)), **adapters, "sound": sound and asdict(sound), **vocoders}


def _part_origin(model: "Model", key: str) -> CheckpointOrigin | None:
    part = model.parts.get(key)
    return checkpoint_origin(part) if part else None


def check_origins(path: str, recipe: SampleRecipe, model: "Model") -> None:
    """Check that the parts of ``model`` are those of the recipe in ``path``. Raises ``UserError``."""
    for key, part in model.parts.items():
        if recipe.origins[key].checkpoint_sha256 != part.digest:
            raise UserError(f"{path} was made with a checkpoint other than {part.file}, or it has changed since.")
    hashes = [[(each.checkpoint_sha256, each.factor) for each in x.adapters] for x in (recipe, model.parts["ckpt"])]
    if hashes[0] != hashes[1]:
        raise UserError(f"{path} was made with other adapters, or they have changed since.")


def read_recipe(path: Path, folder: Path | None = None) -> SampleRecipe:
    """Read a recipe from a file, which has to be in ``folder`` if one is given. Raises ``UserError`` if it is not."""
    from genai.core.instantiate import read_dataclass

    text = read_text(path, "recipe", folder)
    try:
        recipe = read_dataclass(SampleRecipe, parse_json(text, str(path)))
    except UserError as error:
        raise UserError(f"{path} is not the recipe of a sample.") from error
    is_pair = recipe.interpolation is None or len(recipe.batch) == 2
    if recipe.item >= len(recipe.batch) or recipe.init not in (None, *recipe.files) or not is_pair:
        raise UserError(f"{path} is not the recipe of a sample.")
    return recipe


def read_verified_recipe(path: Path) -> SampleRecipe:
    """Read a recipe in order to repeat it. Raises ``UserError`` if it is not one or an input file has changed."""
    from genai.runs.checkpoint_files import file_hash

    recipe = read_recipe(path)
    if recipe.watermark_key and recipe.watermark_key != (name := (key := find_key()) and key.name):
        here = f"the one here is {name}" if name else "there is none here"
        raise UserError(
            f"from={path}: it was made with the watermark key {short_text(recipe.watermark_key)}, and {here}. "
            f"Name the file of that key: {VARIABLE}=FILE"
        )
    for name, digest in recipe.files.items():
        if not Path(name).is_file() or file_hash(Path(name)) != digest:
            raise UserError(f"from={path}: {name} is missing or has changed.")
    return recipe


def find_checkpoint(origin: CheckpointOrigin, root: Path, key: str = "ckpt") -> Path:
    """Find the checkpoint of an ``origin``: at its recorded path or, if runs have moved, below ``root`` by its hash.

    Args:
        key: the option that can name the checkpoint instead, for the message.

    Raises:
        UserError: it was not found.
    """
    from genai.exchange.gguf_file import is_gguf_file
    from genai.exchange.pretrained import is_pretrained_folder
    from genai.runs.checkpoint_files import read_hashes

    path, digest = Path(origin.checkpoint), origin.checkpoint_sha256
    for source in (path, path.parent):  # models of other tools have no file with their hash
        if path.is_file() and (is_pretrained_folder(source) or is_gguf_file(source)):
            return source
    hash_files = sorted(root.expanduser().glob("**/checkpoints/*.ckpt.sha256"))
    if path.name:
        hash_files.insert(0, path.with_name(f"{path.name}.sha256"))
    for file in hash_files:
        with suppress(UserError):
            if read_hashes(file.with_suffix(""))[:1] == [digest]:
                return file.with_suffix("")
    raise UserError(
        f"the checkpoint of this sample ({path}, sha256 {digest[:12]}...) is missing or has changed since, and no copy "
        f"is in {root}/. Say where it is: runs= or {key}="
    )


def find_adapters(recipe: SampleRecipe, root: Path) -> str | None:
    """Return the adapters of a recipe as the value of ``adapter=``; ``None``: it has none. Raises ``UserError``."""
    places = {}
    for origin in recipe.adapters:
        path = Path(origin.checkpoint)
        if not path.is_dir():  # no folder of peft
            path = find_checkpoint(CheckpointOrigin(origin.checkpoint, origin.checkpoint_sha256), root, "adapter")
        places[str(path)] = origin.factor
    return json.dumps(places, ensure_ascii=False) if places else None


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
