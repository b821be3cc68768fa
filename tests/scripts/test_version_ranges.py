"""scripts/version_ranges.py: the ends of a range, and the table. What it tries needs a network."""

import importlib.util
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT

_spec = importlib.util.spec_from_file_location("version_ranges", ROOT / "scripts" / "version_ranges.py")
assert _spec and _spec.loader
script = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(script)


def test_both_ends_of_a_range_without_previews(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "x (3.0)\nAvailable versions: 4.0rc1, 3.0, 2.10, 2.9, 2.0, 1.0\n"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=listed, stderr=""))
    assert script.lowest_and_highest(Requirement("x>=2")) == ["2.0", "3.0"]
    assert script.lowest_and_highest(Requirement("x>=2,<2.10")) == ["2.0", "2.9"]
    assert script.lowest_and_highest(Requirement("x>=3")) == ["3.0"]


def test_without_a_network_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="", stderr="no route"))
    with pytest.raises(SystemExit, match="pip knows no releases of x:\nno route"):
        script.lowest_and_highest(Requirement("x"))


def test_a_new_row_replaces_the_old_one_of_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "TABLE", tmp_path / "VERSIONS.md")
    script.write_table({"b": "| b | old |"})
    script.write_table({"a": "| a | 1 |"})
    script.write_table({"b": "| b | new |"})
    assert (tmp_path / "VERSIONS.md").read_text().endswith("|---|\n| a | 1 |\n| b | new |\n")


def test_every_dependency_has_a_lowest_version() -> None:
    assert all(">=" in str(requirement.specifier) for requirement in script.dependencies())
    assert script.CHECKS.keys() <= {requirement.name for requirement in script.dependencies()}
    assert all((ROOT / path).exists() for paths in script.CHECKS.values() for path in paths)
