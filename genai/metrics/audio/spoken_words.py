"""Texts as comparable words: numbers and signs as they are read aloud, without case and punctuation."""

import re
import unicodedata
from functools import cache
from itertools import islice, product

from genai.speech.normalize import normalize

MAX_READINGS = 16
"""Readings of a text with several numbers that are compared."""
SAME_WORDS = {"en": (r"\bo\.?k\b\.?", "okay")}
"""Pattern of a word that is spelled in two ways, and the way that is compared, by language."""
_LONG_NUMBER = re.compile(r"(?<![\d.,:$€£¥])\d{2,12}(?!\d|[.,:]\d|st\b|nd\b|rd\b|th\b)")


def word_readings(text: str, language: str = "en") -> list[list[str]]:
    """Return the words of a text, in each way in which its numbers may be read.

    "1984" is "one thousand nine hundred and eighty-four", "nineteen eighty-four" and "one nine eight four". The first
    reading takes numbers as a whole, as a model that reads aloud does.

    Args:
        text: in any spelling.
        language: code of a language that num2words knows.

    Raises:
        UserError: the text has digits, and num2words is missing or does not know the language.
    """
    text = re.sub(r"(?<=\d)-(?=\d)", " ", unicodedata.normalize("NFKC", text))
    if spelling := SAME_WORDS.get(language.partition("-")[0]):
        text = re.sub(*spelling, text, flags=re.IGNORECASE)
    parts, numbers = _LONG_NUMBER.split(text), _LONG_NUMBER.findall(text)
    readings: list[list[str]] = []
    for choice in islice(product(*map(_number_readings, numbers)), MAX_READINGS):
        whole = "".join(f"{part}{number}" for part, number in zip(parts, (*choice, ""), strict=True))
        if (words := _words(whole, language)) not in readings:
            readings.append(words)
    return readings


def _number_readings(number: str) -> list[str]:
    """Return "1984", "19 84" and "1 9 8 4"."""
    pairs = [f"{number[:2]} {number[2:]}"] * (len(number) == 4 and number[2] != "0")
    return [number, *pairs, " ".join(number)]


@cache
def _words(text: str, language: str) -> list[str]:
    plain = normalize(text, language).casefold().replace("'", "")  # "don't" is "dont"
    return re.sub(r"[^\w\s]|_", " ", plain).split()
