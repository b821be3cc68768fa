import pytest

from genai.metrics.audio.word_alignment import (
    WordAlignment,
    WordEdit,
    closest_alignment,
    most_common_edits,
    word_edits,
)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "edits"),
    [
        ("press six", "press six", []),
        ("press six", "", ["press/", "six/"]),
        ("", "you", ["/you"]),
        ("glue the sheet", "blue the sheet", ["glue/blue"]),
        ("play the next message", "play next message", ["the/"]),
        ("play the next", "play the very next", ["/very"]),
        ("a b c d", "b c d e", ["a/", "/e"]),
        ("check your voice mail now", "check your voicemail now", []),
        ("a touchtone phone", "a touch tone phone", []),
        ("enter your p i n", "enter your pin", []),
        ("voice mail", "voice male", ["mail/male"]),
    ],
)
def test_fewest_edits(reference: str, hypothesis: str, edits: list[str]) -> None:
    found = word_edits(reference.split(), hypothesis.split())
    assert [f"{edit.reference}/{edit.hypothesis}" for edit in found] == edits


def test_the_reading_with_the_fewest_edits_is_compared() -> None:
    as_words = [["three", "four", "seven", "nine"]]
    found = closest_alignment(as_words, [["three", "thousand"], ["three", "four", "seven", "nine"]])
    assert not found.edits
    first = closest_alignment([["a"], ["b"]], [["c"]])
    assert first.reference == ("a",)  # both have one


def test_mistakes_are_counted() -> None:
    rows = [
        WordAlignment(("the", "glue"), ("the", "blue")),
        WordAlignment(("glue",), ("blue",)),
        WordAlignment(("a",), ()),
    ]
    assert most_common_edits(rows, 1) == [(WordEdit("glue", "blue"), 2)]
    assert [str(edit) for edit, _ in most_common_edits(rows, 9)] == ['"glue" as "blue"', '"a" deleted']
    assert str(WordEdit("", "you")) == '"you" inserted'
