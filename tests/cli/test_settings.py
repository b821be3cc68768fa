"""Settings have the keys of their YAML files, with types and ranges."""

from dataclasses import fields

import pytest

from genai.cli.compose import compose
from genai.cli.options import command_keys
from genai.cli.settings import FIELD_NAMES, EvaluateSettings, PageSettings, SampleSettings, parse_settings
from genai.core.errors import UserError

COMMANDS = {"sample": SampleSettings, "evaluate": EvaluateSettings, "page": PageSettings}


@pytest.mark.parametrize("command", COMMANDS)
def test_settings_and_yaml_have_the_same_keys(command: str) -> None:
    names = {field.name for field in fields(COMMANDS[command])} - {"modality"}
    assert names == {FIELD_NAMES.get(key, key) for key in command_keys(command)}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("n=0", "n=0: it should be greater than or equal to 1"),
        ("n=1.5", "n=1.5"),
        ("device=gpu", "device='gpu': it should be 'auto', 'cpu', 'cuda' or 'mps'. Did you mean 'cpu'"),
        ("animate=1", "animate=1: it should be true or false"),
        ("~seed", "The option 'seed' is missing"),
    ],
)
def test_wrong_values_are_refused(word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_settings(SampleSettings, compose("sample", [word]))


def test_a_modality_is_one_that_there_is() -> None:
    assert parse_settings(EvaluateSettings, compose("evaluate", []), modality="text").modality == "text"
    with pytest.raises(UserError, match="Did you mean 'text'"):
        parse_settings(EvaluateSettings, compose("evaluate", []), modality="txt")
