from pathlib import Path

import pytest

from genai.cli.python_words import python_words
from genai.core.errors import UserError


def test_words_lists_and_keyword_arguments_become_words() -> None:
    values = {
        "steps": 1,
        "lr": 0.5,
        "minutes": None,
        "profile": True,
        "runs": Path("a/b"),
        "data": {"path": "x, y", "inner": {"n": 2}},
        "prompts": ["a, b", "c"],
    }
    assert python_words(["modality=text", ["seed=1"], ("batch=2",)], values) == [
        "modality=text", "seed=1", "batch=2", "steps=1", "lr=0.5", "minutes=null", "profile=true", "runs=a/b",
        "data.path=x, y", "data.inner.n=2", 'prompts=["a, b", "c"]',
    ]  # fmt: skip


@pytest.mark.parametrize("words", [[3], [["a", None]]])
def test_what_is_no_word_is_refused(words: list[object]) -> None:
    with pytest.raises(UserError, match="is not a word"):
        python_words(words, {})


def test_what_has_no_text_is_refused() -> None:
    with pytest.raises(UserError, match=r"data=.*it should be a text, a number"):
        python_words([], {"data": object()})
