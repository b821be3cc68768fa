"""The program espeak-ng, and programs that only have its name."""

import sys
from pathlib import Path

import pytest

from genai.core.errors import UserError
from genai.speech import espeak
from genai.speech.espeak import MAX_CLAUSE_WORDS, Espeak, find_program
from genai.speech.phones import Phone

installed = pytest.mark.skipif(find_program() is None, reason="needs espeak-ng")
posix = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts stand for the program")


def imitation(folder: Path, body: str, version: str = "eSpeak NG text-to-speech: 1.51  Data at: /nowhere") -> str:
    """Return a program that says it is espeak-ng, and otherwise runs ``body``."""
    path = folder / "espeak-ng"
    path.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo "{version}"; exit; fi\n{body}\n', encoding="utf-8")
    path.chmod(0o755)
    espeak.program_version.cache_clear()
    return str(path)


@installed
def test_words_sound_as_in_their_clause() -> None:
    voice = Espeak("en", str(find_program()))
    clause = ["one", "of", "the", "best"]
    long = ["hello"] * (2 * MAX_CLAUSE_WORDS + 1)
    answers = voice.phones([clause, long, [], ["the"]])
    assert ["".join(phone.symbol for phone in word) for word in answers[0]] == ["wʌn", "ʌv", "ðə", "bɛst"]
    assert [len(answer) for answer in answers] == [4, len(long), 0, 1]
    assert answers[1][0][-1] == Phone("oʊ", 1)
    assert voice.version and voice.voice == "en-us"


@installed
def test_languages_and_their_marks() -> None:
    french = Espeak("fr", str(find_program())).phones([["le", "weekend"]])[0]
    assert all(word for word in french) and not any("(" in phone.symbol for word in french for phone in word)
    with pytest.raises(UserError, match=r"has no voice for the language 'xx'"):
        Espeak("xx", str(find_program()))


@posix
def test_one_text_at_a_time_where_the_number_of_answers_differs(tmp_path: Path) -> None:
    """This one answers only the first line, a line for each letter."""
    program = imitation(tmp_path, "head -n 1 | fold -w 1")
    answers = Espeak("en", program).phones([["abcde"], ["fghij"], ["klmno"]])
    assert ["".join(phone.symbol for phone in clause[0]) for clause in answers] == ["abcde", "fghij", "klmno"]


@posix
@pytest.mark.parametrize(
    ("body", "version", "message"),
    [
        ("cat", "eSpeak text-to-speech: 1.48.15  Data at: /usr/share", "is not espeak-ng 1.49 or later"),
        ("cat", "eSpeak NG text-to-speech: 1.2 Data", "is not espeak-ng 1.49 or later"),
        ("echo broken >&2; exit 3", "eSpeak NG text-to-speech: 1.51", r"fails \(broken\): install it anew"),
        ("yes", "eSpeak NG text-to-speech: 1.51", "answers without end"),
        ("exec sleep 60", "eSpeak NG text-to-speech: 1.51", "takes more than 1 seconds"),
    ],
)
def test_a_broken_program_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, version: str, message: str
) -> None:
    program = imitation(tmp_path, body, version)
    monkeypatch.setattr(espeak, "MAX_ANSWER", 1000)
    if "sleep" in body:
        espeak.program_version(program)
        monkeypatch.setattr(espeak, "START_SECONDS", 1.0)
    with pytest.raises(UserError, match=message) as error:
        Espeak("en", program)
    assert "\n" not in str(error.value)


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    espeak.program_version.cache_clear()
    with pytest.raises(UserError, match="cannot start"):
        Espeak("en", str(tmp_path / "espeak-ng"))
