"""The import rules of the house, and that everything public is described."""

import ast
import importlib.util
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from genai.core.instantiate import import_class
from genai.core.paths import config_dir
from tests.conftest import ROOT

_spec = importlib.util.spec_from_file_location("draw_architecture", ROOT / "scripts" / "draw_architecture.py")
assert _spec and _spec.loader
architecture = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(architecture)
imported_names, module_name, room_of = architecture.imported_names, architecture.module_name, architecture.room_of
ROOMS = list(architecture.FLOORS)
FILES = sorted((ROOT / "genai").rglob("*.py"))
CONFIGS = sorted(path for path in config_dir().rglob("*.yaml") if "_target_" in path.read_text())
SPECIALISTS = {
    "lightning": {"training"},
    "hydra": {"cli", "commands", "top"},
    "omegaconf": {"cli", "commands", "top"},
    "numba": {"networks", "speech"},
    "av": {"media"},
    "soundfile": {"media"},
    "fastapi": {"server"},
    "starlette": {"server"},
    "uvicorn": {"server"},
}
"""Libraries that only some rooms know."""
LIGHT = (
    "annotated_types", "hydra", "omegaconf",
    "ast", "collections", "contextlib", "dataclasses", "datetime", "difflib", "functools",
    "importlib", "json", "pathlib", "runpy", "sys", "time", "types", "typing", "genai.cli", "genai.commands",
    "genai.core.errors", "genai.core.files", "genai.core.filesystem", "genai.core.limits",
    "genai.core.old_names", "genai.core.paths", "genai.core.place", "genai.core.renamed", "genai.core.terminal",
    "genai.inference.labels", "genai.inference.provenance", "genai.inference.sample_files", "genai.trust.label",
    "genai.version",
)  # fmt: skip
"""All that a command may import before it knows what it is asked for, so that ``--help`` answers at once."""


def top_level_imports(path: Path) -> set[str]:
    """Modules and names that a file imports when it is imported: not lazily, not for type checking."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or ""} | {f"{node.module}.{name.name}" for name in node.names}
    return names


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


MODULES = {module_name(path): path for path in FILES}


def own_imports(path: Path) -> set[str]:
    """Modules of genai that a file imports anywhere, lazily and for type checking too."""
    return {name for name in imported_names(path) if name in MODULES and name != module_name(path) and name != "genai"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_lead_down(path: Path) -> None:
    here = room_of(module_name(path))
    assert not {name for name in own_imports(path) if ROOMS.index(room_of(name)) > ROOMS.index(here)}
    assert here in ("toy", "top") or not {name for name in own_imports(path) if room_of(name) == "toy"}
    for library, rooms in SPECIALISTS.items():
        assert here in rooms or not {name for name in imported_names(path) if within(name, library)}
    if here == "networks":
        assert not {name for name in own_imports(path) if room_of(name) != "networks"} - {"genai.core.renamed"}
    if here == "methods":
        assert {name for name in own_imports(path) if room_of(name) == "networks"} <= {"genai.networks.layers"}
    if here in ("commands", "top", "cli"):
        assert not {name for name in top_level_imports(path) if not within(name, *LIGHT, *ALSO_LIGHT.get(here, ()))}


ALSO_LIGHT = {"cli": ("errno", "io", "os", "re", "signal", "traceback", "genai.runs.run")}


def test_every_room_has_its_floor() -> None:
    rooms = {path.parent.name for path in (ROOT / "genai").glob("*/__init__.py")}
    assert rooms <= set(ROOMS), "add the room to FLOORS of scripts/draw_architecture.py"


def test_there_are_no_circles() -> None:
    arrows = {name: own_imports(path) for name, path in MODULES.items()}
    left = dict(arrows)
    while loose := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in loose:
            del left[name]
    assert not left, f"these import each other in a circle: {sorted(left)}"


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
        cls = import_class(node["_target_"], object, path.stem)
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


TEXT_FILES = {"open", "read_text", "write_text", "fdopen", "NamedTemporaryFile"}
SCRIPTS = [path for folder in ("scripts", "benchmarks", "tests/plugins") for path in (ROOT / folder).rglob("*.py")]


@pytest.mark.parametrize("path", [*FILES, *SCRIPTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_text_files_have_the_same_encoding_on_every_system(path: Path) -> None:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
        if not isinstance(node, ast.Call) or name not in TEXT_FILES or ast.unparse(node.func) in OTHER_FILES:
            continue
        modes = [value.value for value in node.args if isinstance(value, ast.Constant) and isinstance(value.value, str)]
        is_binary = name not in ("read_text", "write_text") and any("b" in mode for mode in modes)
        if not is_binary and "encoding" not in {keyword.arg for keyword in node.keywords}:
            found.append(ast.unparse(node))
    assert not found


OTHER_FILES = {
    "os.open",
    "av.open",
    "Pillow.open",
    "archive.open",
    "gzip.open",
    "tarfile.open",
    "Image.open",
    "wave.open",
    "read_text",
}
"""Functions of these names that open no text, or UTF-8 always (``genai.core.files.read_text``)."""


def test_the_picture_of_the_rooms_is_up_to_date() -> None:
    drawn = architecture.PICTURE.read_text(encoding="utf-8")
    assert drawn == architecture.draw(), "run scripts/draw_architecture.py"


def test_every_room_is_in_the_document() -> None:
    document = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    assert "architecture.svg" in document
    assert not [room for room in ROOMS if room not in ("top", "version") and f"{room}/" not in document]


def test_tests_carry_the_names_of_the_files_that_they_test() -> None:
    """``test_audio_soundtracks.py`` is a second file about ``audio.py``; others have a folder of their own."""
    others = {"test_architecture.py", "test_words.py", "test_main.py", "test_fuzz_pictures.py", "test_odd_pictures.py"}
    for path in (ROOT / "tests").rglob("test_*.py"):
        room = path.parent.relative_to(ROOT / "tests")
        if path.name in others or room.parts[:1] in (("integration",), ("plugins",), ("hostile",)):
            continue
        place = ROOT / "scripts" if room.name == "scripts" else ROOT / "genai" / room
        parts = path.stem.split("_")[1:]
        assert any((place / f"{'_'.join(parts[:end])}.py").exists() for end in range(1, len(parts) + 1)), path


def test_stand_ins_are_in_one_file() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        found = re.findall(r"^class (\w*(?:Stub|Fake|Mock)\w*)", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert not found or path.name == "stubs.py", (path, found)
