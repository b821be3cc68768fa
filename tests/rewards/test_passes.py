"""Code that passes its tests is rewarded."""

import json
import sys
from pathlib import Path

import pytest

from genai.core.errors import UserError
from genai.data.tasks import Tasks
from genai.metrics.text.code_problems import Problem
from genai.rewards.base import Rewards, parse_rewards
from genai.rewards.passes import program_text
from genai.sandbox.server import check_sandbox
from tests.rewards.test_answers import question

PROBLEM = Problem("one", "def one():\n    ", "def check(candidate):\n    assert candidate() == 1\n", "one")


def has_sandbox() -> bool:
    try:
        check_sandbox()
    except UserError:
        return False
    return sys.platform == "linux"


def test_the_program_of_an_answer() -> None:
    assert program_text(PROBLEM, " return 1") == "def one(): return 1"
    assert program_text(PROBLEM, "Here:\n```python\ndef one():\n    return 1\n```\n") == "def one():\n    return 1\n"
    assert program_text(PROBLEM, "def one():\n  return 2") == "def one():\n  return 2"


@pytest.mark.skipif(not has_sandbox(), reason="this machine has no sandbox")
def test_answers_run_in_the_sandbox(tmp_path: Path) -> None:
    file = tmp_path / "problems.jsonl"
    file.write_text(json.dumps(vars(PROBLEM)))
    rewards = Rewards(parse_rewards({"passes": {"problems": str(file)}}, Tasks()))
    prompt = question("Please complete:\ndef one():", "x")
    answers = ["def one():\n    return 1", "def one():\n    return 2", "def one(:", "\n    while True: pass"]
    assert rewards.score([prompt] * 4, answers)[0] == [1, 0, 0, 0]
    rewards.check([prompt])
    with pytest.raises(UserError, match="no problem has the prompt"):
        rewards.check([prompt, question("Hi", "x")])
    with pytest.raises(UserError, match="no problem has the prompt"):
        rewards.score([question("Hi", "x")], ["a"])
