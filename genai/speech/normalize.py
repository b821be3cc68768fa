"""A text as it is read aloud: numbers, money, times, abbreviations and symbols as words, in small letters.

    normalize("Any sentence, 42 and $3 included.", "en")  # "any sentence, forty-two and three dollars included."

What is left are words, between them the marks of pauses: ``, . ? ! ; :``. A letter that is spelled stays a capital, so
that ``A`` is told from the word ``a``: ``"the U S A"``.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping

from genai.speech.number_words import amount_words, minus_word, number_words, ordinal_words
from genai.speech.reading_rules import ReadingRules, rules_for

PAUSE_MARKS = ".?!;:,"
CURRENCIES = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₽": "RUB", "₹": "INR"}
SCALES = "thousand|million|billion|trillion|mil|millones|millions|milliards|milioni|miliardi|Millionen|Milliarden"
MAX_CAPS = 5
"""Longest word in capitals that is spelled; longer ones are read."""
MAX_WORD = 60
"""Longest word in characters; what is longer is read in parts."""

_CHARACTERS = str.maketrans({
    **dict.fromkeys("‘’‛ʼ`´", "'"), **dict.fromkeys("“”„«»\"<>|\\~^_", " "), **dict.fromkeys("()[]{}—–…", ", "),
    **dict.fromkeys("。।۔", ". "), **dict.fromkeys("、،", ", "), "؛": "; ", "؟": "? ", "−": "-", "‐": "-", "‑": "-",
    "№": "No. ", "￥": "¥", "¿": " ", "¡": " ",
})  # fmt: skip
_GROUP_SPACE = re.compile("(?<=\\d)[\u00a0\u2007\u2009\u202f](?=\\d{3}(?!\\d))")

_BEFORE_NOON, _END = re.compile(r"\s*[AP]M"), re.compile(r"\s*\Z")


def normalize(text: str, language: str = "en") -> str:
    """Return a text as words and pauses.

    Args:
        text: any text.
        language: code, ``"en"`` or ``"en-gb"``: its numbers by num2words, its abbreviations and symbols if
            ``reading_rules`` has them.

    Raises:
        UserError: the text has digits, and num2words is missing or does not know the language.
    """
    rules = rules_for(language)
    text = _GROUP_SPACE.sub("", text)
    text = re.sub(r"\b[nN][º°]\s?(?=\d)", "No. ", re.sub(r"\.{2,}", "…", text))
    text = re.sub(r"[\s)\]}—–…]+$", lambda match: "." if "…" in match[0] else "", text).translate(_CHARACTERS)
    text = unicodedata.normalize("NFKC", text).translate(_CHARACTERS)
    text = re.sub(r"\n\s*\n", " . ", text)
    text = re.sub(r"(?<!\S)-+(?!\S)|--+", ", ", text)
    text = _read_abbreviations(text, rules, language)
    text = _read_numbers(text, rules, language)
    text = _read_symbols(text, rules)
    return _join_words(text, rules)


def _read_abbreviations(text: str, rules: ReadingRules, language: str) -> str:
    """Replace ``Dr.`` and ``No. 5``, and spell ``U.S.A.`` and ``a.m.``."""
    if rules.number_signs:
        text = _sub(_one_of(rules.number_signs) + r"(?=\s*\d)", lambda m: _found(m, rules.number_signs), text)
        if sign := rules.number_signs.get("no"):
            text = re.sub(r"(?<![\w#])#(?=\d)", f" {sign} ", text)
    if rules.abbreviations:
        text = _sub(
            _one_of(rules.abbreviations),
            lambda m: _found(m, rules.abbreviations) + _full_stop(m),
            text,
        )
    if language.split("-")[0].lower() == "en":
        text = re.sub(r"(?<=\d)\s*([apAP])\.?\s?[mM]\b(\.(?!\s+[A-Z]|\s*$))?", lambda m: f" {m[1].upper()}M ", text)
    return re.sub(
        r"(?<![^\W_])(?:[^\W\d_]\.){2,}(?!\w)",
        lambda m: " " + m[0].replace(".", "").upper() + " " + _full_stop(m),
        text,
    )


def _read_numbers(text: str, rules: ReadingRules, language: str) -> str:
    """Replace money, times, ordinals and all other numbers."""
    if not re.search(r"\d", text):
        return text
    groups, fraction = (",", r"\.") if rules.decimal_mark == "." else (".' ", "[.,]")
    number = rf"(\d{{1,3}}(?:[{groups}]\d{{3}})+(?!\d)|\d+)(?:{fraction}(\d+))?"

    def read_dots(m: re.Match[str]) -> str:  # versions, addresses; not 1.234.567 where dots group thousands
        grouped = "." in groups and re.fullmatch(r"\d{1,3}(\.\d{3})+", m[0])
        return m[0] if grouped else m[0].replace(".", f" {rules.dot} ")

    currency = "".join(map(re.escape, CURRENCIES))
    text = _sub(r"\d+(?:\.\d+){2,}", read_dots, text)
    text = _sub(rf"(?<![^\s,;])-(?=[{currency}]?\d)", lambda m: f" {minus_word(language)} ", text)
    text = _sub(
        rf"(?:\bUS)?([{currency}])\s?{number}(?:\s?({SCALES})\b)?",
        lambda m: _read_amount(m[1], m[2], m[3], m[4], rules, language),
        text,
    )
    text = _sub(rf"{number}\s?([{currency}])", lambda m: _read_amount(m[3], m[1], m[2], None, rules, language), text)
    text = _read_times(text, rules, language)
    text = re.sub(r"(?<=\d):(?=\d)|(?<=\b[^\W\d_])\.(?=\d)", " ", text)  # scores; H.323
    text = re.sub(r"(?<![\d/])(\d+)/(\d+)(?![\d/])", r"\1⁄\2", text)
    if rules.ordinal_endings:
        ordinal = rf"(?<![\d.,])(\d+)(?:{rules.ordinal_endings})(?!\w)"
        text = _sub(ordinal, lambda m: f" {ordinal_words(m[1], language)} ", text)
    return _sub(number, lambda m: f" {number_words(_digits(m[1]), m[2] or '', language)} ", text)


def _read_amount(
    symbol: str, whole: str, fraction: str | None, scale: str | None, rules: ReadingRules, language: str
) -> str:
    """Return ``$2.50`` or ``$5 million`` as words."""
    currency, whole, fraction = CURRENCIES[symbol], _digits(whole), fraction or ""
    units = amount_words("5", "", currency, language).removeprefix(number_words("5", "", language)).strip()
    if scale or not units:
        number = number_words(whole, fraction, language)
        return f" {number} {scale or ''} {units or rules.symbols.get(symbol, '')} "
    return f" {amount_words(whole, fraction, currency, language, rules.cents_joint)} "


def _read_times(text: str, rules: ReadingRules, language: str) -> str:
    """Replace ``10:30``, and the word for hours after it."""

    def read_time(m: re.Match[str]) -> str:
        hour, minute = (number_words(str(int(m[index])), "", language) for index in (1, 2))
        if int(m[2]) == 0:
            return f" {hour} " if _BEFORE_NOON.match(m.string, m.end()) else f" {rules.hour.format(hour=hour)} "
        zero = f"{rules.minute_zero} " if rules.minute_zero and int(m[2]) < 10 else ""
        return f" {rules.time.format(hour=hour, minute=zero + minute)} "

    hours = re.escape(rules.hour.replace("{hour}", "").strip())
    return re.sub(rf"(?<![\w:.])([01]?\d|2[0-3]):([0-5]\d)(?![\d:])(?:\s*{hours}(?!\w))?", read_time, text)


def _digits(number: str) -> str:
    return re.sub(r"\D", "", number)


def _read_symbols(text: str, rules: ReadingRules) -> str:
    for symbol, word in rules.standalone_symbols.items():
        text = re.sub(rf"(?<!\S){re.escape(symbol)}(?![^\s{PAUSE_MARKS}])", f" {word} ", text)
    text = re.sub(r"(?<=[^\W\d_])\.(?=[^\W\d_A-Z])", f" {rules.dot} ", text)  # example.org
    for symbol, word in rules.symbols.items():
        text = text.replace(symbol, f" {word} ")
    return text


def _join_words(text: str, rules: ReadingRules) -> str:
    """Return words in small letters with the strongest mark between each two; spelled letters are capitals."""
    words: list[str] = []
    mark = "."
    all_caps = len(re.findall(r"\w{2,}", text)) > 1 and text == text.upper()
    for token in re.findall(rf"[{PAUSE_MARKS}]|[^\s{PAUSE_MARKS}]+", "".join(map(_filter_character, text))):
        if token in PAUSE_MARKS:
            if words and (not mark or PAUSE_MARKS.index(token) < PAUSE_MARKS.index(mark)):
                mark = token
            continue
        parts = _read_word(token.strip("'-"), bool(words) and not mark, all_caps, rules)
        if parts and words:
            words[-1] += mark
        if parts:
            words += parts
            mark = ""
    return " ".join(words) + (mark if words else "")


def _read_word(word: str, inside: bool, all_caps: bool, rules: ReadingRules) -> list[str]:
    """Return a word in small letters; its letters if it is spelled.

    Args:
        word: with its capitals.
        inside: whether it stands inside a sentence, where a capital says more.
        all_caps: whether all of the text is in capitals.
        rules: of the language.
    """
    if not any(character.isalpha() for character in word):
        return []
    letters, joint, rest = word.partition("'")
    as_letters = letters.isupper() and letters.isalpha() and not all_caps and len(letters) <= MAX_CAPS
    if len(letters) == 1 and letters in rules.one_letter_words:
        as_letters = as_letters and inside and not joint and letters != "I"
    if len(letters) == 1 and joint:  # l'eau, D'Artagnan
        as_letters = False
    if as_letters:
        parts = [*letters]
        parts[-1] += joint + rest.lower()
        return parts
    word = word.lower()
    return [word[start : start + MAX_WORD] for start in range(0, len(word), MAX_WORD)]


def _filter_character(character: str) -> str:
    """Return a character that is part of a word or a pause; a space, or nothing for those that join words."""
    if character in PAUSE_MARKS or character in "'-" or unicodedata.category(character)[0] in "LM":
        return character
    return "" if unicodedata.category(character) == "Cf" else " "


def _one_of(abbreviations: Mapping[str, str]) -> str:
    """Return a pattern of abbreviations and their last dot, with or without spaces after inner ones."""
    names = sorted(abbreviations, key=len, reverse=True)
    return r"(?<![\w.])(" + "|".join(r"\.\s?".join(map(re.escape, name.split("."))) for name in names) + r")\."


def _found(match: re.Match[str], words: Mapping[str, str]) -> str:
    return " " + words["".join(match[1].split()).lower()] + " "


def _full_stop(match: re.Match[str]) -> str:
    """Return the mark of an abbreviation that ends the text."""
    return ". " if _END.match(match.string, match.end()) else ""


def _sub(pattern: str, replace: Callable[[re.Match[str]], str], text: str) -> str:
    return re.sub(pattern, replace, text, flags=re.IGNORECASE)
