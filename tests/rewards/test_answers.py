"""Rewards that look at answers."""

import pytest

from genai.data.tasks import Tasks
from genai.media.chat import Chat, Question
from genai.rewards.answers import answer_score, exact, has_format, length, regex


def question(text: str, *answers: str) -> Question:
    messages = ({"role": "user", "content": text}, {"role": "assistant", "content": ""})
    return Question.from_chats(
        [Chat.from_messages([messages[0], {**messages[1], "content": each}]) for each in answers]
    )


def test_exact_answers_are_those_of_the_data_or_those_that_they_can_check() -> None:
    prompt = question("Where?", "Here.", " There. ")
    assert prompt == "Where?" and prompt.answers == ("Here.", "There.")
    assert exact(prompt, " There.\n") == 1 and exact(prompt, "there.") == 0
    source = Tasks(task="make")
    assert exact(question("make:20", "1+19"), "7+13", source=source) == 1
    assert exact(question("make:20", "1+19"), "7+12", source=source) == 0


def test_a_graded_answer_is_worth_the_more_the_nearer_it_is() -> None:
    prompt, source = question("make:20", "1+19"), Tasks(task="make")
    values = [answer_score(prompt, answer, source=source) for answer in ("7+13", "7+12", "7+27", "90+90", "20", "7+x")]
    assert values == pytest.approx([1, 0.5 * 29 / 30, 0.5 * 16 / 30, 0, 0, 0])
    assert answer_score(question("sort:31542", "12345"), "12345", source=Tasks(task="sort")) == 1
    assert answer_score(question("a", "b"), "b") == 1


def test_regular_expressions_and_formats() -> None:
    prompt = question("a", "b")
    assert regex(prompt, "42\n", r"\d+\n") == 1 and regex(prompt, "x42", r"\d+") == 0
    assert regex(prompt, "x42", r"\d+", match="part") == 1
    assert [has_format(prompt, text) for text in (" -4.5 ", "4 5", "")] == [1, 0, 0]
    assert [has_format(prompt, text, "json") for text in ('{"a": [1]}', "{a: 1}", "NaN", "[-Infinity]")] == [1, 0, 0, 0]
    assert [has_format(prompt, text, "code") for text in ("So:\n```python\nx = 1\n```", "x = 1")] == [1, 0]


def test_short_answers_are_rewarded() -> None:
    assert [length(question("a", "b"), "x" * size, characters=10) for size in (0, 10, 15, 20, 99)] == [1, 1, 0.5, 0, -1]
