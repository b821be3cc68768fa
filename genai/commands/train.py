"""``python -m genai.train``: train a model, or resume a run. See ``--help``."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from genai.cli.compose import CommandConfig, compose, launch, override_key
from genai.cli.exit_codes import exit_on_error
from genai.cli.launched import process_group, run_on_main
from genai.core.errors import UserError
from genai.core.place import find_place

if TYPE_CHECKING:
    from genai.inference.model import Model
    from genai.runs.run import Run


def main() -> None:
    """Run the command."""

    def run() -> None:
        with process_group():
            overrides, resumed_run = run_on_main(lambda: _resolve_overrides(sys.argv[1:]))
            launch(lambda config: _train(config, resumed_run), "train", overrides)

    exit_on_error(run)


def fit(*words: str | Sequence[str] | Mapping[str, Any], data: Any = None, **values: Any) -> "Model":
    """Train with the words of the command line, ``fit("modality=text", "steps=200")``, and load the result.

    Args:
        words: of the command line, or lists or mappings of them.
        data: a word's value, or pictures in memory: see ``genai.data.in_memory.InMemory``.
        values: further words, ``steps=200``.

    Raises:
        UserError: an invalid word.
        RunError: the run failed.
    """
    from genai.cli.python_words import in_memory_words, python_words
    from genai.inference.model import load
    from genai.training.config import TrainSettings

    if isinstance(data, str | dict):
        data, values = None, values | {"data": data}
    new_words = python_words(words, values)
    if data is not None:
        new_words += in_memory_words(new_words)
    with process_group():
        overrides, resumed_run = run_on_main(lambda: _resolve_overrides(new_words))
        config = replace(compose("train", overrides), examples=data)
        settings = TrainSettings.parse(config.settings)
        folder = _train(config, resumed_run).folder
    return load(folder, plugins=settings.plugins)


def _resolve_overrides(words: Sequence[str]) -> "tuple[list[str], Run | None]":
    """Return the overrides to compose, and the run that ``resume=`` names, or that this job has begun before."""
    from genai.cli import overrides

    words = overrides.with_base_words(overrides.with_absolute_paths(overrides.with_package_model(words)))
    if find_place().is_launched:
        compose("train", overrides.config_words(words))  # so a mistake is said once
    targets = [word.partition("=")[2] for word in words if override_key(word) == "resume" and "=" in word]
    if not targets and (run := overrides.find_run_of_job(words)):
        return overrides.recorded_overrides(run, words), run
    if not targets or targets[-1] == "null":
        return words, None
    if not targets[-1]:
        raise UserError("resume= is empty: give auto or a run folder.")
    return overrides.resolve_resume(words, targets[-1])


def _train(config: CommandConfig, run: "Run | None" = None) -> "Run":
    from genai.training.run import train

    return train(config, run)


if __name__ == "__main__":  # a further process of a distributed run
    main()
