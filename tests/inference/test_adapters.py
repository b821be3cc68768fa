"""Adapters by path and factor, from the command line, from Python and from recipes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from genai.inference.adapters import parse_adapters
from genai.inference.provenance import find_adapters
from genai.runs.record import AdapterRecord


def test_paths_of_any_characters_come_back_from_a_recipe(tmp_path: Path) -> None:
    folder = tmp_path / "\N{GRINNING FACE} é: a, b {c}"
    folder.mkdir()
    recipe: Any = SimpleNamespace(adapters=[AdapterRecord(str(folder), "", 0.5)])
    assert parse_adapters(find_adapters(recipe, tmp_path)) == {str(folder): 0.5}


def test_paths_are_keys_in_python(tmp_path: Path) -> None:
    assert parse_adapters({tmp_path: 2, "runs/a": -0.5}) == {str(tmp_path): 2.0, "runs/a": -0.5}
    assert parse_adapters(tmp_path) == {str(tmp_path): 1.0}
