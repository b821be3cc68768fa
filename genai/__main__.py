"""``python -m genai``: list the commands. ``python -m genai NAME`` runs ``genai/commands/NAME.py``."""

import ast
import sys
from importlib import import_module
from importlib.util import find_spec

from genai.cli.exit_codes import exit_on_error
from genai.core.errors import UserError, did_you_mean
from genai.core.paths import PACKAGE


def main() -> None:
    """Run ``genai/commands/NAME.py``. Exit code 2 for a name that does not exist."""
    exit_on_error(_dispatch)


def _dispatch() -> None:
    name, words = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("--help", [])
    names = command_names()
    if name in ("-h", "--help", "help"):
        print(overview())
        return
    if name not in names:
        is_option = "=" in name or name.startswith("-")
        hint = f" Did you mean: python -m genai.train {name}?" if is_option else did_you_mean(name, names)
        raise UserError(f"There is no command '{name}'.{hint}\n\n{overview()}")
    sys.argv[1:] = words
    sys.modules["__main__"].__spec__ = find_spec(f"genai.commands.{name}")  # how a strategy starts further processes
    import_module(f"genai.commands.{name}").main()


def command_names() -> list[str]:
    """Names of the files in ``genai/commands``."""
    return sorted(file.stem for file in (PACKAGE / "commands").glob("[a-z]*.py"))


def overview() -> str:
    """One line for each command: its name and the first sentence of its docstring."""
    rows = [f"  python -m genai {name:<10} {_summary(name)}" for name in command_names()]
    return "\n".join(["Commands:", *rows, "", "Options of a command, written key=value: python -m genai.train --help"])


def _summary(name: str) -> str:
    """First sentence of a command's docstring, read without importing it."""
    docstring = ast.get_docstring(ast.parse((PACKAGE / "commands" / f"{name}.py").read_text(encoding="utf-8"))) or ""
    line = docstring.split("\n")[0]
    return (line.partition(": ")[2] or line).partition(". ")[0].rstrip(".")


if __name__ == "__main__":
    main()
