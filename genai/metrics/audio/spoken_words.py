"""Texts as comparable words: numbers and signs are spelled out, case and punctuation are removed."""

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from itertools import islice, product
from typing import Any

from genai.core.errors import UserError

MAX_READINGS = 16
"""Readings of a text with several numbers that are compared."""
MAX_DIGITS = 12
"""Digits of a number that is read as a whole."""
SIGNS = {"en": {"&": "and", "%": "percent", "#": "pound", "*": "star", "+": "plus", "=": "equals", "@": "at"}}
"""Signs as words, by language."""
SAME_WORDS = {"en": {"ok": "okay", "mr": "mister", "mrs": "missus", "dr": "doctor", "vs": "versus"}}
"""Words that are spelled in two ways, by language."""
CURRENCIES = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY"}
_LONG_NUMBER = re.compile(r"(?<![\d.,:$€£¥])\d{2,12}(?![\d]|[.,:]\d|st\b|nd\b|rd\b|th\b)")


def word_readings(text: str, language: str = "en") -> list[list[str]]:
    """Return the words of a text, in each way in which its numbers may be read.

    "1984" is "one thousand nine hundred and eighty-four", "nineteen eighty-four" and "one nine eight four". The first
    reading takes numbers as a whole.

    Args:
        text: in any spelling.
        language: code of a language that num2words knows; numbers of others are read as in English.

    Raises:
        UserError: num2words is not installed.
    """
    text = re.sub(r"(?<=\d)-(?=\d)", " ", unicodedata.normalize("NFKC", text).replace("’", "'").casefold())
    parts = _LONG_NUMBER.split(text)
    choices = [_number_readings(number) for number in _LONG_NUMBER.findall(text)]
    readings = []
    for numbers in islice(product(*choices), MAX_READINGS):
        words = _spoken_words(
            "".join(f"{part} {number} " for part, number in zip(parts, (*numbers, ""), strict=True)), language
        )
        if words not in readings:
            readings.append(words)
    return readings


def _number_readings(number: str) -> list[str]:
    """Return "1984", "19 84" and "1 9 8 4"."""
    pairs = [f"{number[:2]} {number[2:]}"] * (len(number) == 4 and number[2] != "0")
    return [number, *pairs, " ".join(number)]


@cache
def _spoken_words(text: str, language: str) -> list[str]:
    text = re.sub(r"\b([ap])\.\s?m\b\.?", r"\1m", text)
    for sign, word in SIGNS.get(language, {}).items():
        text = text.replace(sign, f" {word} ")
    text = _with_number_words(text, language)
    # accents stay with their letters; an apostrophe joins: "don't" is "dont"
    words = re.sub(r"[^\w\s]|_", " ", text.replace("'", "")).split()
    return [SAME_WORDS.get(language, {}).get(word, word) for word in words]


def _with_number_words(text: str, language: str) -> str:
    """Replace numbers by words: prices, times, ordinals, decimals and whole numbers."""
    if not re.search(r"\d", text):
        return text
    number_words = _number_words(language)
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    for sign, currency in CURRENCIES.items():
        pattern = rf"{re.escape(sign)}\s?(\d+(?:\.\d+)?)"
        text = re.sub(pattern, lambda match, code=currency: f" {_price(match[1], code, language)} ", text)  # type: ignore[misc]
    text = re.sub(r"\b(\d{1,2}):00\b", r" \1 ", text)
    text = re.sub(r"\b(\d{1,2}):0(\d)\b", r" \1 oh \2 " if language == "en" else r" \1 \2 ", text)
    text = re.sub(r"(\d+)(?:st|nd|rd|th)\b", lambda match: f" {number_words(match[1], 'ordinal')} ", text)
    return re.sub(r"\d+(?:\.\d+)?", lambda match: f" {number_words(match[0], 'cardinal')} ", text)


def _price(amount: str, currency: str, language: str) -> str:
    """Return "3" or "3.50" of a currency as words, without a comma; the amount alone if its name is not known."""
    try:
        words = _num2words()(float(amount), to="currency", currency=currency, lang=language)
    except (NotImplementedError, TypeError, ValueError):
        return _number_words(language)(amount, "cardinal")
    words = words.replace(", zero cents", "").replace(", ", " and " if language == "en" else " ")
    return str(words)


def _number_words(language: str) -> Callable[[str, str], str]:
    """Return what spells a number out; one of very many digits is read digit by digit."""

    def words(number: str, kind: str) -> str:
        if len(number) > MAX_DIGITS:
            return " ".join(words(digit, "cardinal") for digit in number if digit.isdigit())
        value = float(number) if "." in number else int(number)
        try:
            return str(_num2words()(value, to=kind, lang=language))
        except (NotImplementedError, TypeError):
            return str(_num2words()(value, to=kind, lang="en"))

    return words


def _num2words() -> Any:
    try:
        from num2words import num2words
    except ModuleNotFoundError:
        raise UserError("'word_error' needs num2words: pip install 'genai[judge]'.") from None
    return num2words
