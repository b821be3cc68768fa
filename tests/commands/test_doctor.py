"""The doctor prints all checks, then what to do."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from genai.core import environment

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_nothing_is_wrong_here(inside: Command, tmp_path: Path) -> None:
    done = inside("doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines[-1] == "nothing is wrong"
    labels = {line.split()[0] for line in lines}
    assert labels >= {"python", "genai", "packages", "cores", "memory", "torch", "folder", "cache"}


def test_what_is_wrong_stands_last_with_what_to_do(
    inside: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "_requirements", lambda: ["numpy>=99", "rich>=13"])
    done = inside("doctor", cwd=tmp_path)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[-2].startswith("wrong     numpy: ") and lines[-1].endswith("-m pip install 'numpy>=99'")


def test_help(inside: Command, tmp_path: Path) -> None:
    done = inside("doctor", "--help", cwd=tmp_path)
    assert done.returncode == 0 and "Exit code 1" in done.stdout
