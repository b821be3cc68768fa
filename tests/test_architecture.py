"""The import rules of the house, and that everything public is described."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from genai.core.instantiate import locate
from genai.core.paths import config_dir
from tests.conftest import ROOT

FILES = sorted((ROOT / "genai").rglob("*.py"))
CONFIGS = sorted(path for path in config_dir().rglob("*.yaml") if "_target_" in path.read_text())
COMMANDS = {"genai.train", "genai.sample", "genai.evaluate", "genai.page"}


def imports(path: Path, everywhere: bool = True) -> set[str]:
    """Modules that a file imports: anywhere in it, or at its top level outside ``if TYPE_CHECKING``."""
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree)) if everywhere else tree.body
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{name.name}" for name in node.names}
    return found


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def of(folder: str) -> list[Path]:
    return sorted((ROOT / "genai" / folder).glob("*.py"))


def strays(path: Path, *forbidden: str, but: tuple[str, ...] = ()) -> set[str]:
    return {name for name in imports(path) if within(name, *forbidden) and not within(name, *but)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_import_rules(path: Path) -> None:
    room = path.relative_to(ROOT / "genai").parts[0]
    assert not strays(path, *COMMANDS - {f"genai.{path.stem}"}) or path.name == "__init__.py"
    if room == "networks":
        engines = ("genai.networks.wavenet.engine",) if path.stem == "wavenet" else ()
        assert not strays(path, "genai", "hydra", "lightning", but=("genai.networks", *engines))
        assert not {name for name in imports(path, everywhere=False) if within(name, "genai.networks.wavenet.engine")}
    if room == "engines":
        assert not strays(path, "genai", "hydra", "lightning", but=("genai.networks.wavenet.engine", "genai.networks"))
    if room == "methods":
        allowed = ("genai.core.batch", "genai.methods", "genai.networks.layers")
        assert not strays(path, "genai", "hydra", "lightning", but=allowed)
    if room == "modalities":
        allowed = ("genai.core.batch", "genai.data", "genai.core.errors", "genai.modalities")
        assert not strays(path, "genai", "hydra", "lightning", but=allowed)
    if room == "data":
        assert not strays(path, "genai.methods", "genai.networks", "genai.training", "hydra", "lightning")
    if room == "world":
        assert not strays(path, "genai", but=("genai.toy.world",))
    if room != "training":
        assert not strays(path, "lightning")
    if room == "metrics":
        assert not strays(path, "genai.methods", "genai.networks", "genai.training", "hydra", "lightning")
    if room in {"train.py", "sample.py", "evaluate.py", "page.py", "options.py", "recipe.py"}:
        ours = ("genai.cli.compose", "genai.core.errors", "genai.cli.options", "genai.inference.provenance")
        allowed = (
            "hydra",
            "omegaconf",
            "collections",
            "contextlib",
            "pathlib",
            "typing",
            "datetime",
            "dataclasses",
            "json",
            "sys",
            "time",
            *ours,
        )
        assert not {name for name in imports(path, everywhere=False) if not within(name, *allowed)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_public_is_described_and_typed(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert path.name == "__init__.py" or ast.get_docstring(tree)
    public = [node for node in tree.body if isinstance(node, DEFINITIONS) and not node.name.startswith("_")]
    assert not [node.name for node in public if not ast.get_docstring(node)]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert not [node.name for node in functions if not node.returns]
    arguments = {f"{node.name}({a.arg})": a for node in functions for a in all_arguments(node.args)}
    assert not [name for name, a in arguments.items() if not a.annotation and a.arg not in ("self", "cls")]


DEFINITIONS = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def all_arguments(arguments: ast.arguments) -> list[ast.arg]:
    starred = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *starred]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(config_dir())))
def test_every_target_of_a_config_is_a_class_that_takes_what_it_is_given(path: Path) -> None:
    for node in nodes(yaml.safe_load(path.read_text())):
        cls = locate(node["_target_"], object, path.stem)
        assert node.keys() - {"_target_"} <= inspect.signature(cls).parameters.keys()


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "_target_" in value:
            yield value
        for part in value.values():
            yield from nodes(part)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_reads_in_one_sitting(path: Path) -> None:
    tree = ast.parse(path.read_text())
    lengths = {
        n.name: n.end_lineno - n.lineno for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.end_lineno
    }
    assert path.read_text().count("\n") <= 400
    assert not {name: length for name, length in lengths.items() if length > 80}


def test_the_picture_of_the_house_has_every_file() -> None:
    picture = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    assert not [str(path) for path in FILES if path.name != "__init__.py" and path.name not in picture]
