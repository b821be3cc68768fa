"""Rewards that look at an answer alone, or compare it with the data."""

import json
import re
from functools import cache
from typing import Annotated, Literal, NoReturn

from annotated_types import Ge, Le
from pydantic import AfterValidator

from genai.core.data import Source
from genai.core.errors import UserError
from genai.core.plain_data import check_tree
from genai.data.answers import ChecksAnswers, ScoresAnswers
from genai.media.chat import Question


def exact(prompt: Question, sample: str, source: Source | None = None) -> float:
    """Return 1 for a right answer: one that the data have, or that they can check; spaces around it do not count."""
    if isinstance(source, ChecksAnswers):
        return float(source.is_right(prompt.chat, sample.strip()))
    return float(sample.strip() in prompt.answers)


def answer_score(prompt: Question, sample: str, source: Source | None = None) -> float:
    """Return 1 for a right answer, and less than 1 for one that is nearly right, if the data can tell."""
    if isinstance(source, ScoresAnswers):
        return source.score(prompt.chat, sample.strip())
    return exact(prompt, sample, source)


def check_pattern(pattern: str) -> str:
    """Return a regular expression of Python. Raises ``ValueError`` if it is none."""
    try:
        _compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"a regular expression of Python ({error})") from error
    return pattern


def regex(
    prompt: Question,
    sample: str,
    pattern: Annotated[str, AfterValidator(check_pattern)],
    match: Literal["whole", "part"] = "whole",
) -> float:
    """Return 1 if the answer, or a part of it, matches a regular expression of Python."""
    expression = _compile(pattern)
    return float((expression.fullmatch if match == "whole" else expression.search)(sample) is not None)


def has_format(prompt: Question, sample: str, kind: Literal["number", "json", "code"] = "number") -> float:
    """Return 1 if the answer is a number and no more, JSON, or has a block of code between three backquotes."""
    if kind == "json":
        try:
            check_tree(json.loads(sample, parse_constant=_reject_constant), "the answer")
        except (ValueError, RecursionError, UserError):
            return 0.0
        return 1.0
    expression = r"\s*[+-]?\d+(\.\d+)?\s*" if kind == "number" else r"```\w*\n.+?```"
    return regex(prompt, sample, expression, "whole" if kind == "number" else "part")


def length(prompt: Question, sample: str, characters: Annotated[int, Ge(1), Le(1_000_000)] = 100) -> float:
    """Return 1 for an answer of at most so many characters; each one more takes 1 / ``characters``, down to -1."""
    return max(-1.0, 1 - max(0, len(sample) - characters) / characters)


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


@cache
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)
