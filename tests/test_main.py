"""``python -m genai NAME WORDS``."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from genai import __main__ as dispatcher
from tests.conftest import ROOT


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["genai", *words])
    try:
        dispatcher.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",)])
def test_it_lists_what_there_is_a_line_each(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *words) == 0
    lines = re.findall(r"^  python -m genai (\w+) +(.+)$", capsys.readouterr().out, re.MULTILINE)
    assert [name for name, _ in lines] == sorted(path.stem for path in (ROOT / "genai/commands").glob("[a-z]*.py"))
    assert all(len(summary) > 20 for _, summary in lines)


def test_a_slip_is_answered_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "smaple", "n=2") == 2
    assert "There is no command 'smaple'. Did you mean 'sample'?" in capsys.readouterr().err
    assert run(monkeypatch, "steps=3") == 2
    assert "Did you mean: python -m genai.train steps=3?" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["evaluate", "page", "sample", "train"])
def test_both_spellings_of_a_command_are_the_same(name: str) -> None:
    direct, listed = (importlib.import_module(f"genai.{path}{name}") for path in ("", "commands."))
    assert direct.main is listed.main


def test_words_reach_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "page", "out=here.html", "--cfg", "job") == 0
    assert "out: here.html" in capsys.readouterr().out
    assert run(monkeypatch, "train", "stepz=3") == 2
    assert "Did you mean 'steps'?" in capsys.readouterr().err


def test_a_strategy_can_start_it_again(tmp_path: Path) -> None:
    """Lightning starts further processes as ``python -m __main__.__spec__.name``."""
    plugin = tmp_path / "peek.py"
    plugin.write_text("import sys; print('SPEC', sys.modules['__main__'].__spec__.name, sys.argv[1:])")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv[1:] = ['page', '--cfg', 'job']\n"
    code += "import genai.cli.compose as c; o = c.launch\n"
    code += "c.launch = lambda *a: (__import__('peek'), o(*a))\n"
    code += "from genai.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "SPEC genai.commands.page ['--cfg', 'job']" in done.stdout, done.stderr
