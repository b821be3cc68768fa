"""Letters as phones, where no program knows how words sound: enough for languages that are written as they sound."""

import unicodedata

from genai.speech.phones import Phone


def letter_phones(word: str) -> tuple[Phone, ...]:
    """Return a phone for each letter or mark of a word, without stress: ``"café"`` -> c a f é."""
    letters = unicodedata.normalize("NFC", word.lower())
    return tuple(Phone(letter) for letter in letters if unicodedata.category(letter)[0] in "LM")
