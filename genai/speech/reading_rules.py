"""How abbreviations, symbols and times are read aloud, by language: what ``normalize`` looks up.

A language without an entry has numbers only (num2words knows some fifty); its symbols are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ReadingRules:
    """Rules of one language.

    Attributes:
        decimal_mark: what separates a fraction from its number; the other one of ``.`` and ``,`` groups thousands.
        abbreviations: without the last dot, in small letters: ``"dr"``, ``"e.g"``.
        number_signs: abbreviations that are read so only before a number: ``"no"``.
        symbols: read wherever they stand.
        standalone_symbols: read only where they stand alone: ``*`` within text is an ornament.
        ordinal_endings: of digits, as a regular expression: ``2nd``; "" if there are none.
        one_letter_words: letters that are words, not names of letters, when they are capitals.
        cents_joint: word between dollars and cents.
        dot: how the dot of ``example.org`` is read.
        hour: format of a full hour, ``{hour}`` its number.
        time: format of a time, ``{hour}`` and ``{minute}`` its numbers.
        minute_zero: word before minutes below ten.
    """

    decimal_mark: str = ","
    abbreviations: Mapping[str, str] = field(default_factory=dict)
    number_signs: Mapping[str, str] = field(default_factory=dict)
    symbols: Mapping[str, str] = field(default_factory=dict)
    standalone_symbols: Mapping[str, str] = field(default_factory=dict)
    ordinal_endings: str = ""
    one_letter_words: str = ""
    cents_joint: str = ""
    dot: str = ""
    hour: str = "{hour}"
    time: str = "{hour} {minute}"
    minute_zero: str = ""


RULES = {
    "en": ReadingRules(
        decimal_mark=".",
        abbreviations={
            "dr": "doctor", "mr": "mister", "mrs": "missus", "ms": "miz", "prof": "professor", "st": "saint",
            "jr": "junior", "sr": "senior", "vs": "versus", "etc": "et cetera", "e.g": "for example",
            "i.e": "that is",
            "approx": "approximately", "dept": "department", "inc": "incorporated", "ltd": "limited",
        },
        number_signs={"no": "number", "nos": "numbers", "vol": "volume", "fig": "figure", "p": "page", "pp": "pages"},
        symbols={
            "&": "and", "%": "percent", "@": "at", "+": "plus", "=": "equals", "°": "degrees", "×": "times",
            "÷": "divided by",
            "⁄": "over", "$": "dollars", "€": "euros", "£": "pounds", "¥": "yen", "₹": "rupees", "₽": "rubles",
        },
        standalone_symbols={"*": "star", "#": "pound"},
        ordinal_endings="st|nd|rd|th",
        one_letter_words="AI",
        cents_joint="and",
        dot="dot",
        hour="{hour} o'clock",
        minute_zero="oh",
    ),
    "es": ReadingRules(
        abbreviations={
            "sr": "señor", "sra": "señora", "srta": "señorita", "dr": "doctor", "dra": "doctora", "ud": "usted",
            "uds": "ustedes", "etc": "etcétera", "p.ej": "por ejemplo", "prof": "profesor", "avda": "avenida",
        },
        number_signs={"núm": "número", "no": "número", "n": "número", "pág": "página"},
        symbols={
            "&": "y", "%": "por ciento", "@": "arroba", "+": "más", "=": "igual a", "°": "grados", "×": "por",
            "⁄": "partido por",
        },
        standalone_symbols={"*": "asterisco", "#": "almohadilla"},
        ordinal_endings="er|\\.?[oa]",
        one_letter_words="AEOUY",
        cents_joint="con",
        dot="punto",
        time="{hour} y {minute}",
    ),
    "fr": ReadingRules(
        abbreviations={
            "mme": "madame", "mlle": "mademoiselle", "dr": "docteur", "etc": "et cetera", "m": "monsieur",
            "mm": "messieurs", "p.ex": "par exemple", "c.-à-d": "c'est-à-dire", "av": "avenue",
        },
        number_signs={"no": "numéro", "n": "numéro", "p": "page"},
        symbols={
            "&": "et", "%": "pour cent", "@": "arobase", "+": "plus", "=": "égale", "°": "degrés", "×": "fois",
            "⁄": "sur",
        },
        standalone_symbols={"*": "étoile", "#": "dièse"},
        ordinal_endings="er|re|ère|ème|eme|e",
        one_letter_words="AÀYÔ",
        cents_joint="et",
        dot="point",
        hour="{hour} heures",
        time="{hour} heures {minute}",
    ),
    "it": ReadingRules(
        abbreviations={
            "sig": "signor", "sig.ra": "signora", "dott": "dottor", "dott.ssa": "dottoressa", "dr": "dottor",
            "prof": "professor", "ecc": "eccetera", "es": "esempio", "avv": "avvocato", "ing": "ingegner",
        },
        number_signs={"n": "numero", "no": "numero", "pag": "pagina"},
        symbols={
            "&": "e", "%": "per cento", "@": "chiocciola", "+": "più", "=": "uguale", "°": "gradi", "×": "per",
            "⁄": "su",
        },
        standalone_symbols={"*": "asterisco", "#": "cancelletto"},
        ordinal_endings="[oa]",
        one_letter_words="AEÈIO",
        cents_joint="e",
        dot="punto",
        time="{hour} e {minute}",
    ),
    "de": ReadingRules(
        abbreviations={
            "dr": "Doktor", "hr": "Herr", "fr": "Frau", "prof": "Professor", "z.b": "zum Beispiel",
            "d.h": "das heißt",
            "u.a": "unter anderem", "usw": "und so weiter", "bzw": "beziehungsweise", "ca": "circa", "str": "Straße",
            "etc": "et cetera", "vgl": "vergleiche", "evtl": "eventuell",
        },
        number_signs={"nr": "Nummer", "no": "Nummer", "s": "Seite", "abs": "Absatz"},
        symbols={
            "&": "und", "%": "Prozent", "@": "at", "+": "plus", "=": "gleich", "°": "Grad", "×": "mal",
            "⁄": "durch", "§": "Paragraf",
        },
        standalone_symbols={"*": "Stern", "#": "Raute"},
        cents_joint="und",
        dot="Punkt",
        hour="{hour} Uhr",
        time="{hour} Uhr {minute}",
    ),
    "ru": ReadingRules(
        abbreviations={
            "т.д": "так далее", "т.п": "тому подобное", "т.е": "то есть", "т.к": "так как", "г": "город",
            "ул": "улица",
            "др": "другие", "см": "смотри", "им": "имени", "руб": "рублей",
        },
        number_signs={"no": "номер", "стр": "страница"},
        symbols={
            "&": "и", "%": "процентов", "@": "собака", "+": "плюс", "=": "равно", "°": "градусов",
            "£": "фунтов", "¥": "иен", "×": "на", "⁄": "на",
        },
        standalone_symbols={"*": "звёздочка", "#": "решётка"},
        ordinal_endings="-?(?:й|ый|ой)",
        one_letter_words="АВИКОСУЯ",
        dot="точка",
    ),
}  # fmt: skip
"""Rules by code of a language."""


def rules_for(language: str) -> ReadingRules:
    """Return the rules of a language code, ``"en"`` or ``"en-gb"``; those without words if there are none."""
    return RULES.get(language.split("-")[0].lower(), ReadingRules())
