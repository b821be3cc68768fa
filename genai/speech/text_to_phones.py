"""From a text to words with their phones: what a voice reads, and what the aligner looks for in a recording."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from genai.core.errors import UserError, short_text
from genai.speech.espeak import PROGRAM, Espeak, find_program
from genai.speech.letters import letter_phones
from genai.speech.lexicon import lexicon_key, parse_phones, read_lexicon
from genai.speech.normalize import PAUSE_MARKS, normalize
from genai.speech.phones import Phone, Word

SOURCES = ("auto", "espeak", "letters")
INSTALL_HINT = "apt install espeak-ng, brew install espeak-ng, winget install eSpeak-NG.eSpeak-NG"
MAX_PART = 1_000
"""Characters that are normalized at once."""
_PAUSES = {mark: "," if mark in ";:" else mark for mark in PAUSE_MARKS}


@dataclass(frozen=True)
class _Item:
    """A word before its phones are known.

    Attributes:
        text: the word; capitals are spelled.
        pause: mark after it.
        phones: if the text or the lexicon gives them.
        standalone: whether it is no part of the clause around it: a spelled letter, given phones.
    """

    text: str
    pause: str = ""
    phones: tuple[Phone, ...] | None = None
    standalone: bool = False


class TextToPhones:
    """Converts texts to words with phones.

    ``[[h ə l ˈoʊ]]`` in a text gives the phones of a word directly. A lexicon wins over the source.

    Args:
        language: code, ``"en"``, ``"en-gb"``, ``"es"``: of numbers, abbreviations, and the voice of espeak-ng.
        source: of phones: ``"espeak"``; ``"letters"``: each letter is a phone; ``"auto"``: espeak-ng if it is
            installed, else letters.
        lexicon: file of ``word  phones``.

    Attributes:
        source: the source that is used, ``"espeak"`` or ``"letters"``.
        version: of espeak-ng; "" for letters.
        note: one line for people: which source is used.

    Raises:
        UserError: espeak-ng is missing, broken or has no such voice; the lexicon is wrong.
    """

    def __init__(
        self,
        language: str = "en",
        source: Literal["auto", "espeak", "letters"] = "auto",
        lexicon: str | Path | None = None,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,3}", language):
            raise UserError(f"'{short_text(language)}' is no code of a language: write for example en, es or en-gb.")
        if source not in SOURCES:
            raise UserError(f"source='{short_text(source)}' is not possible: {', '.join(SOURCES)}.")
        self.language = language.replace("_", "-").lower()
        self.lexicon = read_lexicon(Path(lexicon)) if lexicon else {}
        program = None if source == "letters" else find_program()
        if source == "espeak" and not program:
            raise UserError(f"phones=espeak needs the program {PROGRAM} ({INSTALL_HINT}), or choose phones=letters.")
        self._espeak = Espeak(self.language, program) if program else None
        self.source: Literal["espeak", "letters"] = "espeak" if self._espeak else "letters"
        self.version = self._espeak.version if self._espeak else ""
        if self._espeak:
            self.note = f"phones from espeak-ng {self.version}, voice {self._espeak.voice}"
        elif source == "letters":
            self.note = "letters as phones (phones=letters); espeak-ng knows how words sound"
        else:
            self.note = f"letters as phones: espeak-ng, which knows how words sound, is not installed ({INSTALL_HINT})"

    def __call__(self, text: str) -> list[Word]:
        """Return the words of a text; an empty list if nothing can be said. Raises ``UserError`` as ``convert``."""
        return self.convert([text])[0]

    def convert(self, texts: Sequence[str]) -> list[list[Word]]:
        """Return the words of each text: faster than one text at a time, because espeak-ng is started once.

        Raises:
            UserError: ``[[`` without ``]]`` or without phones; a number without num2words; espeak-ng fails.
        """
        items = [self._items(text) for text in texts]
        if self._espeak is None:
            return [[_word(item, letter_phones(item.text)) for item in text] for text in items]
        clauses = [clause for text in items for clause in _clauses(text)]
        queries = [[part for item in clause for part in _queries(item)] for clause in clauses]
        answers = iter([phones for clause in self._espeak.phones(queries) for phones in clause])
        words: list[list[Word]] = []
        for text in items:
            words.append([])
            for item in text:
                parts = [next(answers) for _ in _queries(item)]
                words[-1].append(_word(item, tuple(phone for part in parts for phone in part)))
        return words

    def _items(self, text: str) -> list[_Item]:
        """Split a text into words, and give those of the lexicon and in ``[[...]]`` their phones."""
        items: list[_Item] = []
        for index, piece in enumerate(re.split(r"\[\[([^\[\]]*)\]\]", text)):
            if index % 2:
                items.append(_given_phones(piece))
                continue
            if "[[" in piece or "]]" in piece:
                raise UserError("a text has '[[' without ']]': [[h ə l ˈoʊ]] gives the phones of a word.")
            first = piece.lstrip()[:1]
            if items and first in _PAUSES:  # the pause after ]]
                items[-1] = replace(items[-1], pause=_PAUSES[first])
            items += self._read(piece)
        return items

    def _read(self, piece: str) -> list[_Item]:
        def lexicon_word(match: re.Match[str]) -> str:
            key = lexicon_key(match[0])
            return key if key in self.lexicon else match[0]

        piece = re.sub(r"\b[^\W\d_]{2,}\b", lexicon_word, piece)  # NASA is not spelled if the lexicon knows it
        items = []
        for token in (token for part in _parts(piece) for token in normalize(part, self.language).split()):
            word = token.rstrip(PAUSE_MARKS)
            pause = _PAUSES[token[len(word)]] if len(word) < len(token) else ""
            parts = [word] if word in self.lexicon else [part for part in word.split("-") if part]
            for number, part in enumerate(parts, 1):
                phones = self.lexicon.get(part)
                is_letter = phones is None and not part.islower() and part != part.lower()
                items.append(_Item(part, pause if number == len(parts) else "", phones, is_letter))
        return items


def _parts(text: str) -> Iterator[str]:
    """Yield parts of at most ``MAX_PART`` characters that end, where possible, with a sentence or a word.

    The patterns of ``normalize`` take the square of the length for texts that are made for it.
    """
    while len(text) > MAX_PART:
        ends = [text.rfind(mark, MAX_PART // 2, MAX_PART) for mark in (". ", "? ", "! ", "\n")]
        end = max(ends) if max(ends) > 0 else text.rfind(" ", 0, MAX_PART)
        end = end if end > 0 else MAX_PART - 1
        yield text[: end + 1]
        text = text[end + 1 :]
    yield text


def _given_phones(text: str) -> _Item:
    try:
        phones = parse_phones(text.split())
    except UserError as error:
        raise UserError(f"[[{short_text(text)}]]: {error}") from error
    return _Item("".join(phone.symbol for phone in phones), phones=phones, standalone=True)


def _clauses(items: Sequence[_Item]) -> list[list[_Item]]:
    """Split words at pauses and around words that stand alone."""
    clauses: list[list[_Item]] = []
    starts = True
    for item in items:
        if starts or item.standalone:
            clauses.append([])
        clauses[-1].append(item)
        starts = bool(item.pause) or item.standalone
    return clauses


def _queries(item: _Item) -> list[str]:
    """Return what espeak-ng is asked for: nothing for given phones."""
    return [] if item.standalone and item.phones is not None else item.text.split("-")


def _word(item: _Item, phones: tuple[Phone, ...]) -> Word:
    return Word(item.text.lower(), phones if item.phones is None else item.phones, item.pause)
