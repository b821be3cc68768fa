import pytest

from genai.core.errors import UserError
from genai.metrics.audio.spoken_words import MAX_READINGS, word_readings

pytest.importorskip("num2words")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Press 5, please.", "press five please"),
        ("It costs $3.50!", "it costs three dollars and fifty cents"),
        ("OK, don’t go", "okay dont go"),
        ("3-4-7-9", "three four seven nine"),
        ("the 2nd Café", "the second café"),
    ],
)
def test_spellings_of_the_same_words_are_equal(first: str, second: str) -> None:
    assert word_readings(first)[0] == word_readings(second)[0]


def test_a_number_has_several_readings() -> None:
    assert word_readings("in 1984") == [
        "in one thousand nine hundred and eighty four".split(),
        "in nineteen eighty four".split(),
        "in one nine eight four".split(),
    ]
    assert word_readings("the 5th of 3 at 10:05 for $12") == [word_readings("the 5th of 3 at 10:05 for $12")[0]]
    assert len(word_readings(" ".join(map(str, range(1001, 1101))))) <= MAX_READINGS


def test_other_languages() -> None:
    assert word_readings("¡Marca el 42!", "es")[0] == "marca el cuarenta y dos".split()
    with pytest.raises(UserError, match="'xx'"):
        word_readings("42", "xx")
