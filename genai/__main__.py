"""``python -m genai NAME WORDS``, also installed as ``genai``: run a command, or list what there is."""

import ast
import sys
from runpy import run_module

from genai.core.errors import did_you_mean
from genai.core.paths import PACKAGE


def main() -> None:
    """Dispatch to ``genai/commands/NAME.py``. Exit code 2 for a name that does not exist."""
    name, words = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("--help", [])
    names = command_names()
    if name in ("-h", "--help", "help"):
        print(overview())
        return
    if name not in names:
        print(f"error: There is no command '{name}'.{did_you_mean(name, names)}\n\n{overview()}", file=sys.stderr)
        sys.exit(2)
    sys.argv[1:] = words
    run_module(
        f"genai.commands.{name}", run_name="__main__", alter_sys=True
    )  # a strategy may start it again by this name


def command_names() -> list[str]:
    """Names of the files in ``genai/commands``."""
    return sorted(file.stem for file in (PACKAGE / "commands").glob("[a-z]*.py"))


def overview() -> str:
    """One line for each command: its name and the first sentence of its file."""
    rows = [f"  {name:<10} {_summary(name)}" for name in command_names()]
    return "\n".join(["python -m genai COMMAND WORDS", "", *rows, "", "Help on one: python -m genai COMMAND --help"])


def _summary(name: str) -> str:
    """First sentence of a command's docstring, read without importing it."""
    docstring = ast.get_docstring(ast.parse((PACKAGE / "commands" / f"{name}.py").read_text(encoding="utf-8"))) or ""
    return docstring.split("\n")[0].partition(": ")[2].partition(". ")[0].rstrip(".")


if __name__ == "__main__":
    main()
