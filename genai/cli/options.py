"""What the commands on a trained model share: keys in common, and words that no YAML knows, options of the model.

Nothing heavy is imported before a function needs it, so that ``--help`` answers at once.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf

from genai.core.errors import UserError, did_you_mean
from genai.core.paths import config_dir

if TYPE_CHECKING:
    from genai.inference.model import Model


def keys(command: str) -> list[str]:
    """The top-level keys of a command's YAML."""
    return [str(key) for key in OmegaConf.load(config_dir() / f"{command}.yaml") if key not in ("defaults", "hydra")]


def set_apart(command: str, words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The words that the YAML of ``command`` knows, and the others, ``key=value``.

    Those are options of the model, and ``modality``, which Hydra would take for the config group of that name.
    """
    known = {*keys(command), "hydra"}
    options = {}
    others = []
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key.isidentifier() and key not in known:
            options[key] = value
        else:
            others.append(word)
    return others, options


def loaded(values: Mapping[str, Any]) -> "Model":
    """The model that the common keys mean. Raises ``UserError``."""
    from genai.inference.model import load

    return load(
        values["ckpt"],
        modality=values["modality"],
        weights=values["weights"],
        device=values["device"],
        runs_folder=values["runs"],
        plugins=values["plugins"],
    )


def say_which(model: "Model", what: str = "model") -> None:
    """Which checkpoint was taken as ``what``, and which were passed over."""
    for note in model.notes:
        print(f"{note} Using {model.file} instead.", file=sys.stderr)
    print(f"{what} {model.file}, step {model.step}", file=sys.stderr, flush=True)


def typed(model: "Model", options: Mapping[str, str], keys: Iterable[str]) -> dict[str, Any]:
    """The strings of the command line as the types that the model's options have.

    Raises:
        UserError: for a name that neither the model nor the command has; ``keys`` are those of the command.
    """
    from genai.core.instantiate import validate_value

    hints = {
        **get_type_hints(model.modality.Options, include_extras=True),
        **get_type_hints(model.method.Options, include_extras=True),
    }
    read: dict[str, Any] = {}
    for name, text in options.items():
        if name not in hints:
            raise model.no_option(name, {*hints, *keys})
        hint = hints[name]
        if get_origin(hint) is Sequence and get_args(hint) == (str,):
            read[name] = texts(text)
        else:
            read[name] = validate_value(text, hint, name, strict=False)
    return read


def texts(value: str) -> list[str]:
    """A JSON list of texts as that list, anything else as one text."""
    try:
        parsed = json.loads(value)
    except ValueError:
        return [value]
    return parsed if isinstance(parsed, list) and parsed and all(isinstance(text, str) for text in parsed) else [value]


def output(wanted: str, example: str) -> Path:
    """The file that ``out=wanted`` names, its folder made. Raises ``UserError``, with the name ``example``."""
    path = Path(wanted).expanduser()
    if path.is_dir():
        raise UserError(f"out={path} is a folder: give a file, such as {path / example}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder of out={path}: {error.strerror}.") from error
    return path


def check(values: Mapping[str, Any]) -> None:
    """Types and ranges of the keys that the commands on a trained model have in common. Raises ``UserError``."""
    from annotated_types import Ge, Lt

    from genai.core.instantiate import validate_value

    validate_value(values["n"], Annotated[int, Ge(1)], "n")
    validate_value(values["batch"], Annotated[int, Ge(1)], "batch")
    validate_value(values["seed"], Annotated[int, Ge(0), Lt(2**62)], "seed")
    validate_value(values["weights"], Literal["ema", "raw"], "weights")
    validate_value(values["device"], Literal["auto", "cpu", "cuda", "mps"], "device")
    validate_value(values["plugins"], Sequence[str], "plugins")
    modalities = sorted(file.stem for file in (config_dir() / "modality").glob("*.yaml"))
    if values["modality"] is not None and values["modality"] not in modalities:
        near = did_you_mean(str(values["modality"]), modalities)
        raise UserError(
            f"modality={values['modality']}: there is no such modality.{near} There are: {', '.join(modalities)}."
        )
