"""Files of problems are checked line by line."""

import json
from pathlib import Path

import pytest

from genai.core.errors import UserError
from genai.metrics.text.code_problems import OWN_PROBLEMS, Problem, read_problems

GOOD = {"task_id": "a/0", "prompt": "def f():\n", "test": "def check(c): pass", "entry_point": "f"}


def test_problems_are_read_as_those_of_humaneval(tmp_path: Path) -> None:
    (file := tmp_path / "a.jsonl").write_text(f"{json.dumps(GOOD)}\n\n{json.dumps(GOOD | {'level': 3})}\r\n")
    assert read_problems(file) == [Problem(**GOOD)] * 2
    file.write_text(json.dumps(GOOD | {"canonical_solution": "    pass"}))
    assert read_problems(file)[0].canonical_solution == "    pass"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"a\.jsonl:2: it is not JSON"),
        ("[]", r"a\.jsonl:2 is no problem: it should be an object with task_id, prompt, test"),
        (json.dumps({**GOOD, "test": None}), r"a\.jsonl:2 has no text in the field 'test'"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "prompt"}), r"a\.jsonl:2 lacks the field 'prompt'"),
        (json.dumps({**GOOD, "entry_point": "f()"}), r"a\.jsonl:2: entry_point='f\(\)' is no name"),
        (json.dumps({**GOOD, "canonical_solution": 1}), r"a\.jsonl:2 has no text in the field 'canonical_solution'"),
    ],
)
def test_a_line_that_is_no_problem_is_named(line: str, message: str, tmp_path: Path) -> None:
    (file := tmp_path / "a.jsonl").write_text(f"{json.dumps(GOOD)}\n{line}\n")
    with pytest.raises(UserError, match=message):
        read_problems(file)


def test_files_that_hold_no_problems(tmp_path: Path) -> None:
    (file := tmp_path / "a.jsonl").write_text("\n")
    with pytest.raises(UserError, match="has 0 problems; it should have 1 to 10,000"):
        read_problems(file)
    file.write_bytes(b"\x1f\x8b\xff")
    with pytest.raises(UserError, match="not UTF-8"):
        read_problems(file)
    with pytest.raises(UserError, match="No such file"):
        read_problems(tmp_path / "b.jsonl")


def test_own_problems_differ_and_show_an_example() -> None:
    problems = read_problems(OWN_PROBLEMS)
    assert len(problems) == len({p.entry_point for p in problems}) == len({p.task_id for p in problems}) == 50
    for problem in problems:
        assert problem.prompt.startswith(f"def {problem.entry_point}(") and ">>> " in problem.prompt
        assert problem.test.count("assert") >= 3 and problem.canonical_solution.startswith("    ")
