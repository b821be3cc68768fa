"""Texts as they are read aloud."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai.core.errors import UserError
from genai.speech import number_words
from genai.speech.normalize import MAX_WORD, PAUSE_MARKS, normalize

pytest.importorskip("num2words")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Any sentence, 42 and $3 included.", "any sentence, forty-two and three dollars included."),
        ("1,234 or 3.50?", "one thousand two hundred and thirty-four or three point five zero?"),
        ("$2.50, 5%!", "two dollars and fifty cents, five percent!"),
        ("$5 million; £21: ¥5", "five million dollars; twenty-one pounds: five yen"),
        ("the 2nd at 10:30 a.m. sharp", "the second at ten thirty A M sharp"),
        ("At 9:05pm. Then 10:00", "at nine oh five P M. then ten o'clock"),
        ("No. 5 & Dr. Who said no. No!", "number five and doctor who said no. no!"),
        ("The USA's C.I.A. in 1999...", "the U S A's C I A in one thousand nine hundred and ninety-nine."),
        ("A dog, vitamin A, and I", "a dog, vitamin A, and i"),
        ("PRESS FIVE NOW", "press five now"),
        ("-5 degrees, 5-10, 20°C", "minus five degrees, five ten, twenty degrees C"),
        ("Call 080 or 1111111111111", "call zero eight zero or" + " one" * 13),
        ("press * or #. *bold*", "press star or pound. bold"),
        ("(so) — “well” … don’t", "so, well, don't"),
        ("3D, H.323, www.example.org", "three D, H three hundred and twenty-three, www dot example dot org"),
        ("1/2 of 1.2.3", "one over two of one dot two dot three"),
        ("Really?! Yes;.", "really? yes."),
        ("٣ books。ok", "three books. ok"),
        ("e.g. this, etc.", "for example this, et cetera."),
        ("...?!", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_english(text: str, expected: str) -> None:
    assert normalize(text, "en") == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("es", "El 1º: 2.000,50 €, Sr. Díaz.", "el primero: dos mil euros con cincuenta céntimos, señor díaz."),
        ("fr", "Le 2e, 2 000 à 10:30 & 3 %", "le deuxième, deux mille à dix heures trente et trois pour cent"),
        ("de", "1.000.000 € am 5.3.24", "eine million euro am fünf punkt drei punkt vierundzwanzig"),
        ("it", "3,5 e 2,50 €", "tre virgola cinque e due euro e cinquanta centesimi"),
        ("de", "z. B. 3,5 um 10:30 Uhr", "zum beispiel drei komma fünf um zehn uhr dreißig"),
        ("ru", "Цена 21 руб. и 5%", "цена двадцать один рублей и пять процентов"),
        ("pl", "3,5 zł", "trzy przecinek pięć zł"),
        ("en-gb", "42", "forty-two"),
    ],
)  # fmt: skip
def test_other_languages(language: str, text: str, expected: str) -> None:
    assert normalize(text, language) == expected


@settings(max_examples=50)
@given(st.text(max_size=60), st.sampled_from(["en", "de", "fr", "ru", "ja"]))
def test_any_text_becomes_words_and_pauses(text: str, language: str) -> None:
    result = normalize(text, language)
    assert result == " ".join(result.split())
    for word in result.split():
        letters = word.rstrip(PAUSE_MARKS)
        assert len(word) - len(letters) <= 1 and any(character.isalpha() for character in letters)
        assert len(letters) <= MAX_WORD and not any(character.isdecimal() for character in letters)


@given(st.text(alphabet="0123456789.,:-$€%/ stndamp'#No", max_size=40))
def test_any_mixture_of_digits_and_signs(text: str) -> None:
    assert not any(character.isdigit() for character in normalize(text, "en"))


def test_a_language_that_num2words_lacks_reads_words_only() -> None:
    assert normalize("γεια, κόσμε", "el") == "γεια, κόσμε"
    with pytest.raises(UserError, match="no numbers in the language 'el'"):
        normalize("5 φορές", "el")


def test_without_num2words_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    number_words._convert.cache_clear()
    monkeypatch.setitem(sys.modules, "num2words", None)
    assert normalize("no digits", "en") == "no digits"
    with pytest.raises(UserError, match=r"pip install 'genai\[voice\]'"):
        normalize("5", "en")
