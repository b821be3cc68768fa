"""The doctor prints all checks, then what to do."""

import sys

import pytest

from genai.commands import doctor
from genai.core import environment


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["genai doctor", *words])
    try:
        doctor.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_nothing_is_wrong_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "nothing is wrong"
    labels = {line.split()[0] for line in lines}
    assert labels >= {"python", "genai", "packages", "cores", "memory", "torch", "folder", "cache"}


def test_what_is_wrong_stands_last_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "_requirements", lambda: ["numpy>=99", "rich>=13"])
    assert run(monkeypatch) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("wrong     numpy: ") and lines[-1].endswith("-m pip install 'numpy>=99'")


def test_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--help") == 0 and "Exit code 1" in capsys.readouterr().out
