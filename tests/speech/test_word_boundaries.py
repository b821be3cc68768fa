"""Phones of a clause and its words."""

from genai.speech.phones import Phone
from genai.speech.word_boundaries import divide_phones


def phones(text: str) -> tuple[Phone, ...]:
    return tuple(Phone(symbol) for symbol in text.split())


def test_joined_words_are_divided_where_they_fit() -> None:
    words = [phones("ʌ v"), phones("ð ə"), phones("b ɛ s t")]
    assert divide_phones(phones("ʌ v ð ə b ɛ s t"), words) == words
    assert divide_phones(phones("n ɑː ɾ ə"), [phones("n ɑː t"), phones("eɪ")]) == [phones("n ɑː ɾ"), phones("ə")]
    joined, alone = phones("h ɐ v b ɪ n ɹ"), [phones("h æ v"), phones("b ɪ n")]
    assert divide_phones(joined, alone) == [phones("h ɐ v"), phones("b ɪ n ɹ")]


def test_no_word_is_left_without_phones() -> None:
    words = [phones("a b"), phones("c"), ()]
    assert divide_phones(phones("a"), words) == [phones("a b"), phones("c"), ()]
    assert divide_phones((), words) == [phones("a b"), phones("c"), ()]
