"""Shared parts of the commands on a trained model: common keys, and options of the model, which no YAML lists.

Heavy modules are imported inside functions, so that ``--help`` is fast.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from omegaconf import OmegaConf

from genai.core.errors import UserError
from genai.core.files import make_folder
from genai.core.paths import config_dir
from genai.core.renamed import current_words
from genai.core.terminal import one_line

if TYPE_CHECKING:
    from genai.cli.settings import LoadSettings
    from genai.inference.model import Model


def command_keys(command: str) -> list[str]:
    """Return the top-level keys of a command's YAML file."""
    return [str(key) for key in OmegaConf.load(config_dir() / f"{command}.yaml") if key not in ("defaults", "hydra")]


def split_options(command: str, words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Split ``words`` into overrides of the YAML of ``command`` and options of the model, by name.

    The options include ``modality``, which Hydra would take for the config group of that name.
    """
    config_keys = {*command_keys(command), "hydra"}
    words = current_words(command, words)
    options = {}
    overrides = []
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key.isidentifier() and key not in config_keys:
            options[key] = value
        else:
            overrides.append(word)
    return overrides, options


def load_model(settings: "LoadSettings") -> "Model":
    """Load the model that the settings select, composed with a second one if they name it. Raises ``UserError``."""
    from genai.inference.model import load
    from genai.inference.soundtrack import with_soundtracks
    from genai.inference.upscaled import with_upscaling
    from genai.inference.vocoder import with_vocoder

    place: dict[str, Any] = {"device": settings.device, "runs_folder": settings.runs, "plugins": settings.plugins}
    model = load(
        settings.ckpt,
        modality=getattr(settings, "modality", None),
        weights=settings.weights,
        adapter=settings.adapter,
        dtype=settings.dtype,
        quantize=settings.quantize,
        **place,
    )
    for name, compose in (("soundtrack", with_soundtracks), ("then", with_upscaling), ("vocoder", with_vocoder)):
        model = compose(model, getattr(settings, name, None), **place)
    return model


def report_checkpoints(model: "Model") -> None:
    """Print which checkpoints are used and which ones were skipped."""
    for key, part in model.parts.items():
        for note in part.notes:
            print(one_line(f"{note} Using {part.file} instead."), file=sys.stderr)
        label = "model" if key == "ckpt" else key
        print(one_line(f"{label} {part.file}, step {part.step}"), file=sys.stderr, flush=True)
        if part.rung:
            print(f"decoding: {part.rung}", file=sys.stderr, flush=True)
        for adapter in part.adapters:
            print(one_line(f"with {adapter.checkpoint} x {adapter.factor:g}"), file=sys.stderr, flush=True)


def print_description(model: "Model") -> None:
    """Print what the model generates, and of which prompts."""
    from genai.inference.known_prompts import describe_model

    if description := describe_model(model):
        print(one_line(f"makes {description}"), file=sys.stderr, flush=True)


def parse_options(model: "Model", options: Mapping[str, str], keys: Iterable[str]) -> dict[str, Any]:
    """Convert options from the command line to the types that the model's options have.

    Args:
        keys: of the command, for the message about an unknown name.

    Raises:
        UserError: a name that neither the model nor the command has; a value of another type or out of range.
    """
    from genai.core.instantiate import validate_value

    hints = {
        **get_type_hints(model.modality.Options, include_extras=True),
        **get_type_hints(model.method.Options, include_extras=True),
    }
    lists, values = model.text_list_options(), dict[str, Any]()
    for name, text in options.items():
        if name not in hints:
            raise model.unknown_option_error(name, {*hints, *keys})
        if name in lists:
            values[name] = parse_prompts(text)
        else:
            values[name] = validate_value(parse_json_value(text), hints[name], name, strict=False)
    return values


def parse_json_value(text: str) -> Any:
    """Return the list or mapping that ``text`` is in JSON; any other text as it is."""
    try:
        value = json.loads(text) if text.lstrip()[:1] in ("[", "{") else text
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, list | dict) else text


def parse_prompts(value: str) -> list[str]:
    """Parse a JSON list of texts; return any other value as a single text."""
    try:
        parsed = json.loads(value)
    except ValueError:
        return [value]
    return parsed if isinstance(parsed, list) and parsed and all(isinstance(text, str) for text in parsed) else [value]


def output_file(out: str, example: str) -> Path:
    """Return the file that ``out=`` names and create its folder. Raises ``UserError``, with ``example`` as a name."""
    path = Path(out).expanduser()
    if path.is_dir():
        raise UserError(f"out={path} is a folder: give a file, such as {path / example}.")
    try:
        make_folder(path.parent)
    except OSError as error:
        raise UserError(f"cannot create the folder of out={path}: {error.strerror}.") from error
    return path
