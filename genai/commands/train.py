"""``python -m genai.train``: train a model, or go on with a run. ``--help`` says how."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from genai.cli.compose import CommandConfig, compose, guarded, key_of, launch
from genai.core.errors import UserError

if TYPE_CHECKING:
    from genai.inference.model import Model
    from genai.runs.run import Run


def main() -> None:
    """The command."""

    def run() -> None:
        merged, resumed = _taken_up(sys.argv[1:])
        launch(lambda composed: _train(composed, resumed), "train", merged)

    guarded(run)


def fit(*words: str) -> "Model":
    """Train with the words of the command line, ``fit("modality=text", "steps=200")``, and load the result.

    Raises:
        UserError: a word that does not fit. RunError: the run could not go on.
    """
    from genai.inference.model import load

    merged, resumed = _taken_up(words)
    composed = compose("train", merged)
    return load(_train(composed, resumed).folder, plugins=composed.values["plugins"])


def _taken_up(words: Sequence[str]) -> "tuple[list[str], Run | None]":
    """The words to compose and the run that ``resume=`` among ``words`` goes on with."""
    from genai.cli.overrides import located, resumption

    words = located(words)
    wanted = [word.partition("=")[2] for word in words if key_of(word) == "resume" and "=" in word]
    if not wanted or wanted[-1] == "null":
        return words, None
    if not wanted[-1]:
        raise UserError("resume= is empty: give auto or a run folder.")
    return resumption(words, wanted[-1])


def _train(composed: CommandConfig, run: "Run | None" = None) -> "Run":
    from genai.training.run import train

    return train(composed, run)
