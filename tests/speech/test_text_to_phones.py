"""From a text to words with their phones."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai.core.errors import UserError
from genai.speech import text_to_phones
from genai.speech.espeak import find_program
from genai.speech.phones import Phone, Word
from genai.speech.text_to_phones import TextToPhones

pytest.importorskip("num2words")
installed = pytest.mark.skipif(find_program() is None, reason="needs espeak-ng")


def sounds(words: list[Word]) -> str:
    marks = ["", "ˈ", "ˌ"]
    return " | ".join(" ".join(marks[phone.stress] + phone.symbol for phone in word.phones) for word in words)


def test_letters() -> None:
    convert = TextToPhones("en", "letters")
    words = convert("The CD, 42: no!")
    assert [word.text for word in words] == ["the", "c", "d", "forty", "two", "no"]
    assert [word.pause for word in words] == ["", "", ",", "", ",", "!"]
    assert sounds(words) == "t h e | c | d | f o r t y | t w o | n o"
    assert convert.convert(["...", "a"]) == [[], [Word("a", (Phone("a"),))]]
    assert (convert.source, convert.version) == ("letters", "")


def test_phones_in_the_text() -> None:
    words = TextToPhones("en", "letters")("Say [[h ə l ˈoʊ]], [[ a ]] now")
    assert [(word.text, word.pause) for word in words] == [("say", ""), ("həloʊ", ","), ("a", ""), ("now", "")]
    assert sounds(words) == "s a y | h ə l ˈoʊ | a | n o w"
    for text, message in [("[[h ə", "without ']]'"), ("h]] a", "without ']]'"), ("[[ ]]", "there is no phone")]:
        with pytest.raises(UserError, match=message):
            TextToPhones("en", "letters")(text)


def test_the_lexicon_wins(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.txt"
    path.write_text("the ð ˈiː\nnasa n ˈæ s ə\ne-mail ˈiː m eɪ l\n", encoding="utf-8")
    words = TextToPhones("en", "letters", path)("The NASA e-mail, my e-shop.")
    assert sounds(words) == "ð ˈiː | n ˈæ s ə | ˈiː m eɪ l | m y | e | s h o p"
    if find_program():
        spoken = TextToPhones("en", "espeak", path)("The NASA e-mail of the")
        assert sounds(spoken).startswith("ð ˈiː | n ˈæ s ə | ˈiː m eɪ l | ʌ v | ð ˈiː")


@installed
def test_espeak() -> None:
    convert = TextToPhones("en")
    first, second, third = convert.convert(["The plan of the USA, vitamin A!", "[[h ə l ˈoʊ]]", "a hello-world"])
    assert [word.text for word in first] == "the plan of the u s a vitamin a".split()
    assert sounds(first[4:7]) == "j ˈuː | ˈɛ s | ˈeɪ" and sounds(first[-1:]) == "ˈeɪ"
    assert sounds(first[2:4]).startswith("ʌ v | ð")
    assert sounds(second) == "h ə l ˈoʊ"
    assert sounds(third) == "ɐ | h ə l ˈoʊ | w ˈɜː l d"
    assert convert.source == "espeak" and convert.version in convert.note and "\n" not in convert.note
    assert convert("The plan of the USA, vitamin A!") == first


def test_without_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_to_phones, "find_program", lambda: None)
    convert = TextToPhones("en")
    assert convert.source == "letters" and "apt install espeak-ng" in convert.note and "\n" not in convert.note
    with pytest.raises(UserError, match="phones=espeak needs the program espeak-ng"):
        TextToPhones("en", "espeak")


def test_mistakes() -> None:
    with pytest.raises(UserError, match="no code of a language"):
        TextToPhones("-v", "letters")
    with pytest.raises(UserError, match="source='speak' is not possible"):
        TextToPhones("en", "speak")  # type: ignore[arg-type]


@given(st.text(max_size=40).filter(lambda text: "[[" not in text and "]]" not in text))
def test_any_text_has_letters(text: str) -> None:
    assert all(word.phones and word.text for word in TextToPhones("en", "letters")(text))
