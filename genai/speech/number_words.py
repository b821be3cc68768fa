"""Numbers as words, by the package num2words (extra ``voice``)."""

from decimal import Decimal
from functools import lru_cache
from typing import Any

from genai.core.errors import UserError, did_you_mean

MAX_DIGITS = 12
"""Longest whole number that is read as one; longer ones are read digit by digit, as telephone numbers are."""
CODES = {"nb": "no", "nn": "no", "kk": "kz"}
"""Codes of num2words that differ from those of everybody else."""


def number_words(whole: str, fraction: str = "", language: str = "en") -> str:
    """Return ``"forty-two"`` for ``"42"``, ``"three point five zero"`` for ``"3"`` and ``"50"``.

    Digits of any script. A long number, or one that begins with 0, is read digit by digit.

    Raises:
        UserError: num2words is missing, or does not know the language.
    """
    if len(whole) > MAX_DIGITS or (len(whole) > 1 and int(whole[0]) == 0):
        words = _digit_words(whole, language)
    else:
        words = _convert(int(whole), language)
    if not fraction:
        return words
    joint = getattr(_converter(language), "pointword", None)
    if isinstance(joint, str) or len(fraction) > 3:
        return f"{words} {joint if isinstance(joint, str) else ''} {_digit_words(fraction, language)}"
    return _convert(float(f"{int(whole)}.{''.join(str(int(digit)) for digit in fraction)}"), language)


def ordinal_words(whole: str, language: str) -> str:
    """Return ``"second"`` for ``"2"``; its number where the language has none. Raises as ``number_words``."""
    return (len(whole) <= MAX_DIGITS and _convert(int(whole), language, "ordinal")) or number_words(whole, "", language)


def amount_words(whole: str, fraction: str, currency: str, language: str, joint: str = "") -> str:
    """Return ``"two dollars and fifty cents"``; only the number where num2words has no words for the currency.

    Args:
        whole: digits of whole units.
        fraction: digits after the mark: cents if they are two.
        currency: its three letters, as in ISO 4217: ``"USD"``.
        language: code.
        joint: word between units and cents.
    """
    if len(whole) > MAX_DIGITS or len(fraction) not in (0, 2):
        unit = amount_words("5", "", currency, language).removeprefix(number_words("5", "", language))
        return number_words(whole, fraction, language) + unit
    cents = int(fraction or "0")
    words = _convert(Decimal(f"{int(whole)}.{cents:02}"), language, "currency", currency=currency, separator="|")
    if not words and cents == 0:  # currencies without cents
        words = _convert(int(whole), language, "currency", currency=currency, separator="|")
    if not words:
        return number_words(whole, fraction, language)
    unit, _, rest = words.replace(" sterling", "").partition("|")
    return f"{unit} {joint} {rest}" if cents else unit


def minus_word(language: str) -> str:
    """Return the word before a negative number."""
    return str(getattr(_converter(language), "negword", "")).strip()


def _digit_words(digits: str, language: str) -> str:
    return " ".join(_convert(int(digit), language) for digit in digits)


@lru_cache(maxsize=10_000, typed=True)
def _convert(number: float | Decimal, language: str, kind: str = "cardinal", **options: str) -> str:
    """Return what num2words says, without commas, which are no pauses here; "" if it cannot."""
    try:
        return str(_converter(language, kind)(number, **options)).replace(",", "")
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, NotImplementedError):
        return ""  # a language has gaps: ordinals, currencies


def _converter(language: str, kind: str = "") -> Any:
    """Return the converter of a language, or its method ``to_KIND``."""
    try:
        from num2words import CONVERTER_CLASSES
    except ImportError:
        raise UserError("numbers in a text need the package num2words: pip install 'genai[voice]'.") from None
    base, _, region = language.lower().partition("-")
    for code in (f"{base}_{region.upper()}", CODES.get(base, base)):
        if code in CONVERTER_CLASSES:
            converter = CONVERTER_CLASSES[code]
            return getattr(converter, f"to_{kind}") if kind else converter
    raise UserError(
        f"num2words has no numbers in the language '{language}': write them as words."
        + did_you_mean(base, CONVERTER_CLASSES)
    )
