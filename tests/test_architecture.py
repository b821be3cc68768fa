"""The import rules of the house, and that everything public is described."""

import ast
import inspect
from importlib import import_module
from pathlib import Path

import pytest

from tests.conftest import ROOT

FILES = sorted((ROOT / "genai").rglob("*.py"))
COMMANDS = {"genai.train", "genai.sample"}


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
        assert not strays(path, "genai", "hydra", "lightning", but=("genai.networks.layers",))
    if room == "methods":
        assert not strays(
            path, "genai.modalities", "genai.data", "genai.training", "genai.config", "hydra", "lightning"
        )
    if room == "modalities":
        assert not strays(path, "genai.methods", "genai.networks", "genai.training", "hydra", "lightning")
    if room == "data":
        assert not strays(path, "genai.methods", "genai.networks", "genai.training", "hydra", "lightning")
    if room == "world":
        assert not strays(path, "genai", but=("genai.world",))
    if room != "training":
        assert not strays(path, "lightning")
    if room in {"train.py", "sample.py"}:
        ours = ("genai.config", "genai.errors")
        allowed = ("hydra", "omegaconf", "collections", "pathlib", "typing", "datetime", "json", "sys", *ours)
        assert not {name for name in imports(path, everywhere=False) if not within(name, *allowed)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_public_is_described(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    module = import_module(name)
    if path.name != "__init__.py":
        assert module.__doc__
    for label, value in vars(module).items():
        local = getattr(value, "__module__", None) == name and not label.startswith("_")
        if local and (inspect.isclass(value) or inspect.isfunction(value)):
            assert value.__doc__, f"{name}.{label}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_reads_in_one_sitting(path: Path) -> None:
    tree = ast.parse(path.read_text())
    lengths = {
        n.name: n.end_lineno - n.lineno for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.end_lineno
    }
    assert path.read_text().count("\n") <= 400
    assert not {name: length for name, length in lengths.items() if length > 80}
