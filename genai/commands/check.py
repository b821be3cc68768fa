"""``python -m genai check``: say what a training run would read from your data, and what it would leave out.

It takes the words of ``genai.train``, trains nothing, and writes three items as the model sees them.
"""

import sys
from pathlib import Path

from genai.cli.compose import CommandConfig, launch
from genai.cli.exit_codes import exit_on_error
from genai.cli.overrides import with_base_words, with_package_model
from genai.core.errors import UserError
from genai.core.terminal import one_line, terminal_text

HELP = """Say what a training run would read from your data, and what it would leave out. Nothing is trained.

Examples:
python -m genai check modality=image data=image_folder data.path=my_pictures
python -m genai check modality=text data=text_folder data.path=my_texts out=seen

Options: those of python -m genai.train, and
  out=FOLDER      folder for three items as the model sees them; default: check

Exit code 2 if nothing can be used."""
TEXT_LENGTH = 300
"""Characters of a text that are printed."""


def main() -> None:
    """Run the command."""
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        print(HELP)
        return
    if unused := next((word for word in words if word.startswith(("-m", "--multirun", "resume="))), None):
        exit_on_error(lambda: check_word(unused))
    folders = [word.removeprefix("out=") for word in words if word.startswith("out=")]
    folder = Path(folders[-1] if folders and folders[-1] else "check").expanduser()
    overrides = [word for word in words if not word.startswith("out=")]

    def run() -> None:
        launch(lambda config: check(config, folder), "train", with_base_words(with_package_model(overrides)))

    exit_on_error(run)


def check_word(word: str) -> None:
    """Raise ``UserError`` for a word that is for several runs, or for one of before."""
    raise UserError(f"{word}: check looks at the data of one new run. Leave it out.")


def check(config: CommandConfig, folder: Path) -> None:
    """Print the report on the data of a training run. Raises ``UserError`` if nothing can be used."""
    from genai.training.base import find_base, with_base_nodes
    from genai.training.codec import with_codec
    from genai.training.config import TrainSettings
    from genai.training.data_report import DataReport
    from genai.training.parts import TrainingParts

    base = find_base(config, TrainSettings.parse(config.settings), None)
    parts = TrainingParts.parse(with_codec(with_base_nodes(config, base, None), None)[0])
    if base:
        parts.modality.restore(base.modality_state)
    report = DataReport(parts.build_source(), parts.modality, needs_fit=base is None)
    for label, text in report.rows():
        print(one_line(f"{label:<10}{text}"), flush=True)
    items = report.write_items(folder)
    print(one_line(f"{'written':<10}{len(items)} items as the model sees them, in {folder}/"), flush=True)
    for text in filter(None, (item.on_terminal for item in items)):
        print(f"---\n{terminal_text(text[:TEXT_LENGTH])}", flush=True)


if __name__ == "__main__":
    exit_on_error(main)
