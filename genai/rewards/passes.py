"""A reward of code that passes tests."""

import re
from collections.abc import Sequence
from pathlib import Path

from genai.core.errors import UserError
from genai.media.chat import Question
from genai.metrics.text.code_problems import OWN_PROBLEMS, Problem, read_problems
from genai.metrics.text.passes import run_programs
from genai.rewards.base import BatchReward
from genai.sandbox.server import check_sandbox


class Passes(BatchReward):
    """1 for a function that passes the tests of its problem, in the sandbox; see ``docs/text.md``, Code that runs.

    The problem of a question is the one whose ``prompt`` the question contains.

    Args:
        problems: file of problems in the format of HumanEval; ``None``: those of genai.

    Raises:
        UserError: the file cannot be read, or this machine has no sandbox.
    """

    def __init__(self, problems: str | None = None) -> None:
        self.problems = read_problems(Path(problems).expanduser() if problems else OWN_PROBLEMS)
        check_sandbox()

    def check(self, prompts: Sequence[Question]) -> None:
        """Raise ``UserError`` for a question without a problem."""
        for prompt in prompts:
            self._find(prompt)

    def scores(self, prompts: Sequence[Question], samples: Sequence[str]) -> list[float]:
        """Return 1 for each program that passes. Raises ``UserError`` for a question without a problem."""
        problems = [self._find(prompt) for prompt in prompts]
        programs = [program_text(problem, sample) for problem, sample in zip(problems, samples, strict=True)]
        return [float(kind == "passed") for kind in run_programs(problems, programs)]

    def _find(self, prompt: Question) -> Problem:
        problem = next((each for each in self.problems if each.prompt.strip() in prompt), None)
        if problem is None:
            raise UserError(f"rewards.passes: no problem has the prompt of the question {str(prompt)[:80]!r}.")
        return problem


def program_text(problem: Problem, sample: str) -> str:
    """Return the program of an answer: its block of code if it has one; a whole function, or the rest of one."""
    block = re.search(r"```(?:python|py)?\n(.*?)(?:```|\Z)", sample, re.DOTALL)
    code = block[1] if block else sample
    return code if f"def {problem.entry_point}(" in code else problem.prompt.rstrip() + code
