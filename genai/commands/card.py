"""``python -m genai card``: write the model card of a trained model. See ``--help``."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from genai.cli.compose import CommandConfig, launch
from genai.cli.exit_codes import exit_on_error
from genai.cli.options import output_file
from genai.cli.settings import CardSettings, parse_settings
from genai.core.errors import RunError, UserError
from genai.core.files import write_file
from genai.core.terminal import one_line

if TYPE_CHECKING:
    from genai.inference.model import Model

MODEL_CARD = "model_card.md"


def main() -> None:
    """Run the command."""
    launch(card, "card", sys.argv[1:])


def card(config: CommandConfig) -> Path:
    """Write the card and return its path. Raises ``UserError``, ``RunError``."""
    from genai.inference.card import model_card, public_record
    from genai.inference.model import load

    settings = parse_settings(CardSettings, config)
    if settings.out and settings.out.lower().endswith(".json"):
        raise UserError(f"out={settings.out}: the card is Markdown, so name {MODEL_CARD}; json=true adds a file .json.")
    model = load(
        settings.ckpt,
        weights=settings.weights,
        device="cpu",
        runs_folder=settings.runs,
        plugins=settings.plugins,
    )
    if settings.license:
        model.record["license"] = settings.license
    file = output_file(settings.out, MODEL_CARD) if settings.out else _own_file(model)
    contents = {file: model_card(model)}
    if settings.json:
        contents[file.with_suffix(".json")] = json.dumps(public_record(model), indent=2, ensure_ascii=False) + "\n"
    for path, content in contents.items():
        try:
            write_file(path, content)
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror}.") from error
        print(one_line(f"card in {path}"), flush=True)
    return file


def _own_file(model: "Model") -> Path:
    """Return the file in the run folder. Raises ``UserError`` if there is no run folder."""
    if model.run is None:
        raise UserError(f"{model.file} is not in a run folder: name a file for the card, out={MODEL_CARD}.")
    return model.run.folder / MODEL_CARD


if __name__ == "__main__":
    exit_on_error(main)
