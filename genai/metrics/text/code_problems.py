"""Programming problems in the format of HumanEval (arXiv:2107.03374): JSON Lines, of a person or the set of genai."""

from dataclasses import dataclass, fields
from pathlib import Path

from genai.core.errors import UserError, short_repr
from genai.core.files import read_text
from genai.core.plain_data import parse_json

OWN_PROBLEMS = Path(__file__).with_name("problems.jsonl")
"""Small pure functions of the kind that the standard library has, written for genai."""
MAX_PROBLEMS = 10_000


@dataclass(frozen=True)
class Problem:
    """A problem.

    Attributes:
        task_id: its name.
        prompt: source that a model continues: imports, the head of a function, its docstring.
        test: source that defines ``check(candidate)``.
        entry_point: name of the function.
        canonical_solution: what follows the prompt in a correct program; "" if it is unknown.
    """

    task_id: str
    prompt: str
    test: str
    entry_point: str
    canonical_solution: str = ""


def read_problems(path: Path) -> list[Problem]:
    """Read a file of problems, one a line; other fields are left out.

    Raises:
        UserError: the file cannot be read or has no problems; a line, which is named, is no problem.
    """
    lines = read_text(path, "problems").split("\n")
    problems = [_parse_problem(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not 0 < len(problems) <= MAX_PROBLEMS:
        raise UserError(f"{path} has {len(problems):,} problems; it should have 1 to {MAX_PROBLEMS:,}, one a line.")
    return problems


def _parse_problem(line: str, where: str) -> Problem:
    value = parse_json(line, where)
    names = [field.name for field in fields(Problem)]
    if not isinstance(value, dict):
        raise UserError(f"{where} is no problem: it should be an object with {', '.join(names)}.")
    values = {"canonical_solution": "", **{name: value[name] for name in names if name in value}}
    for name in names:
        if not isinstance(values.get(name), str):
            what = "lacks the field" if name not in values else "has no text in the field"
            raise UserError(f"{where} {what} '{name}'. A problem has the fields {', '.join(names)}.")
    if not values["entry_point"].isidentifier():
        raise UserError(f"{where}: entry_point={short_repr(values['entry_point'])} is no name of a function.")
    return Problem(**values)
